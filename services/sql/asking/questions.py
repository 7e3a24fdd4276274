"""Use cases about questions and statements: write a query, run one, answer a question."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeAlias

from services.mesh import authority, telemetry, usage
from services.mesh.authority import NotGranted
from services.mesh.errors import InvalidArgument, ParleyError
from services.mesh.usage import Unit
from services.sql.advice.explain import Explainer, Explanation
from services.sql.asking import closed
from services.sql.asking.policy import Policy
from services.sql.asking.steps import Steps
from services.sql.databases import Databases
from services.sql.engine import embedded
from services.sql.engine.ambiguity import QuestionBack
from services.sql.errors import (
    DatabaseUnavailable,
    NotOpen,
    QuestionNotUnderstood,
    SchemaOnly,
    SchemaOutdated,
    SqlFailed,
    SqlRejected,
)
from services.sql.execution.execute import Columns, Part, Rows, Slots, Summary
from services.sql.execution.trials import Probing, Trials
from services.sql.guard import guard
from services.sql.knowledge.history_store import Outcome
from services.sql.knowledge.memory import Memory
from services.sql.query import MAX_ALTERNATIVES, Context, Failure, GeneratedQuery, SqlEngine, Step, Thinking, Turn
from services.sql.results import answer, chart, export, superlative
from services.sql.results.digest import Digest
from services.sql.results.export import Format
from services.sql.schema import Schema
from services.sql.target import Target

log = telemetry.get_logger(__name__)

# Rows that an answer sentence looks at.
SPOKEN_ROWS = 20


@dataclass(frozen=True)
class Limits:
    """Bounds on statements: defaults, and what a request may ask for at most."""

    max_rows: int = 1000
    max_rows_limit: int = 100_000
    timeout: float = 30.0
    timeout_limit: float = 120.0

    def rows(self, asked: int) -> int:
        """The row limit for a request that asks for so many; 0 asks for the default."""
        return min(asked or self.max_rows, self.max_rows_limit)

    def seconds(self, asked: float | None) -> float:
        """The time limit for a request. Raises InvalidArgument where it asks for none or less."""
        if asked is None:
            return self.timeout
        if asked <= 0:
            raise InvalidArgument("timeout", "it must be longer than 0 s.")
        return min(asked, self.timeout_limit)


@dataclass(frozen=True)
class Options:
    """How a statement shall be run."""

    max_rows: int = 0
    """At most this many rows; 0: the default."""
    seconds: float | None = None
    """How long it may work, in seconds; None: the default."""
    skip: int = 0
    """Rows at the beginning to leave out."""
    confirmed: bool = False
    """Whether it may cost more than the ceiling."""


_DEFAULT = Options()


@dataclass(frozen=True)
class Asked:
    """How a question is asked."""

    question: str
    engine: str = ""
    """Name of the engine; empty for the default."""
    history: tuple[Turn, ...] = ()
    """What was asked before, oldest first."""
    thinking: Thinking | None = None
    """How long a language model may think; None: the deployment's default. A bound that is 0 is the deployment's."""
    max_rows: int = 0
    confirmed: bool = False
    guess: bool = False
    """Whether the likeliest reading is answered although there are others, or the engine is not sure."""


@dataclass(frozen=True)
class Answered:
    """The end of an answer."""

    text: str
    summary: Summary


@dataclass(frozen=True)
class Understood:
    """A question's query and the schema that it is about."""

    query: GeneratedQuery
    schema: Schema


Event: TypeAlias = Step | Understood | QuestionBack | Columns | Rows | Answered
"""A part of an answer."""


@dataclass(frozen=True)
class _Failed:
    """A question whose statement the database refused."""

    identifier: str
    asked: Asked
    context: Context
    engine: SqlEngine
    understood: Understood
    read: datetime
    """When the schema was read that the question was first understood by."""
    error: SqlFailed


_Remedy: TypeAlias = Callable[[_Failed], Awaitable[Understood | None]]


class Questions:
    """Questions to registered databases.

    Args:
        databases: The databases.
        engines: Engines by the names that requests choose them by.
        default: Name of the engine for requests that choose none.
        limits: Bounds on statements.
        slots: How many statements run at the same time.
        explainer: Says what statements cost.
        memory: Answers after examples, and records.
        trials: Tries statements out; None: none are.
        policy: When to ask back and when to refuse, and how long to think.
    """

    def __init__(
        self,
        databases: Databases,
        engines: Mapping[str, SqlEngine],
        default: str,
        limits: Limits,
        slots: Slots,
        explainer: Explainer,
        memory: Memory,
        trials: Trials | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._trials = trials
        self._policy = policy or Policy()
        self._databases = databases
        self._engines = engines
        self._default = default
        self._limits = limits
        self._slots = slots
        self._explainer = explainer
        self._memory = memory

    async def generate(self, identifier: str, asked: Asked) -> Understood:
        """The query for a question; it passed the guard.

        Raises:
            NotFound: There is no such database.
            InvalidArgument: There is no such engine.
            NotGranted: The caller may not use the engine or the database.
            NotOpen: The question needs what the caller's role may not read.
            QuestionNotUnderstood: No query follows from the question.
        """
        chosen = self._engine(asked.engine)
        schema, read = await self._databases.schema(identifier)
        async with self._memory.recorded(identifier, asked.question, self._named(asked.engine)) as entry:
            found = await self._understood(identifier, asked, chosen, Steps().report, schema, read)
            return replace(found, query=await entry.written(found.query))

    async def execute(self, identifier: str, sql: str, options: Options = _DEFAULT) -> AsyncGenerator[Part, None]:
        """Runs a statement; its summary suggests a chart.

        Raises what services.sql.execution.execute.run raises, NotFound, SqlRejected and ConfirmationRequired.
        """
        rows, limit = self._limits.rows(options.max_rows), self._limits.seconds(options.seconds)
        target = await self._databases.target(identifier)
        schema, _read = await self._databases.schema(identifier)
        checked = await asyncio.to_thread(guard.check, sql, target.dialect, rows, sizes=schema.sizes, skip=options.skip)
        await self._explainer.confirm(target, checked, schema, options.confirmed)
        digest = Digest(())
        async with contextlib.aclosing(self._slots.run(target, checked, rows, limit)) as parts:
            async for part in parts:
                if isinstance(part, Columns):
                    digest = Digest(part.columns)
                elif isinstance(part, Rows):
                    usage.add(Unit.ROWS, len(part.rows))
                    digest.add(part.rows)
                else:
                    part = _charted(part, digest, options.skip)
                yield part

    async def export(
        self, identifier: str, sql: str, form: Format, max_rows: int, confirmed: bool
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """A statement's result as a file, in pieces with their content type.

        Raises what `execute` raises, and TooLarge for a result over the deployment's limit or the format's.
        """
        options = Options(max_rows or self._limits.max_rows_limit, confirmed=confirmed)
        async with contextlib.aclosing(
            export.exported(self.execute(identifier, sql, options), form, not max_rows)
        ) as pieces:
            async for piece in pieces:
                yield piece

    async def explain(self, identifier: str, sql: str, measure: bool) -> Explanation:
        """What a statement costs, and how it could cost less. Raises what `execute` raises."""
        target = await self._databases.target(identifier)
        schema, _read = await self._databases.schema(identifier)
        return await self._explainer.explain(target, sql, schema, measure)

    async def ask(self, identifier: str, asked: Asked) -> AsyncGenerator[Event, None]:
        """Answers a question: steps of thinking, its query, the rows, a sentence; or a question back, which ends it.

        Raises what `generate` and `execute` raise.

        A statement that fails before its first row is written anew: with the database's present schema where a table or
        column is missing, and once more by an engine that learns from what the database said.
        """
        chosen = self._engine(asked.engine)
        schema, read = await self._databases.schema(identifier)
        target = await self._databases.target(identifier)
        async with self._memory.recorded(identifier, asked.question, self._named(asked.engine)) as entry:
            steps: Steps[Understood] = Steps()
            writing = self._understood(identifier, asked, chosen, steps.report, schema, read)
            async with contextlib.aclosing(steps.until(writing)) as shown:
                async for step in shown:
                    yield step
            understood = steps.result()
            understood = replace(understood, query=await entry.written(understood.query))
            if not asked.guess:
                back = self._policy.back(understood.query, asked.question)
                if back is not None:
                    await entry.ended(Outcome.ASKED_BACK)
                    yield back
                    return
                await self._sure(identifier, understood, asked.question)
            context = await self._context(identifier, asked, understood.schema)
            remedies: list[_Remedy] = [*[self._repaired] * self._policy.repairs, self._renewed]
            options = Options(asked.max_rows, confirmed=asked.confirmed)
            begun = False
            while True:
                try:
                    async with contextlib.aclosing(
                        self._answered(target, asked.question, understood, options)
                    ) as parts:
                        async for part in parts:
                            begun = True
                            yield part
                    await entry.ended(Outcome.ANSWERED)
                    return
                except NotOpen:
                    # It names what the statement names, which this caller did not write.
                    raise closed.needed() from None
                except SqlFailed as error:
                    if begun:
                        raise
                    failed = _Failed(identifier, asked, context, chosen, understood, read, error)
                    again = await self._again(remedies, failed)
                    understood = replace(again, query=await entry.written(again.query))

    async def _answered(
        self, target: Target, question: str, understood: Understood, options: Options
    ) -> AsyncGenerator[Understood | Columns | Rows | Answered, None]:
        query, schema = understood.query, understood.schema
        rows = self._limits.rows(options.max_rows)
        checked = guard.check(query.sql, target.dialect, rows, sizes=schema.sizes)
        await self._explainer.confirm(target, checked, schema, options.confirmed)
        digest = Digest(())
        head: list[list[object]] = []
        async with contextlib.aclosing(self._slots.run(target, checked, rows, self._limits.timeout)) as parts:
            async for part in parts:
                if isinstance(part, Columns):
                    digest = Digest(part.columns)
                    yield understood
                    yield part
                elif isinstance(part, Rows):
                    usage.add(Unit.ROWS, len(part.rows))
                    head += [list(row) for row in part.rows[: SPOKEN_ROWS - len(head)]]
                    digest.add(part.rows)
                    yield part
                else:
                    chosen_by = await self._chosen_by(target, query, schema, head) if part.row_count == 1 else None
                    text = answer.sentence(question, query, schema, digest, head, part.truncated, chosen_by)
                    yield Answered(text, _charted(part, digest, options.skip))

    async def _chosen_by(
        self, target: Target, query: GeneratedQuery, schema: Schema, head: list[list[object]]
    ) -> tuple[str, object] | None:
        """What the one value of a result was chosen by, and its figure; None where there is no such thing."""
        found = superlative.companion(query.sql, schema.dialect) if len(head[0]) == 1 else None
        if found is None:
            return None
        try:
            checked = guard.check(found.sql, schema.dialect, 1, sizes=schema.sizes)
            async with contextlib.aclosing(self._slots.run(target, checked, 1, self._limits.timeout)) as parts:
                rows = [row for part in [item async for item in parts] if isinstance(part, Rows) for row in part.rows]
        except ParleyError as error:
            # The answer is there already; this would only have said more.
            log.info("superlative without its figure", error=type(error).__name__)
            return None
        return (found.name, rows[0][1]) if rows and rows[0][0] == head[0][0] else None

    async def _context(self, identifier: str, asked: Asked, schema: Schema) -> Context:
        """What an engine may use for a question; a schema without a database is not probed."""
        context = Context(history=asked.history, thinking=self._policy.thinking(asked.thinking))
        if self._trials is None:
            return context
        try:
            target = await self._databases.target(identifier)
        except (SchemaOnly, DatabaseUnavailable):
            return context
        attempt = partial(self._trials.attempt, target, schema)
        return replace(context, probe=self._trials.probe(target, schema), attempt=attempt)

    async def _understood(
        self,
        identifier: str,
        asked: Asked,
        engine: SqlEngine,
        report: Callable[[Step], None],
        schema: Schema,
        read: datetime,
    ) -> Understood:
        """A question's query; anew by the present schema where trying statements out showed that it has changed."""
        context = replace(await self._context(identifier, asked, schema), report=report)
        refusal: QuestionNotUnderstood | None = None
        query: GeneratedQuery | None = None
        try:
            query = await self._guarded(identifier, asked, engine, context, schema)
        except QuestionNotUnderstood as error:
            refusal = error
        if isinstance(context.probe, Probing) and context.probe.outdated:
            renewed, _read = await self._databases.renewed(identifier, read)
            if renewed != schema:
                log.info("schema changed", database=identifier)
                context = replace(await self._context(identifier, asked, renewed), report=report)
                return Understood(await self._guarded(identifier, asked, engine, context, renewed), renewed)
        if query is None or query.unknown_words:
            await self._open(identifier, query.full_question if query else "", asked.question, schema)
        if query is None:
            raise refusal or QuestionNotUnderstood("no statement follows from it.")
        return Understood(query, schema)

    async def _open(self, identifier: str, full: str, question: str, schema: Schema) -> None:
        """Raises NotOpen where a question that is not understood needs what the caller's role may not read."""
        if authority.current().persona(identifier):
            await closed.check(full or question, schema, await self._databases.whole(identifier))

    async def _sure(self, identifier: str, understood: Understood, question: str) -> None:
        """Raises QuestionNotUnderstood where the answer would not be sure enough, NotOpen where a role is why."""
        try:
            self._policy.check(understood.query, question)
        except QuestionNotUnderstood:
            await self._open(identifier, understood.query.full_question, question, understood.schema)
            raise

    async def _guarded(
        self, identifier: str, asked: Asked, engine: SqlEngine, context: Context, schema: Schema
    ) -> GeneratedQuery:
        """A query that passed the guard, with more tries for an engine whose first did not."""
        shown: tuple[Turn, ...] = ()

        async def write(failure: Failure | None, examples: tuple[Turn, ...]) -> GeneratedQuery:
            nonlocal shown
            shown = examples
            return await engine.generate(asked.question, schema, replace(context, failure=failure, examples=examples))

        name = self._named(asked.engine)
        query = await self._memory.written(identifier, asked.question, schema, name, write)
        for left in range(self._policy.repairs, -1, -1):
            try:
                self._check(query, schema)
                break
            except SqlRejected as error:
                if not left:
                    raise QuestionNotUnderstood(
                        "the engine wrote no statement that may run. Ask it differently."
                    ) from None
                query = await write(Failure(query.sql, error.message), shown)
        allowed = [other for other in query.alternatives if self._passes(other.sql, schema)]
        return replace(query, alternatives=tuple(allowed[:MAX_ALTERNATIVES]))

    def _passes(self, sql: str, schema: Schema) -> bool:
        try:
            guard.check(sql, schema.dialect, self._limits.max_rows, sizes=schema.sizes)
        except SqlRejected:
            return False
        return True

    async def _again(self, remedies: list[_Remedy], failed: _Failed) -> Understood:
        """What the next remedy that has one makes of a failure; each is tried once. Raises the failure otherwise."""
        while remedies:
            found = await remedies.pop()(failed)
            if found is not None:
                return found
        raise failed.error

    async def _renewed(self, failed: _Failed) -> Understood | None:
        """A query for the database as it is now; None where its schema is not to blame."""
        if not isinstance(failed.error, SchemaOutdated):
            return None
        schema, _read = await self._databases.renewed(failed.identifier, failed.read)
        if schema == failed.understood.schema:
            return None
        log.info("schema changed", database=failed.identifier)
        return Understood(
            await self._guarded(failed.identifier, failed.asked, failed.engine, failed.context, schema), schema
        )

    async def _repaired(self, failed: _Failed) -> Understood | None:
        """Another query by an engine that is told of the failure; None where there is none better."""
        schema = failed.understood.schema
        failure = Failure(failed.understood.query.sql, failed.error.message)
        try:
            repaired = await failed.engine.generate(
                failed.asked.question, schema, replace(failed.context, failure=failure)
            )
            self._check(repaired, schema)
        except (QuestionNotUnderstood, SqlRejected):
            return None
        return Understood(repaired, schema)

    def _check(self, query: GeneratedQuery, schema: Schema) -> None:
        guard.check(query.sql, schema.dialect, self._limits.max_rows, sizes=schema.sizes)

    def _named(self, name: str) -> str:
        """The name of the engine that a request chooses; else of the default one, where the caller may use it."""
        return name or (self._default if _may_use(self._default) else embedded.NAME)

    def _engine(self, name: str) -> SqlEngine:
        named = self._named(name)
        chosen = self._engines.get(named)
        if chosen is None:
            known = ", ".join(sorted(filter(_may_use, self._engines)))
            raise InvalidArgument("engine", f"there is no engine {named!r} here; there are: {known}.")
        if not _may_use(named):
            raise NotGranted(f"models/{named}")
        return chosen


def _may_use(engine: str) -> bool:
    """Whether the caller may use an engine: all but the embedded one are models of providers, which need a grant."""
    return engine == embedded.NAME or authority.current().may_use_model(engine)


def _charted(summary: Summary, digest: Digest, skipped: int) -> Summary:
    """A summary with the chart of its result; a part of a result is not drawn as if it were all."""
    return summary if summary.truncated or skipped else replace(summary, chart=chart.suggest(digest))
