"""Runs checked statements: read-only, bounded in time, streamed in batches, stopped when nobody listens any more.

Each run has a pooled connection and a worker thread of its own, because the drivers block. The guard
(services/sql/guard/guard.py) is the first barrier; the connections (services/sql/drivers) refuse to write besides.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from services.mesh import telemetry
from services.mesh.errors import ParleyError
from services.sql.drivers.driver import Session
from services.sql.errors import DatabaseUnavailable, DatabaseUnreachable
from services.sql.execution import metrics
from services.sql.execution.pool import WAIT_SECONDS, Pool, Pools
from services.sql.guard.guard import Checked
from services.sql.schema import Dialect
from services.sql.target import Target
from services.sql.values import ResultColumn, Value

T = TypeVar("T")

BATCH_ROWS = 256
# Databases stop a statement at its timeout themselves; one that has not after so much longer hangs, in seconds.
HANG_SECONDS = 10.0
# How long a database may take to stop what it was asked to stop, in seconds.
STOP_SECONDS = 2.0
# OpenTelemetry's names, where they differ from sqlglot's.
_SYSTEMS = {**{dialect: dialect.value for dialect in Dialect}, Dialect.POSTGRESQL: "postgresql"}

log = telemetry.get_logger(__name__)


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
    chart: Mapping[str, Any] | None = None
    """A Vega-Lite specification that draws the result, where one fits."""


Part = Columns | Rows | Summary


class _Statement:
    """One statement on a pooled connection. `cancel` and `sever` may be called from any thread, the rest from one."""

    def __init__(self, pool: Pool, sql: str, seconds: float) -> None:
        self._pool = pool
        self._sql = sql
        self._seconds = seconds
        self._session: Session | None = None
        self._cancelled = False

    def open(self) -> None:
        """Takes a connection and starts; once more on a new connection where an old one turns out dead."""
        try:
            self._start(new=False)
        except DatabaseUnreachable:
            if self._cancelled or self._session is None:
                raise
            self._pool.give(self._session, usable=False)
            self._session = None
            self._start(new=True)

    def _start(self, *, new: bool) -> None:
        self._session = self._pool.take(new=new)
        if not self._cancelled:
            self._session.start(self._sql, self._seconds)

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows; none at the end."""
        return self._session.fetch(count) if self._session is not None and not self._cancelled else []

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns; known after the first fetch."""
        return self._session.columns(rows) if self._session is not None else ()

    def cancel(self) -> None:
        """Stops what runs now, in the database."""
        self._cancelled = True
        if self._session is not None:
            self._session.cancel()

    def sever(self) -> None:
        """Gives up a database that does not even answer that it was stopped."""
        if self._session is not None:
            self._session.sever()

    def close(self) -> None:
        """Ends the statement and gives the connection back."""
        session, self._session = self._session, None
        if session is None:
            return
        usable = False
        try:
            session.finish()
            usable = not self._cancelled
        except ParleyError as error:
            log.info("connection dropped", error=type(error).__name__)
        finally:
            self._pool.give(session, usable=usable)


class _Worker:
    """One thread for one statement, with a clock that runs only while the database works."""

    def __init__(self, statement: _Statement) -> None:
        self.elapsed = 0.0
        self._statement = statement
        self._busy = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="query")

    async def call(self, work: Callable[..., T], *arguments: Any, limit: float) -> T:
        """Runs a step in the thread. Raises DatabaseUnreachable when it has not come back after `limit` seconds."""
        started = time.monotonic()

        def step() -> T:
            self._busy.set()
            try:
                return work(*arguments)
            finally:
                self._busy.clear()

        try:
            return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._thread, step), limit)
        except TimeoutError:
            raise DatabaseUnreachable("The database does not answer any more; the statement was given up.") from None
        finally:
            self.elapsed += time.monotonic() - started

    def abandon(self) -> None:
        """Stops the statement and gives the connection back without waiting for either."""
        if self._busy.is_set():
            # Not here: asking a database to stop may wait for its network.
            threading.Thread(target=self._stop, name="cancel", daemon=True).start()
        self._thread.submit(self._statement.close)
        self._thread.shutdown(wait=False)

    def _stop(self) -> None:
        stopping = threading.Thread(target=self._statement.cancel, name="cancel", daemon=True)
        stopping.start()
        stopping.join(STOP_SECONDS)
        given_up = time.monotonic() + STOP_SECONDS
        while self._busy.is_set() and time.monotonic() < given_up:
            time.sleep(0.05)
        if self._busy.is_set():
            self._statement.sever()


async def run(pool: Pool, checked: Checked, max_rows: int, seconds: float) -> AsyncGenerator[Part, None]:
    """Runs a statement; yields Columns, then Rows, then Summary.

    Closing the generator, or cancelling the task that reads it, stops the statement.

    Args:
        pool: The database's connections.
        checked: A statement that passed the guard with the same `max_rows`.
        max_rows: Rows after which the result is cut off.
        seconds: How long the database may work, in seconds; waiting for a slow caller does not count.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or went away.
        SqlFailed: It refused or failed the statement.
        SqlTimeout: The time is up.
    """
    statement = _Statement(pool, checked.sql, seconds)
    worker = _Worker(statement)
    limit = seconds + HANG_SECONDS
    with contextlib.closing(_Abandoned(worker)):
        # Not the rows after the first ones: how fast those are fetched is up to who reads them.
        with telemetry.span("database.execute", **{"db.system": _SYSTEMS[checked.dialect]}):
            await worker.call(statement.open, limit=limit + WAIT_SECONDS)
            rows = await worker.call(statement.fetch, min(BATCH_ROWS, max_rows + 1), limit=limit)
        columns = statement.columns(rows)
        yield Columns(columns)
        count = 0
        while rows and count < max_rows:
            kept = rows[: max_rows - count]
            count += len(kept)
            yield Rows([[column.convert(value) for column, value in zip(columns, row, strict=True)] for row in kept])
            if len(kept) < len(rows):
                break
            rows = await worker.call(statement.fetch, min(BATCH_ROWS, max_rows + 1 - count), limit=limit)
        metrics.SECONDS.labels(_SYSTEMS[checked.dialect]).observe(worker.elapsed)
        metrics.ROWS.labels(_SYSTEMS[checked.dialect]).inc(count)
        yield Summary(count, bool(rows) and count >= max_rows, worker.elapsed)


class _Abandoned:
    """Abandons a worker when closed: in a finally that may not await, since cancellation can end the run anywhere."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker

    def close(self) -> None:
        self._worker.abandon()


class Slots:
    """How many statements may run at the same time; others wait for their turn.

    Args:
        count: So many.
        pools: Connections to databases.
    """

    def __init__(self, count: int, pools: Pools | None = None) -> None:
        self._pools = pools or Pools()
        self._free = asyncio.Semaphore(count)

    async def run(self, target: Target, checked: Checked, max_rows: int, seconds: float) -> AsyncGenerator[Part, None]:
        """As the function `run`, when there is a free slot."""
        async with self._free, contextlib.aclosing(run(self._pools.of(target), checked, max_rows, seconds)) as parts:
            try:
                async for part in parts:
                    yield part
            except DatabaseUnavailable:
                self._pools.doubt(target)
                raise


def live_queries() -> int:
    """How many worker threads of queries are alive in this process, for tests and metrics."""
    return sum(thread.name.startswith("query") for thread in threading.enumerate())
