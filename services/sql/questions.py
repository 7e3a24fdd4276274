"""Use cases about questions and statements: write a query, run one, answer a question."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from services.mesh import telemetry
from services.mesh.errors import InvalidArgument
from services.sql import answer, guard
from services.sql.databases import Databases
from services.sql.errors import QuestionNotUnderstood, SchemaOutdated, SqlFailed, SqlRejected
from services.sql.execute import Columns, Part, Rows, Slots, Summary
from services.sql.query import MAX_ALTERNATIVES, Failure, GeneratedQuery, SqlEngine
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
class Answered:
    """The end of an answer."""

    text: str
    summary: Summary


@dataclass(frozen=True)
class Understood:
    """A question's query and the schema that it is about."""

    query: GeneratedQuery
    schema: Schema


@dataclass(frozen=True)
class _Failed:
    """A question whose statement the database refused."""

    identifier: str
    question: str
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
    """

    def __init__(
        self, databases: Databases, engines: Mapping[str, SqlEngine], default: str, limits: Limits, slots: Slots
    ) -> None:
        self._databases = databases
        self._engines = engines
        self._default = default
        self._limits = limits
        self._slots = slots

    async def generate(self, identifier: str, question: str, engine: str = "") -> Understood:
        """The query for a question; it passed the guard.

        Raises:
            NotFound: There is no such database.
            InvalidArgument: There is no such engine.
            QuestionNotUnderstood: No query follows from the question.
        """
        chosen = self._engine(engine)
        schema, _read = await self._databases.schema(identifier)
        return Understood(await self._guarded(chosen, question, schema), schema)

    async def execute(
        self, identifier: str, sql: str, max_rows: int = 0, seconds: float | None = None
    ) -> AsyncGenerator[Part, None]:
        """Runs a statement. Raises what services.sql.execute.run raises, NotFound and SqlRejected."""
        rows, limit = self._limits.rows(max_rows), self._limits.seconds(seconds)
        target = await self._databases.target(identifier)
        checked = await asyncio.to_thread(guard.check, sql, target.dialect, rows)
        async with contextlib.aclosing(self._slots.run(target, checked, rows, limit)) as parts:
            async for part in parts:
                yield part

    async def ask(
        self, identifier: str, question: str, engine: str = "", max_rows: int = 0
    ) -> AsyncGenerator[Understood | Columns | Rows | Answered, None]:
        """Answers a question: its query, the rows, a sentence. Raises what `generate` and `execute` raise.

        A statement that fails before its first row is written anew: with the database's present schema where a table or
        column is missing, and once more by an engine that learns from what the database said.
        """
        chosen = self._engine(engine)
        schema, read = await self._databases.schema(identifier)
        target = await self._databases.target(identifier)
        understood = Understood(await self._guarded(chosen, question, schema), schema)
        remedies: list[_Remedy] = [self._repaired, self._renewed]
        begun = False
        while True:
            try:
                async with contextlib.aclosing(self._answered(target, question, understood, max_rows)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                    return
            except SqlFailed as error:
                if begun:
                    raise
                understood = await self._again(remedies, _Failed(identifier, question, chosen, understood, read, error))

    async def _answered(
        self, target: Target, question: str, understood: Understood, max_rows: int
    ) -> AsyncGenerator[Understood | Columns | Rows | Answered, None]:
        query, schema = understood.query, understood.schema
        rows = self._limits.rows(max_rows)
        checked = guard.check(query.sql, target.dialect, rows)
        columns = Columns(())
        head: list[list[object]] = []
        async with contextlib.aclosing(self._slots.run(target, checked, rows, self._limits.timeout)) as parts:
            async for part in parts:
                if isinstance(part, Columns):
                    columns = part
                    yield understood
                    yield part
                elif isinstance(part, Rows):
                    head += [list(row) for row in part.rows[: SPOKEN_ROWS - len(head)]]
                    yield part
                else:
                    names = [column.name for column in columns.columns]
                    text = answer.sentence(question, query, schema, names, head, part.row_count, part.truncated)
                    yield Answered(text, part)

    async def _guarded(self, engine: SqlEngine, question: str, schema: Schema) -> GeneratedQuery:
        """A query that passed the guard, with one more try for an engine whose first did not."""
        query = await engine.generate(question, schema)
        try:
            self._check(query, schema)
        except SqlRejected as error:
            query = await engine.generate(question, schema, Failure(query.sql, error.message))
            try:
                self._check(query, schema)
            except SqlRejected:
                raise QuestionNotUnderstood("the engine wrote no statement that may run. Ask it differently.") from None
        allowed = [other for other in query.alternatives if self._passes(other.sql, schema)]
        return replace(query, alternatives=tuple(allowed[:MAX_ALTERNATIVES]))

    def _passes(self, sql: str, schema: Schema) -> bool:
        try:
            guard.check(sql, schema.dialect, self._limits.max_rows)
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
        return Understood(await self._guarded(failed.engine, failed.question, schema), schema)

    async def _repaired(self, failed: _Failed) -> Understood | None:
        """Another query by an engine that is told of the failure; None where there is none better."""
        schema = failed.understood.schema
        failure = Failure(failed.understood.query.sql, failed.error.message)
        try:
            repaired = await failed.engine.generate(failed.question, schema, failure)
            self._check(repaired, schema)
        except (QuestionNotUnderstood, SqlRejected):
            return None
        return Understood(repaired, schema)

    def _check(self, query: GeneratedQuery, schema: Schema) -> None:
        guard.check(query.sql, schema.dialect, self._limits.max_rows)

    def _engine(self, name: str) -> SqlEngine:
        chosen = self._engines.get(name or self._default)
        if chosen is None:
            known = ", ".join(sorted(self._engines))
            raise InvalidArgument("engine", f"there is no engine {name!r} here; there are: {known}.")
        return chosen
