"""The embedded engine: questions to SQL without a language model. It refuses rather than guesses.

Rules read a first meaning; a search goes on from there to what the words speak for more; the likeliest meanings are
tried out on the database, and the one that most agree with is the answer.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

from services.sql.engine.ambiguity import alternatives
from services.sql.engine.confidence import confidence, signals
from services.sql.engine.evidence import Evidence
from services.sql.engine.model import Model, shipped
from services.sql.engine.moves import Moves
from services.sql.engine.ranking import rank
from services.sql.engine.refusals import not_about, said
from services.sql.engine.search import search
from services.sql.errors import QuestionNotUnderstood
from services.sql.language.tokens import is_vietnamese
from services.sql.language.words import listed
from services.sql.linking.joins import JoinGraph
from services.sql.linking.linking import LinkIndex
from services.sql.linking.schema_indexes import SchemaIndexes
from services.sql.meaning import followup
from services.sql.meaning.builder import Builder, Unbuildable
from services.sql.meaning.explanation import explained
from services.sql.meaning.frame import Frame
from services.sql.meaning.twins import twins
from services.sql.meaning.understanding import Understanding, linked, understand
from services.sql.query import MAX_ALTERNATIVES, PLAIN, Alternative, Context, GeneratedQuery, Probe
from services.sql.schema import Schema

NAME = "embedded"
# A question whose words are understood to a smaller part than this is refused.
MIN_COVERAGE = 0.5
# A question with words that found nothing to do is refused below this.
MIN_CONFIDENCE = 0.8
# What speaks for the rules' reading of a question whose words all found their place, as log odds.
TRUST = 2.0
# How much less sure a question is that needs the one before it.
FOLLOWING = 0.95
# A question that begins so is an order to change something.
WRITING = frozenset(listed("delete remove update insert drop truncate erase alter xoa"))


class EmbeddedEngine:
    """Reads questions by rules, searches for better meanings and ranks them; implements services.sql.query.SqlEngine.

    Args:
        min_coverage: The part of a question's content words that must be understood, from 0 to 1.
        min_confidence: A question with words that found nothing to do is refused where the answer is less sure.
        today: What relative dates count from; None: the day of the question.
        model: The learned weights; None: those that are shipped.
        indexes: Indexes of schemas; None: its own.
    """

    def __init__(
        self,
        min_coverage: float = MIN_COVERAGE,
        min_confidence: float = MIN_CONFIDENCE,
        today: dt.date | None = None,
        model: Model | None = None,
        indexes: SchemaIndexes | None = None,
    ) -> None:
        self._min_coverage = min_coverage
        self._min_confidence = min_confidence
        self._today = today
        self._model = model or shipped()
        self._indexes = indexes or SchemaIndexes()

    async def generate(self, question: str, schema: Schema, context: Context = PLAIN) -> GeneratedQuery:
        """The query for a question; see SqlEngine. With a probe, meanings are tried out before one is chosen."""
        if context.failure is not None:
            raise QuestionNotUnderstood("rules give no other statement. Ask it differently.")
        return await asyncio.to_thread(self._continued, question, schema, context)

    def _continued(self, question: str, schema: Schema, context: Context) -> GeneratedQuery:
        """The answer to a question that may go on from earlier ones."""
        if not context.history:
            return self.answer(question, schema, context.probe)
        index, graph = self.index(schema)
        if not followup.follows(question, understand(question, schema, index, graph)):
            return self.answer(question, schema, context.probe)
        before: tuple[str, Frame, float] | None = None
        for turn in context.history:
            before = self._turn(turn.question, schema, before)
        found = self._turn(question, schema, before) if before is not None else None
        if found is None or found is before:
            return self.answer(question, schema, context.probe)
        full, frame, sure = found
        builder = Builder(schema, graph, self._today or dt.datetime.now(dt.UTC).date())
        try:
            sql = builder.build(frame)
        except Unbuildable as error:
            raise QuestionNotUnderstood(f"{error}.") from None
        understood = understand(question, schema, index, graph)
        links = tuple(linked(frame, understood.marks, understood.tokens))
        unknown = tuple(understood.unknown)
        return GeneratedQuery(
            sql, explained(frame, question), links, round(sure, 3), NAME, unknown_words=unknown, full_question=full
        )  # fmt: skip

    def _turn(
        self, question: str, schema: Schema, before: tuple[str, Frame, float] | None
    ) -> tuple[str, Frame, float] | None:
        """A question of a conversation as it is understood: in words, its meaning and how sure that is.

        What cannot be read changes nothing: the question before it still stands.
        """
        index, graph = self.index(schema)
        understood = understand(question, schema, index, graph)
        if before is not None and followup.follows(question, understood):
            frame = followup.merged(before[1], understood, schema, graph)
            if frame is None:
                return before
            full = followup.full_question(before[0], question, before[1], frame)
            return full, frame, before[2] * FOLLOWING
        try:
            best, sure = self._best(question, schema, None)
        except QuestionNotUnderstood:
            return before
        return question, best, sure

    def answer(
        self, question: str, schema: Schema, probe: Probe | None = None, proposals: Sequence[Frame] = ()
    ) -> GeneratedQuery:
        """The same, at once. Raises QuestionNotUnderstood.

        Args:
            question: In English or Vietnamese.
            schema: The database's.
            probe: Tries statements out on the database.
            proposals: Completed meanings that others propose, such as examples; they are ranked with the rest.
        """
        return self._ranked(question, schema, probe, proposals)[0]

    def _best(self, question: str, schema: Schema, probe: Probe | None) -> tuple[Frame, float]:
        """The likeliest meaning, and how sure it is. Raises QuestionNotUnderstood."""
        query, frame = self._ranked(question, schema, probe, ())
        return frame, query.confidence

    def _ranked(
        self, question: str, schema: Schema, probe: Probe | None, proposals: Sequence[Frame]
    ) -> tuple[GeneratedQuery, Frame]:
        """The query with the meaning that it was built of."""
        index, graph = self.index(schema)
        understood = understand(question, schema, index, graph)
        self._check(understood, schema)
        kept = frozenset(
            value for item in understood.frame.filters if item.op.startswith("period") for value in item.values
        )
        weights, grams = self._model.weights, self._model.grams
        evidence = Evidence(schema, graph, understood.tokens, understood.marks, weights, grams, kept)
        moves = Moves(schema, graph, understood.marks)
        seeds = [seed for seed in (understood.frame, moves.plain(), *proposals) if seed is not None and seed.tables]
        builder = Builder(schema, graph, self._today or dt.datetime.now(dt.UTC).date())
        trust = 0.0 if understood.doubts or understood.unknown else TRUST
        candidates = search(seeds, moves, evidence, trust=trust)
        ranked = rank(candidates, builder, self._model, probe)
        if not ranked:
            raise QuestionNotUnderstood(said(question, "nothing"), understood.unknown)
        best = ranked[0]
        structure, _factors = evidence.taken_apart(best.frame)
        found = signals(ranked, len(understood.doubts), len(understood.unknown), structure)
        sure = confidence(self._model.confidence, found)
        if understood.doubts and sure < self._min_confidence:
            words = [*understood.unknown, *understood.doubts]
            raise QuestionNotUnderstood(said(question, "loose", understood.doubts), words)
        links = tuple(linked(best.frame, understood.marks, understood.tokens))
        same = [
            (builder.build(frame), explained(frame, question)) for frame in twins(best.frame, understood.marks, schema)
        ]
        # Words that mean several things just as well tell nothing about which was meant.
        sure /= len(same) + 1
        others = [Alternative(sql, meaning, round(0.99 * sure, 3)) for sql, meaning in same]
        known = {best.sql, *(other.sql for other in others)}
        others += [other for other in alternatives(ranked, sure, is_vietnamese(question)) if other.sql not in known]
        query = GeneratedQuery(
            best.sql, explained(best.frame, question), links, round(sure, 3), NAME, tuple(others[:MAX_ALTERNATIVES]),
            unknown_words=tuple(understood.unknown),
        )  # fmt: skip
        return query, best.frame

    def _check(self, understood: Understanding, schema: Schema) -> None:
        """Refuses what cannot be a question to this database."""
        question, tokens, unknown = understood.question, understood.tokens, understood.unknown
        if tokens and tokens[0].word in WRITING:
            raise QuestionNotUnderstood(said(question, "writing"), [tokens[0].text])
        if understood.unsupported and self._min_confidence > 0:
            raise QuestionNotUnderstood(said(question, "unsupported", understood.doubts), understood.doubts)
        mentions = any(mark.kind == "mention" for mark in understood.marks)
        covered = understood.coverage >= self._min_coverage and not understood.named
        if not mentions or not covered or understood.asks_for_unknown:
            raise QuestionNotUnderstood(not_about(question, unknown, schema), unknown)

    def index(self, schema: Schema) -> tuple[LinkIndex, JoinGraph]:
        """The schema's index and joins."""
        return self._indexes.of(schema)
