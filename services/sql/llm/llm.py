"""The engine with a language model of a provider. Its SQL passes the same guard as everybody's.

Asked to think, it writes several statements, tries each out, lets the model repair those that fail, and takes the one
whose result most of them share (voting.py), within a budget of tokens and seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.mesh import telemetry
from services.mesh.errors import ParleyError
from services.mesh.providers import Providers
from services.sql.errors import QuestionNotUnderstood
from services.sql.linking.schema_indexes import SchemaIndexes
from services.sql.llm import prompt
from services.sql.llm.structured import Writer
from services.sql.llm.voting import Ballot, decided, elect
from services.sql.query import PLAIN, Alternative, Context, Failure, GeneratedQuery, Link, Step, Trial
from services.sql.schema import Schema

log = telemetry.get_logger(__name__)

# Candidates that are written at the same time.
TOGETHER = 4
# How freely candidates after the first are written: they should differ.
_TEMPERATURE = 0.8
_MAX_TEXT = 2000


@dataclass
class _Thought:
    """What has been thought so far."""

    budget: int
    """Tokens at most; 0: no bound."""
    tokens: int = 0
    reserved: int = 0
    """What the requests that are under way are expected to use."""
    ballots: list[Ballot] = field(default_factory=list)
    answers: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    refusal: str = ""
    error: ParleyError | None = None

    def may(self, tokens: int) -> bool:
        """Whether so many more tokens may be used."""
        return not self.budget or self.tokens + self.reserved + tokens <= self.budget


class LlmEngine:
    """Asks a language model; implements services.sql.query.SqlEngine.

    Args:
        providers: All providers.
        model: The model's id, one that they offer.
        indexes: Indexes of schemas; None: its own.
        budget: Tokens of a prompt at most.
        repairs: How often a candidate that fails is written anew while the engine thinks.
    """

    def __init__(
        self,
        providers: Providers,
        model: str,
        indexes: SchemaIndexes | None = None,
        budget: int = prompt.BUDGET,
        repairs: int = 1,
    ) -> None:
        self._writer = Writer(providers, model)
        self._model = model
        self._indexes = indexes or SchemaIndexes()
        self._budget = budget
        self._repairs = repairs

    async def generate(self, question: str, schema: Schema, context: Context = PLAIN) -> GeneratedQuery:
        """The query for a question; see SqlEngine."""
        messages, links = await asyncio.to_thread(self._messages, question, schema, context)
        if context.thinking.candidates > 1 and context.attempt is not None and context.failure is None:
            return await self._thought_over(question, schema, context, messages, links)
        written = await self._writer.write(messages)
        return self._query(written.fields, links, bool(context.history))

    def _messages(
        self, question: str, schema: Schema, context: Context
    ) -> tuple[list[dict[str, str]], tuple[Link, ...]]:
        index, graph = self._indexes.of(schema)
        return prompt.messages(question, schema, index, graph, context, self._budget)

    def _query(self, fields: Mapping[str, Any], links: tuple[Link, ...], follows: bool) -> GeneratedQuery:
        """A model's answer as a query. Raises QuestionNotUnderstood where it wrote no statement."""
        sql = statement(fields)
        if not sql:
            raise QuestionNotUnderstood(_refusal(fields))
        return GeneratedQuery(
            sql,
            str(fields.get("explanation") or "")[:_MAX_TEXT],
            links,
            _confidence(fields.get("confidence")),
            self._model,
            _alternatives(fields.get("alternatives")),
            full_question=str(fields.get("question") or "")[:_MAX_TEXT] if follows else "",
        )

    async def _thought_over(
        self,
        question: str,
        schema: Schema,
        context: Context,
        messages: list[dict[str, str]],
        links: tuple[Link, ...],
    ) -> GeneratedQuery:
        """The statement that most candidates agree with.

        Raises what `generate` raises; QuestionNotUnderstood also where no candidate ran within the budget.
        """
        thinking = context.thinking
        thought = _Thought(thinking.tokens)
        bound = asyncio.timeout(thinking.seconds or None)
        with contextlib.suppress(TimeoutError):
            async with bound:
                await self._candidates(question, schema, context, messages, thought)
        if bound.expired():
            context.report(Step("The time for thinking is over.", tokens=thought.tokens))
        found = elect(thought.ballots, schema.dialect)
        if found is None:
            if thought.error is not None:
                raise thought.error
            raise QuestionNotUnderstood(thought.refusal or "no statement that runs was found within the budget.")
        context.report(
            Step(
                f"{found.votes} of {len(thought.ballots)} statements agree on the result.",
                found.ballot.sql,
                thought.tokens,
            )
        )
        query = self._query(thought.answers[found.ballot.number], links, bool(context.history))
        total = round(found.votes / found.share)
        others = tuple(
            Alternative(other.sql, _said(thought.answers[other.number]), round(1 / total, 3)) for other in found.others
        )
        return replace(query, sql=found.ballot.sql, confidence=round(found.share, 3), alternatives=others)

    async def _candidates(
        self, question: str, schema: Schema, context: Context, messages: list[dict[str, str]], thought: _Thought
    ) -> None:
        """Writes and tries candidates, some at a time, until the result is decided or the tokens are used up."""
        wanted = context.thinking.candidates
        numbers = iter(range(wanted))
        running: set[asyncio.Task[None]] = set()
        cost = sum(prompt.tokens_of(message["content"]) for message in messages)
        try:
            while True:
                while len(running) < TOGETHER and not self._settled(thought, wanted, schema):
                    if not thought.may(cost):
                        context.report(Step("The tokens for thinking are used up.", tokens=thought.tokens))
                        break
                    number = next(numbers, None)
                    if number is None:
                        break
                    thought.reserved += cost
                    running.add(
                        asyncio.create_task(self._candidate(number, question, schema, context, messages, thought, cost))
                    )
                if not running or self._settled(thought, wanted, schema):
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            # Until the connections to the provider are closed, and the statements in the database stopped.
            await asyncio.gather(*running, return_exceptions=True)

    def _settled(self, thought: _Thought, wanted: int, schema: Schema) -> bool:
        return len(thought.ballots) > 1 and decided(thought.ballots, wanted - len(thought.answers), schema.dialect)

    async def _candidate(
        self,
        number: int,
        question: str,
        schema: Schema,
        context: Context,
        messages: list[dict[str, str]],
        thought: _Thought,
        cost: int,
    ) -> None:
        """Writes one candidate, tries it out, and has it repaired where it fails."""
        assert context.attempt is not None
        said, temperature = messages, 0.0 if number == 0 else _TEMPERATURE
        fields: Mapping[str, Any] = {}
        try:
            for turn in range(self._repairs + 1):
                written = await self._writer.write(said, temperature)
                thought.tokens += written.tokens
                fields, sql = written.fields, statement(written.fields)
                if not sql:
                    thought.refusal = _refusal(fields)
                    context.report(Step(f"Candidate {number + 1} has no statement.", tokens=thought.tokens))
                    return
                tried = await context.attempt(sql)
                context.report(Step(_outcome(number, turn, tried), sql, thought.tokens))
                if not tried.error or turn == self._repairs or not thought.may(0):
                    thought.ballots.append(Ballot(number, sql, tried))
                    return
                failed = replace(context, failure=Failure(sql, tried.error))
                said, _links = await asyncio.to_thread(self._messages, question, schema, failed)
        except ParleyError as error:
            # The others may fare better; where none does, this is said.
            log.info("candidate failed", reason=error.reason)
            thought.error = error
        finally:
            thought.reserved -= cost
            thought.answers[number] = fields


def statement(fields: Mapping[str, Any]) -> str:
    """The statement of an answer; empty where there is none."""
    return str(fields.get("sql") or "").strip().rstrip(";").strip()


def _outcome(number: int, turn: int, trial: Trial) -> str:
    name = f"Candidate {number + 1}" + (f", repaired ({turn})" if turn else "")
    if trial.error:
        return f"{name} fails: {trial.error}"
    return f"{name} gives {len(trial.rows)} row{'' if len(trial.rows) == 1 else 's'}."


def _refusal(fields: Mapping[str, Any]) -> str:
    why = str(fields.get("explanation") or "the model wrote no statement")[:500]
    return f"{why.rstrip('.')}."


def _said(fields: Mapping[str, Any]) -> str:
    return str(fields.get("explanation") or "")[:_MAX_TEXT]


def _confidence(value: object) -> float:
    return min(1.0, max(0.0, float(value))) if isinstance(value, (int, float)) and value == value else 0.5


def _alternatives(value: object) -> tuple[Alternative, ...]:
    entries = [item for item in value if isinstance(item, dict) and item.get("sql")] if isinstance(value, list) else []
    return tuple(Alternative(statement(item), _said(item), _confidence(item.get("confidence"))) for item in entries)
