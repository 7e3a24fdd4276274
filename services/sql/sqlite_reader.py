"""Reads one statement's rows from a SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from services.sql.errors import DatabaseUnavailable, SchemaOutdated, SqlFailed, SqlTimeout
from services.sql.target import Target, connect_sqlite
from services.sql.values import ResultColumn, guess_type

T = TypeVar("T")

# The authorizer's codes that a reading statement needs.
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_DENIED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
# Virtual machine steps between two looks at the clock: some 0.1 ms.
_STEPS = 10_000
# No value may be longer, in bytes: one statement must not fill the memory.
_MAX_LENGTH = 4 * 1024 * 1024
_UNREACHABLE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
# SQLite has no code of its own for these.
_MISSING = ("no such table", "no such column")
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _authorize(action: int, _first: str | None, second: str | None, *_rest: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DENIED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


class SqliteReader:
    """A cursor over one statement's rows of a SQLite file; implements services.sql.execute.Reader."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stop = threading.Event()
        self._left = 0.0
        self._deadline = 0.0
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None

    def open(self, sql: str, timeout: float) -> None:
        """Connects and starts the statement."""
        self._left = timeout
        self._timed(lambda: self._start(sql))

    def _start(self, sql: str) -> None:
        connection = self._connection = connect_sqlite(self._target)
        connection.set_authorizer(_authorize)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_LENGTH)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(self._expired, _STEPS)
        self._cursor = connection.execute(sql)

    def _expired(self) -> bool:
        return self._stop.is_set() or time.monotonic() > self._deadline

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows; none at the end."""
        cursor = self._cursor
        return [] if cursor is None else self._timed(lambda: cursor.fetchmany(count))

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, typed by their first values."""
        description = self._cursor.description if self._cursor else ()
        return tuple(
            ResultColumn(item[0], guess_type(row[index] for row in rows)) for index, item in enumerate(description)
        )

    def cancel(self) -> None:
        """Stops what runs now: the progress handler sees it within `_STEPS`."""
        self._stop.set()

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()

    def _timed(self, work: Callable[[], T]) -> T:
        """Runs a step within the time that is left, and turns the driver's errors into ours."""
        started = time.monotonic()
        self._deadline = started + self._left
        try:
            return work()
        except sqlite3.Error as error:
            raise self._mapped(error) from None
        finally:
            self._left -= time.monotonic() - started

    def _mapped(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            return SqlTimeout("The statement ran longer than its timeout and was stopped.")
        if code in _UNREACHABLE:
            return DatabaseUnavailable("The database file cannot be opened or is locked by a writer.")
        if code in _DAMAGED:
            return DatabaseUnavailable("The file is damaged or not a SQLite database.", retry_after=None)
        text = self._target.scrub(str(error))
        return SchemaOutdated(text) if text.startswith(_MISSING) else refused(text)


def refused(text: str) -> SqlFailed:
    """The error for a statement that the database refused, with what it said."""
    return SqlFailed(f"The database refused the statement: {text.rstrip('.')}.")
