"""The embedded engine: questions to SQL by rules, without a language model. It refuses rather than guesses."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from services.sql.builder import Builder, Unbuildable, explain
from services.sql.choice import Chooser
from services.sql.errors import QuestionNotUnderstood
from services.sql.joins import JoinGraph
from services.sql.lexicon import LONGEST_UNSUPPORTED, QUIET, SIGNS, UNSUPPORTED
from services.sql.linking import LinkIndex
from services.sql.marks import Mark, scan
from services.sql.query import MAX_ALTERNATIVES, Alternative, Failure, GeneratedQuery
from services.sql.reading import Reader
from services.sql.schema import Schema
from services.sql.tokens import Token, is_vietnamese, tokenize
from services.sql.words import listed

NAME = "embedded"
MAX_TOKENS = 120
# A question whose words are understood to a smaller part than this is refused.
MIN_COVERAGE = 0.5
# Other readings that are tried, the likeliest first.
MAX_RIVALS = 6
CACHED = 32
# A question that begins so is an order to change something.
WRITING = frozenset(listed("delete remove update insert drop truncate erase alter xoa"))


class EmbeddedEngine:
    """Reads questions by rules; implements services.sql.query.SqlEngine.

    Args:
        min_coverage: The part of a question's content words that must be understood, from 0 to 1.
        today: What relative dates count from; None: the day of the question.
    """

    def __init__(self, min_coverage: float = MIN_COVERAGE, today: dt.date | None = None) -> None:
        self._min_coverage = min_coverage
        self._today = today
        self._indexes: OrderedDict[int, tuple[Schema, LinkIndex, JoinGraph]] = OrderedDict()

    async def generate(self, question: str, schema: Schema, failure: Failure | None = None) -> GeneratedQuery:
        """The query for a question; see SqlEngine."""
        if failure is not None:
            raise QuestionNotUnderstood("rules give no other statement. Ask it differently.")
        return await asyncio.to_thread(self.answer, question, schema)

    def answer(self, question: str, schema: Schema) -> GeneratedQuery:
        """The same, at once. Raises QuestionNotUnderstood."""
        index, graph = self._index(schema)
        tokens = tokenize(question)[:MAX_TOKENS]
        if tokens and tokens[0].word in WRITING:
            raise QuestionNotUnderstood(_said(question, "writing"), [tokens[0].text])
        marks = scan(tokens, index)
        unsupported = _unsupported(question, tokens, marks)
        if unsupported:
            raise QuestionNotUnderstood(_said(question, "unsupported", unsupported), unsupported)
        unknown = unknown_words(tokens, marks, question)
        content = sum(mark.end - mark.start for mark in marks if mark.kind != "sign")
        coverage = content / (content + len(unknown)) if content + len(unknown) else 0.0
        named = any(word[:1].isupper() for word in unknown if not question.lstrip().startswith(word))
        if (
            not any(mark.kind == "mention" for mark in marks)
            or coverage < self._min_coverage
            or named
            or _asks_for_unknown(tokens, marks)
        ):
            raise QuestionNotUnderstood(_refusal(question, unknown, schema), unknown)
        reader = Reader(Chooser(schema, graph, marks, tokens))
        frame = reader.read()
        if reader.loose:
            loose = list(dict.fromkeys(_words_of(question, tokens, mark.start, mark.end) for mark in reader.loose))
            raise QuestionNotUnderstood(_said(question, "loose", loose), [*unknown, *loose])
        builder = Builder(schema, graph, self._today or dt.datetime.now(dt.UTC).date())
        try:
            sql = builder.build(frame)
        except Unbuildable as error:
            raise QuestionNotUnderstood(f"{error}. Name what to show, of which table.", unknown) from None
        confidence = round(coverage * _sureness(reader), 3)
        others: dict[str, Alternative] = {}
        for rival in sorted(reader.rivals, key=lambda rival: rival.gap)[:MAX_RIVALS]:
            other = Reader(Chooser(schema, graph, marks, tokens, {rival.position: rival.item}))
            found = _alternative(other, builder)
            if found is not None and found.sql != sql:
                # It was not chosen: it is less likely, if only a little.
                sureness = min(confidence, coverage * found.confidence) * (0.9 - rival.gap)
                others.setdefault(found.sql, replace(found, confidence=round(sureness, 3)))
        alternatives = tuple(others.values())[:MAX_ALTERNATIVES]
        return GeneratedQuery(sql, explain(frame), tuple(reader.links), confidence, NAME, alternatives)

    def _index(self, schema: Schema) -> tuple[LinkIndex, JoinGraph]:
        """The schema's index; kept, since building it takes longer than a question."""
        key = id(schema)
        entry = self._indexes.get(key)
        if entry is None:
            # The entry keeps the schema alive, so that no other one gets its id.
            entry = self._indexes[key] = (schema, LinkIndex(schema), JoinGraph(schema))
            if len(self._indexes) > CACHED:
                self._indexes.popitem(last=False)
        return entry[1:]


def _sureness(reader: Reader) -> float:
    """How well the words fit what they were linked to, from 0 to 1; call it after `read`."""
    return sum(link.score for link in reader.links) / len(reader.links) if reader.links else 0.0


def _alternative(reader: Reader, builder: Builder) -> Alternative | None:
    """Another reading, with how well its words fit as confidence; None where it makes no query."""
    frame = reader.read()
    try:
        return None if reader.loose else Alternative(builder.build(frame), explain(frame), _sureness(reader))
    except Unbuildable:
        return None


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


def unknown_words(tokens: Sequence[Token], marks: Sequence[Mark], question: str) -> list[str]:
    """The words that stand for nothing known and are not just grammar, as the question has them."""
    covered = {position for mark in marks for position in range(mark.start, mark.end)}
    return [
        _words_of(question, tokens, position, position + 1)
        for position, token in enumerate(tokens)
        if position not in covered and token.word not in QUIET and token.lemma not in QUIET
        and (token.word,) not in SIGNS and any(char.isalnum() for char in token.word)
    ]  # fmt: skip


_MESSAGES = {
    "writing": (
        "only questions are answered here; nothing is changed",
        "ở đây chỉ trả lời câu hỏi; không thay đổi dữ liệu",
    ),
    "unsupported": ("this cannot be answered yet: {}. Ask for a plain list, count, sum or average.",
        "chưa trả lời được phần này: {}. Hãy hỏi danh sách, số lượng, tổng hoặc trung bình."),
    "loose": ("it is not clear what these words are about: {}. Say it in other words.",
        "chưa rõ những từ này nói về gì: {}. Hãy hỏi bằng cách khác."),
    "unknown": ("these words mean nothing here: {}", "những từ này không có nghĩa ở đây: {}"),
    "nothing": ("it names nothing in this database", "câu hỏi không nhắc đến gì trong cơ sở dữ liệu này"),
    "tables": ("The tables are: {}.", "Các bảng là: {}."),
}  # fmt: skip
"""Refusals in English and in Vietnamese."""


def _said(question: str, message: str, words: Sequence[str] = ()) -> str:
    """A refusal in the language of the question."""
    return _MESSAGES[message][is_vietnamese(question)].format(", ".join(words))


def _refusal(question: str, unknown: Sequence[str], schema: Schema) -> str:
    tables = [table.name for table in schema.tables[:12]]
    said = _said(question, "unknown" if unknown else "nothing", unknown)
    return f"{said}. {_said(question, 'tables', tables)}"
