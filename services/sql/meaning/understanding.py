"""What the rules make of a question: its words, a first meaning, and the words that found no home."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.sql.language.lexicon import LONGEST_UNSUPPORTED, QUIET, SIGNS, UNSUPPORTED
from services.sql.language.tokens import Token, tokenize
from services.sql.language.words import listed
from services.sql.linking.joins import JoinGraph
from services.sql.linking.linking import Item, LinkIndex, computed
from services.sql.linking.spelling import corrected
from services.sql.meaning.choice import Chooser
from services.sql.meaning.completion import Completion
from services.sql.meaning.frame import Frame
from services.sql.meaning.marks import Mark, scan
from services.sql.meaning.reading import read
from services.sql.query import Link
from services.sql.schema import Schema

MAX_TOKENS = 120


@dataclass(frozen=True)
class Understanding:
    """A question as the rules read it."""

    question: str
    tokens: Sequence[Token]
    marks: Sequence[Mark]
    frame: Frame
    """The first meaning, completed; without tables where the question names nothing."""
    unknown: Sequence[str]
    """Words that stand for nothing known and are not just grammar, as the question has them."""
    doubts: Sequence[str]
    """Words that steer a query, or hold a value, and found nothing to act on."""
    unsupported: bool
    """Whether the doubts are about something that no rule answers."""

    @property
    def named(self) -> bool:
        """Whether an unknown word is a name: its first letter is large inside the question."""
        return any(word[:1].isupper() for word in self.unknown if not self.question.lstrip().startswith(word))

    @property
    def coverage(self) -> float:
        """The part of the content words that are understood, from 0 to 1."""
        content = sum(mark.end - mark.start for mark in self.marks if mark.kind != "sign")
        return content / (content + len(self.unknown)) if content + len(self.unknown) else 0.0

    @property
    def asks_for_unknown(self) -> bool:
        """Whether the very thing asked for is unknown: `what is the weather in …`."""
        return _asks_for_unknown(self.tokens, self.marks)


def understand(question: str, schema: Schema, index: LinkIndex, graph: JoinGraph) -> Understanding:
    """Reads a question by the rules."""
    tokens = tokenize(question, index.knows, lambda found: corrected(question, found, index))[:MAX_TOKENS]
    marks = scan(tokens, index)
    unsupported = _unsupported(question, tokens, marks)
    first, unused = read(Chooser(schema, graph, marks, tokens))
    frame = Completion(schema).complete(first)
    loose = list(dict.fromkeys(_words_of(question, tokens, mark.start, mark.end) for mark in unused))
    unknown = _unknown(tokens, marks, question)
    return Understanding(question, tokens, marks, frame, unknown, unsupported or loose, bool(unsupported))


def linked(frame: Frame, marks: Sequence[Mark], tokens: Sequence[Token]) -> Iterator[Link]:
    """What the mentions stand for in a meaning; their likeliest meaning where it does not use them."""
    for mark in marks:
        if mark.kind == "mention":
            item = next((item for item in (*mark.items, *mark.others) if _uses(frame, item)), mark.items[0])
            start, end = tokens[mark.start].start, tokens[mark.end - 1].end
            column = "" if computed(item.column) else item.column
            yield Link(mark.text, start, end, item.table, column, item.value or "", min(1.0, item.weight))


def _uses(frame: Frame, item: Item) -> bool:
    if item.value is not None:
        return any(item.ref == other.ref and item.value in other.values for other in frame.filters)
    return item.ref in frame.refs if item.column else item.table in (*frame.tables, *frame.without)


def _words_of(question: str, tokens: Sequence[Token], start: int, end: int) -> str:
    """The words that tokens came from, as the user wrote them; Vietnamese ones were rewritten since."""
    return question[tokens[start].start : tokens[end - 1].end].strip("'\"“” ")


def _unsupported(question: str, tokens: Sequence[Token], marks: Sequence[Mark]) -> list[str]:
    """What is asked for that no rule answers; a word that names a part of the database is not such."""
    named = {position for mark in marks if mark.kind == "mention" for position in range(mark.start, mark.end)}
    found: list[str] = []
    for start in range(len(tokens)):
        for length in range(min(LONGEST_UNSUPPORTED, len(tokens) - start), 0, -1):
            words = tuple(token.word for token in tokens[start : start + length])
            # "which month": the noun decides; "out of stock": the first word does.
            free = start not in named and (words[0] not in ("which", "what") or start + 1 not in named)
            if words in UNSUPPORTED and free and not tokens[start].quoted:
                found.append(_words_of(question, tokens, start, start + length))
                break
    return found


_LEADS = frozenset(listed("what is are was were show list give find get tell display me us the a an"))
"""What stands before the thing that a question asks for."""


def _asks_for_unknown(tokens: Sequence[Token], marks: Sequence[Mark]) -> bool:
    """Whether the very thing asked for is unknown: `what is the weather in …`."""
    covered = {position for mark in marks for position in range(mark.start, mark.end)}
    words = [token.word for token in tokens]
    if words[:1] == ["what"] and words[1:2] not in (["is"], ["are"], ["was"], ["were"]):
        return False
    head = next((at for at, word in enumerate(words) if word not in _LEADS), len(words))
    return head < len(words) and head not in covered and words[head] not in QUIET and tokens[head].lemma not in QUIET


def _unknown(tokens: Sequence[Token], marks: Sequence[Mark], question: str) -> list[str]:
    """The words that stand for nothing known and are not just grammar, as the question has them."""
    covered = {position for mark in marks for position in range(mark.start, mark.end)}
    return [
        _words_of(question, tokens, position, position + 1)
        for position, token in enumerate(tokens)
        if position not in covered and token.word not in QUIET and token.lemma not in QUIET
        and (token.word,) not in SIGNS and any(char.isalnum() for char in token.word)
    ]  # fmt: skip
