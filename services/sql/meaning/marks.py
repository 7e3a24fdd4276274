"""The marks of a question: which of its words steer the query, which stand for parts of the database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.sql.language.dates import MONTHS
from services.sql.language.lexicon import LONGEST_SIGN, SIGNS, STOP, Sign
from services.sql.language.tokens import Token
from services.sql.language.words import listed
from services.sql.linking.linking import Item, LinkIndex, Mention

# Meanings that are kept of a mention.
MOST_MEANINGS = 24
_RELATIVE = {("last", "year"), ("this", "year"), ("last", "month"), ("this", "month"), ("last", "week")}
_YEAR_LEADS = frozenset(listed("in since after before during year until from by"))


@dataclass(frozen=True)
class Mark:
    """A sign, a mention, a number, a quoted text or a period of the question."""

    kind: str
    """sign, mention, number, text, period."""
    start: int
    end: int
    sign: Sign | None = None
    items: tuple[Item, ...] = ()
    others: tuple[Item, ...] = ()
    """What a mention may stand for besides: names where it reads like a value."""
    number: float = 0.0
    text: str = ""
    words: str = ""

    def is_sign(self, *kinds: str) -> bool:
        """Whether it is a sign of one of these kinds."""
        return self.sign is not None and self.sign.kind in kinds


def scan(tokens: Sequence[Token], index: LinkIndex) -> list[Mark]:
    """The marks of a question in order. Words inside a mention of several words are no signs."""
    mentions = {mention.start: mention for mention in index.link(tokens, STOP)}
    marks: list[Mark] = []
    position = 0
    while position < len(tokens):
        mark = _mark(tokens, position, mentions)
        if mark is None:
            position += 1
        else:
            marks.append(mark)
            position = mark.end
    return _nearest(marks)


def _nearest(marks: list[Mark]) -> list[Mark]:
    """Of what a word may stand for in a schema of many tables: what belongs to tables that are named comes first."""
    named = {item.table for mark in marks for item in mark.items[:MOST_MEANINGS] if not item.column}
    return [
        mark
        if len(mark.items) <= MOST_MEANINGS
        else replace(mark, items=tuple(sorted(mark.items, key=lambda item: item.table not in named)[:MOST_MEANINGS]))
        for mark in marks
    ]


def _mark(tokens: Sequence[Token], position: int, mentions: dict[int, Mention]) -> Mark | None:
    token = tokens[position]
    mention = mentions.get(position)
    if mention and mention.end - mention.start > 1:
        return _mention(mention, tokens)
    period = _period(tokens, position)
    if period:
        return period
    if not token.quoted:
        for length in range(min(LONGEST_SIGN, len(tokens) - position), 0, -1):
            window = tokens[position : position + length]
            sign = SIGNS.get(tuple(item.word for item in window))
            covered = any(start in mentions for start in range(position + 1, position + length))
            if sign and not (covered and sign.kind in ("aggregate", "compare", "like") and length > 2):
                if mention and sign.kind in ("order", "aggregate", "like", "compare") and length == 1:
                    break
                return Mark("sign", position, position + length, sign, words=" ".join(i.word for i in window))
    if mention:
        return _mention(mention, tokens)
    if token.number is not None:
        return Mark("number", position, position + 1, number=token.number, text=token.text)
    if token.quoted or re.fullmatch(r"\d{4}-\d{2}-\d{2}", token.text):
        return Mark("text", position, position + 1, text=token.text)
    if _spelt_out(tokens, position):
        return Mark("text", position, position + 1, text=token.text)
    return None


def _spelt_out(tokens: Sequence[Token], position: int) -> bool:
    """Whether a token is a text without quotes: `contains the letter M`, `starts with Ab`."""
    lead = tuple(token.word for token in tokens[max(0, position - 4) : position])
    like = any(
        sign is not None and sign.kind == "like" for sign in map(SIGNS.get, (lead[n:] for n in range(len(lead))))
    )
    return like and (tokens[position].text[:1].isupper() or len(tokens[position].text) == 1)


def _mention(mention: Mention, tokens: Sequence[Token]) -> Mark:
    words = " ".join(token.word for token in tokens[mention.start : mention.end])
    text = tokens[mention.start].text if mention.end - mention.start == 1 else words
    return Mark(
        "mention", mention.start, mention.end, items=mention.items, others=mention.others, text=text, words=words
    )


def _period(tokens: Sequence[Token], position: int) -> Mark | None:
    """`March 2025`, `month 3 year 2025`, `2025` after a preposition, `last month`."""
    words = [token.word for token in tokens[position : position + 4]]
    before = tokens[position - 1].word if position else ""
    if tuple(words[:2]) in _RELATIVE:
        return Mark("period", position, position + 2, text=" ".join(words[:2]))
    if words[0] == "month" and len(words) > 1 and tokens[position + 1].number is not None:
        month, end = int(tokens[position + 1].number or 0), position + 2
    elif words[0] in MONTHS and (
        words[0] not in ("may", "march", "mar") or before in ("in", "of", "since", "after", "before", "during", "for")
    ):
        month, end = MONTHS[words[0]], position + 1
    else:
        month, end = 0, position
    skip = 1 if month and end < len(tokens) and tokens[end].word in ("year", ",", "of") else 0
    year = tokens[end + skip].number if end + skip < len(tokens) else None
    if year is not None and year.is_integer() and 1900 <= year <= 2100 and (month or before in _YEAR_LEADS):
        return Mark("period", position, end + skip + 1, text=f"{int(year):04d}" + (f"-{month:02d}" if month else ""))
    return Mark("period", position, end, text=f"--{month:02d}") if 1 <= month <= 12 else None
