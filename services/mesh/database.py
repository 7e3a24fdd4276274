"""A service's own database: SQLite on a laptop, PostgreSQL in a cluster, the same migrations for both.

SQLAlchemy runs synchronously in a few worker threads: the drivers block, and a transaction is one function that either
commits or leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from services.mesh import revisions, schema_versions, storage_metrics, telemetry, tenancy
from services.mesh.errors import StorageUnavailable

T = TypeVar("T")

log = telemetry.get_logger(__name__)

# How long a writer waits for SQLite's lock before it gives up, in seconds.
LOCK_SECONDS = 5
THREADS = 8
# Of SQLAlchemy's operational errors these say that the storage is at fault, not the statement.
SQLITE_FAULTS = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked",
    sqlite3.SQLITE_FULL: "is on a full disk",
    sqlite3.SQLITE_READONLY: "is read-only",
    sqlite3.SQLITE_IOERR: "cannot be read or written",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_NOTADB: "is not a SQLite file",
}


def driver_url(url: str) -> URL:
    """A URL with the driver that Parley installs: `postgresql://` means psycopg2 here, whatever the default.

    Raises:
        sqlalchemy.exc.ArgumentError: It is not a URL.
    """
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg2") if parsed.drivername in ("postgresql", "postgres") else parsed


class Database:
    """A service's own database.

    Args:
        url: SQLAlchemy URL, e.g. `sqlite:////var/lib/parley/chat.db` or `postgresql://user:password@host/chat`.
        migrations: Folder with the service's Alembic revisions in `versions/`.
    """

    def __init__(self, url: str, migrations: pathlib.Path) -> None:
        self._migrations = migrations
        address = driver_url(url)
        self._sqlite = address.get_backend_name() == "sqlite"
        if self._sqlite:
            self._engine = create_engine(address, connect_args={"timeout": LOCK_SECONDS})
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_immediately)
        else:
            self._engine = create_engine(
                address, pool_pre_ping=True, pool_size=THREADS, connect_args={"connect_timeout": 5}
            )
        tenancy.watch(self._engine)
        # SQLite has one writer at a time: more threads would only wait for each other's locks.
        self._connections = 1 if self._sqlite else THREADS
        self._threads = ThreadPoolExecutor(self._connections, thread_name_prefix="database")
        storage_metrics.CONNECTIONS.inc(self._connections)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for tests and tools; services use `run`."""
        return self._engine

    async def run(self, work: Callable[[Session], T]) -> T:
        """Runs a function in one transaction, in a worker thread; commits when it returns, rolls back when it raises.

        Cancelling the awaiting task does not undo the transaction: it ends by itself, whole or not at all. Rows of
        tenants are those of the present scope; see services/mesh/tenancy.py.

        Args:
            work: Gets the session; what it returns must not be bound to it.

        Raises:
            StorageUnavailable: The storage is full, locked, read-only or away; nothing was written.
        """
        with telemetry.span("database.transaction"), storage_metrics.ASKED.track_inprogress():
            # Found out here: worker threads do not know which call they work for.
            scope = tenancy.current()
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._transaction, work, scope)

    def _transaction(self, work: Callable[[Session], T], scope: tenancy.Scope | None) -> T:
        with (
            storage_metrics.connection(),
            storage_faults(),
            tenancy.TenantSession(self._engine, scope) as session,
            session.begin(),
        ):
            return work(session)

    async def migrate(self) -> None:
        """Brings the schema up to the newest revision. Several processes may do so at once: one does, the others wait.

        A schema that a newer version brought further stays as it is: see services/mesh/schema_versions.py. Alembic is
        loaded only where something is to be done; services/mesh/migrate.py does that in a process of its own.

        Raises:
            StorageUnavailable: The storage cannot be reached or written, or lacks what this version needs.
        """
        await asyncio.get_running_loop().run_in_executor(self._threads, self._migrate)

    async def is_behind(self) -> bool:
        """Whether `migrate` would have something to do. Raises StorageUnavailable where it would."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._is_behind)

    def _migrate(self) -> None:
        known = revisions.read(self._migrations)
        with self._schema() as connection:
            if schema_versions.complete(connection, known):
                return
            if not self._sqlite:
                # SQLite's transaction already holds the file's one write lock.
                connection.execute(text("SELECT pg_advisory_xact_lock(7270000)"))
            if revision := schema_versions.newer(connection, known):
                log.warning("a newer version's schema, which this one works on", revision=revision)
                return
            from services.mesh import alembic_upgrade  # here: only who migrates needs Alembic

            alembic_upgrade.upgrade(connection, self._migrations)
            schema_versions.record(connection, known)

    def _is_behind(self) -> bool:
        known = revisions.read(self._migrations)
        with self._schema() as connection:
            return not schema_versions.complete(connection, known) and not schema_versions.newer(connection, known)

    @contextlib.contextmanager
    def _schema(self) -> Iterator[Connection]:
        """A transaction on the schema itself, whoever the rows belong to. Raises StorageUnavailable."""
        with storage_faults(), tenancy.unwatched(self._engine.connect()) as connection, connection.begin():
            yield connection

    async def ping(self) -> None:
        """Returns when the database answers. Raises StorageUnavailable otherwise."""
        await self.run(lambda session: session.execute(text("SELECT 1")))

    async def close(self) -> None:
        """Closes the connections and the threads."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        self._engine.dispose()
        storage_metrics.CONNECTIONS.dec(self._connections)


@contextlib.contextmanager
def storage_faults() -> Iterator[None]:
    """Turns the driver's errors about the storage itself into StorageUnavailable; others pass.

    What the driver says goes to the log: it may name hosts and users.
    """
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError) as error:
        original = error.orig
        if isinstance(original, sqlite3.Error):
            fault = SQLITE_FAULTS.get(getattr(original, "sqlite_errorcode", 0) & 0xFF)
            if fault is None:
                raise
        else:
            fault = "cannot be reached"
        log.error("storage fault", fault=fault, driver=str(original))
        raise StorageUnavailable(f"This service's storage {fault}; nothing was written. Try again shortly.") from error


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """Sets up a new SQLite connection."""
    # The driver must not begin transactions by itself: `_begin_immediately` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Readers go on while one writes, and a crash loses nothing that was committed.
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _write_ahead(cursor: DBAPICursor) -> None:
    """Puts the file into WAL mode, waiting for whoever opens it for the first time beside us.

    The change of mode wants the whole file, and SQLite does not wait for it (its busy handler is not asked where
    waiting could deadlock): of several connections that open a new file at once, all but one are told that it is
    locked.
    """
    give_up = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _begin_immediately(connection: Connection) -> None:
    """Takes the write lock at the start: a transaction that reads and then writes cannot fail half-way for the lock."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
