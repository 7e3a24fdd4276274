"""Use cases about questions and statements: write a query, run one, answer a question."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from services.mesh.errors import InvalidArgument
from services.sql import answer, guard
from services.sql.databases import Databases
from services.sql.errors import QuestionNotUnderstood, SqlFailed, SqlRejected
from services.sql.execute import Columns, Part, Rows, Slots, Summary
from services.sql.query import Failure, GeneratedQuery, SqlEngine
from services.sql.schema import Schema
from services.sql.target import Target

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

        An engine gets one more try when the database refuses its statement before the first row.
        """
        chosen = self._engine(engine)
        schema, _read = await self._databases.schema(identifier)
        target = await self._databases.target(identifier)
        query = await self._guarded(chosen, question, schema)
        begun = False
        try:
            async with contextlib.aclosing(self._answered(target, question, query, schema, max_rows)) as parts:
                async for part in parts:
                    begun = True
                    yield part
        except SqlFailed as error:
            if begun:
                raise
            query = await self._repaired(chosen, question, schema, query, error)
            async with contextlib.aclosing(self._answered(target, question, query, schema, max_rows)) as parts:
                async for part in parts:
                    yield part

    async def _answered(
        self, target: Target, question: str, query: GeneratedQuery, schema: Schema, max_rows: int
    ) -> AsyncGenerator[Understood | Columns | Rows | Answered, None]:
        rows = self._limits.rows(max_rows)
        checked = guard.check(query.sql, target.dialect, rows)
        columns = Columns(())
        head: list[list[object]] = []
        async with contextlib.aclosing(self._slots.run(target, checked, rows, self._limits.timeout)) as parts:
            async for part in parts:
                if isinstance(part, Columns):
                    columns = part
                    yield Understood(query, schema)
                    yield part
                elif isinstance(part, Rows):
                    head += [list(row) for row in part.rows[: SPOKEN_ROWS - len(head)]]
                    yield part
                else:
                    names = [column.name for column in columns.columns]
                    yield Answered(answer.sentence(question, names, head, part.row_count, part.truncated), part)

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
        return query

    async def _repaired(
        self, engine: SqlEngine, question: str, schema: Schema, query: GeneratedQuery, error: SqlFailed
    ) -> GeneratedQuery:
        """Another query for one that the database refused; raises that refusal where there is none better."""
        try:
            repaired = await engine.generate(question, schema, Failure(query.sql, error.message))
            self._check(repaired, schema)
        except (QuestionNotUnderstood, SqlRejected):
            raise error from None
        return repaired

    def _check(self, query: GeneratedQuery, schema: Schema) -> None:
        guard.check(query.sql, schema.dialect, self._limits.max_rows)

    def _engine(self, name: str) -> SqlEngine:
        chosen = self._engines.get(name or self._default)
        if chosen is None:
            known = ", ".join(sorted(self._engines))
            raise InvalidArgument("engine", f"there is no engine {name!r} here; there are: {known}.")
        return chosen
