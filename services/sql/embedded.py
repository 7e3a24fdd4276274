"""The embedded engine: questions to SQL by rules, without a language model. It refuses rather than guesses."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from services.sql.builder import Builder, Unbuildable, explain
from services.sql.errors import QuestionNotUnderstood
from services.sql.joins import JoinGraph
from services.sql.lexicon import QUIET, SIGNS
from services.sql.linking import LinkIndex
from services.sql.marks import Mark, scan
from services.sql.query import MAX_ALTERNATIVES, Alternative, Failure, GeneratedQuery
from services.sql.reading import Reader
from services.sql.schema import Schema
from services.sql.tokens import Token, tokenize
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
            raise QuestionNotUnderstood("only questions are answered here; nothing is changed", [tokens[0].text])
        marks = scan(tokens, index)
        unknown = unknown_words(tokens, marks)
        content = sum(mark.end - mark.start for mark in marks if mark.kind != "sign")
        coverage = content / (content + len(unknown)) if content + len(unknown) else 0.0
        named = any(word[:1].isupper() for word in unknown if not question.lstrip().startswith(word))
        if not any(mark.kind == "mention" for mark in marks) or coverage < self._min_coverage or named:
            raise QuestionNotUnderstood(_refusal(unknown, schema), unknown)
        reader = Reader(schema, graph, marks, tokens)
        frame = reader.read()
        if reader.loose:
            raise QuestionNotUnderstood(
                f"it is not clear what these words are about: {', '.join(reader.loose)}. Say it in other words.",
                [*unknown, *reader.loose],
            )
        builder = Builder(schema, graph, self._today or dt.datetime.now(dt.UTC).date())
        try:
            sql = builder.build(frame)
        except Unbuildable as error:
            raise QuestionNotUnderstood(f"{error}. Name what to show, of which table.", unknown) from None
        confidence = round(coverage * _sureness(reader), 3)
        others: dict[str, Alternative] = {}
        for rival in sorted(reader.rivals, key=lambda rival: rival.gap)[:MAX_RIVALS]:
            other = Reader(schema, graph, marks, tokens, {rival.position: rival.item})
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


def unknown_words(tokens: Sequence[Token], marks: Sequence[Mark]) -> list[str]:
    """The words that stand for nothing known and are not just grammar, as the question has them."""
    covered = {position for mark in marks for position in range(mark.start, mark.end)}
    return [
        token.text
        for position, token in enumerate(tokens)
        if position not in covered and token.word not in QUIET and token.lemma not in QUIET
        and (token.word,) not in SIGNS and any(char.isalnum() for char in token.word)
    ]  # fmt: skip


def _refusal(unknown: Sequence[str], schema: Schema) -> str:
    tables = ", ".join(table.name for table in schema.tables[:12])
    said = f"these words mean nothing here: {', '.join(unknown)}" if unknown else "it names nothing in this database"
    return f"{said}. The tables are: {tables}."
