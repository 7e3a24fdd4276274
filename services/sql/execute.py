"""Runs checked statements: read-only, bounded in time, streamed in batches, stopped when nobody listens any more.

Each run has a connection and a worker thread of its own, because the drivers block. The guard (services/sql/guard.py)
is the first barrier; here the connection itself refuses to write: SQLite by mode=ro, query_only and an authorizer,
PostgreSQL by a read-only transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.mesh import telemetry
from services.sql.guard import Checked
from services.sql.postgres_reader import PostgresReader
from services.sql.schema import Dialect
from services.sql.sqlite_reader import SqliteReader
from services.sql.target import Target
from services.sql.values import ResultColumn, Value

T = TypeVar("T")

BATCH_ROWS = 256
# OpenTelemetry's names.
_SYSTEMS = {Dialect.SQLITE: "sqlite", Dialect.POSTGRESQL: "postgresql"}


@dataclass(frozen=True)
class Columns:
    """The columns of a result."""

    columns: tuple[ResultColumn, ...]


@dataclass(frozen=True)
class Rows:
    """Some rows of a result; each holds one value for each column."""

    rows: Sequence[Sequence[Value]]


@dataclass(frozen=True)
class Summary:
    """The end of a result."""

    row_count: int
    truncated: bool
    """Whether the row limit cut it off."""
    elapsed: float
    """How long the database worked, in seconds."""


Part = Columns | Rows | Summary


class Reader(Protocol):
    """A cursor over one statement's rows. `cancel` may be called from any thread, the others from one."""

    def open(self, sql: str, timeout: float) -> None:
        """Connects and starts the statement."""

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows; none at the end."""

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, judged by the first rows where the database does not type its results."""

    def cancel(self) -> None:
        """Stops what runs now."""

    def close(self) -> None:
        """Ends the transaction and the connection."""


def reader_for(target: Target) -> Reader:
    """The reader for a target's dialect."""
    return SqliteReader(target) if target.dialect is Dialect.SQLITE else PostgresReader(target)


class _Worker:
    """One thread for one reader, with a clock that runs only while the database works."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.elapsed = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="query")

    async def call(self, work: Callable[..., T], *arguments: Any) -> T:
        started = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        finally:
            self.elapsed += time.monotonic() - started

    def abandon(self) -> None:
        """Stops the statement and closes the connection without waiting for either."""
        self.reader.cancel()
        self._thread.submit(self.reader.close)
        self._thread.shutdown(wait=False)


async def run(target: Target, checked: Checked, max_rows: int, seconds: float) -> AsyncGenerator[Part, None]:
    """Runs a statement; yields Columns, then Rows, then Summary.

    Closing the generator, or cancelling the task that reads it, stops the statement.

    Args:
        target: The database.
        checked: A statement that passed the guard with the same `max_rows`.
        max_rows: Rows after which the result is cut off.
        seconds: How long the database may work, in seconds; waiting for a slow caller does not count.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or went away.
        SqlFailed: It refused or failed the statement.
        SqlTimeout: The time is up.
    """
    worker = _Worker(reader_for(target))
    reader = worker.reader
    with contextlib.closing(_Abandoned(worker)):
        # Not the rows after the first ones: how fast those are fetched is up to who reads them.
        with telemetry.span("database.execute", **{"db.system": _SYSTEMS[checked.dialect]}):
            await worker.call(reader.open, checked.sql, seconds)
            rows = await worker.call(reader.fetch, min(BATCH_ROWS, max_rows + 1))
        columns = reader.columns(rows)
        yield Columns(columns)
        count = 0
        while rows and count < max_rows:
            kept = rows[: max_rows - count]
            count += len(kept)
            yield Rows([[column.convert(value) for column, value in zip(columns, row, strict=True)] for row in kept])
            if len(kept) < len(rows):
                break
            rows = await worker.call(reader.fetch, min(BATCH_ROWS, max_rows + 1 - count))
        yield Summary(count, bool(rows) and count >= max_rows, worker.elapsed)


class _Abandoned:
    """Abandons a worker when closed: in a finally that may not await, since cancellation can end the run anywhere."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker

    def close(self) -> None:
        self._worker.abandon()


class Slots:
    """How many statements may run at the same time; others wait for their turn."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def run(self, target: Target, checked: Checked, max_rows: int, seconds: float) -> AsyncGenerator[Part, None]:
        """As the function `run`, when there is a free slot."""
        async with self._free, contextlib.aclosing(run(target, checked, max_rows, seconds)) as parts:
            async for part in parts:
                yield part


def live_queries() -> int:
    """How many worker threads of queries are alive in this process, for tests and metrics."""
    return sum(thread.name.startswith("query") for thread in threading.enumerate())
