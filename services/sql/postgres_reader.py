"""Reads one statement's rows from PostgreSQL through a server-side cursor."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions
from psycopg2 import errorcodes

from services.mesh import telemetry
from services.sql.errors import DatabaseUnavailable, SchemaOutdated, SqlTimeout
from services.sql.sqlite_reader import refused
from services.sql.target import Target, connect_postgres
from services.sql.values import ColumnType, ResultColumn

T = TypeVar("T")

log = telemetry.get_logger(__name__)

# Types by their object ids in pg_type; arrays and json go out as JSON, the rest as text.
_TYPES = {
    **dict.fromkeys((20, 21, 23, 26), ColumnType.INTEGER),
    **dict.fromkeys((700, 701), ColumnType.NUMBER),
    **dict.fromkeys((1114, 1184), ColumnType.TIMESTAMP),
    **dict.fromkeys((114, 3802, 1000, 1005, 1007, 1009, 1015, 1016, 1021, 1022, 1182, 1231), ColumnType.JSON),
    16: ColumnType.BOOLEAN,
    17: ColumnType.BYTES,
    1082: ColumnType.DATE,
    1700: ColumnType.DECIMAL,
}

_MISSING = (errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN)


class PostgresReader:
    """A cursor over one statement's rows of a PostgreSQL database; implements services.sql.execute.Reader."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._timeout = 0.0
        self._spent = 0.0
        self._connection: psycopg2.extensions.connection | None = None
        self._cursor: psycopg2.extensions.cursor | None = None

    def open(self, sql: str, timeout: float) -> None:
        """Connects, opens a read-only transaction with a statement timeout, and declares the cursor."""
        self._timeout = timeout
        self._timed(lambda: self._start(sql))

    def _start(self, sql: str) -> None:
        connection = self._connection = connect_postgres(self._target)
        with connection.cursor() as setup:
            setup.execute("SET TRANSACTION READ ONLY")
            setup.execute("SELECT set_config('statement_timeout', %s, true)", (f"{int(self._timeout * 1000)}ms",))
            setup.execute("SET LOCAL lock_timeout = '5s'")
        self._cursor = connection.cursor(name="parley")
        # Without arguments psycopg2 leaves % signs alone.
        self._cursor.execute(sql)

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows; none at the end."""
        cursor = self._cursor
        return [] if cursor is None else self._timed(lambda: cursor.fetchmany(count))

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, as the server types them; known after the first fetch."""
        description = (self._cursor.description if self._cursor else None) or ()
        return tuple(ResultColumn(item.name, _TYPES.get(item.type_code, ColumnType.TEXT)) for item in description)

    def cancel(self) -> None:
        """Asks the server to stop what runs now."""
        if self._connection is not None:
            # The connection may be closed already, or the server away: then nothing runs.
            with contextlib.suppress(psycopg2.Error):
                self._connection.cancel()

    def close(self) -> None:
        """Ends the transaction and the connection."""
        if self._connection is not None:
            self._connection.close()

    def _timed(self, work: Callable[[], T]) -> T:
        """Runs a step, adds its time up, and turns the driver's errors into ours."""
        started = time.monotonic()
        try:
            result = work()
        except psycopg2.Error as error:
            raise self._mapped(error) from None
        self._spent += time.monotonic() - started
        # statement_timeout bounds each fetch; this bounds their sum.
        if self._spent > self._timeout:
            raise SqlTimeout("The statement ran longer than its timeout and was stopped.")
        return result

    def _mapped(self, error: psycopg2.Error) -> Exception:
        if error.pgcode == errorcodes.QUERY_CANCELED:
            return SqlTimeout("The statement ran longer than its timeout and was stopped.")
        lost = error.pgcode is None or error.pgcode[:2] in ("08", "57", "53")
        if lost and isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
            log.warning("database unavailable", error=self._target.scrub(str(error)))
            return DatabaseUnavailable("The database cannot be reached or ended the connection.")
        text = error.diag.message_primary or type(error).__name__
        return SchemaOutdated(text) if error.pgcode in _MISSING else refused(text)
