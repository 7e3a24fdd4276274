"""PostgreSQL: read-only transactions with a statement timeout, rows through a server-side cursor."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions
from psycopg2 import errorcodes

from services.mesh import telemetry
from services.mesh.authority import NOBODY, Persona
from services.sql.drivers.driver import MAX_TABLES, OWN_SECONDS, Clock, Described, grouped, not_open, refused, stopped
from services.sql.errors import DatabaseRefused, DatabaseUnreachable, NotOpen, RoleRefused, SchemaOutdated, SqlFailed
from services.sql.hosts import Hosts
from services.sql.schema import Column, ForeignKey, Kind, Table, kind_of
from services.sql.target import CONNECT_SECONDS, Target
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
_PORT = 5432
_MISSING = (errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN)
_REFUSED_CODES = ("28", "3D", "42501")
# A connection that fails carries no code, only the server's words.
_REFUSED_WORDS = (
    "password",
    "authentication",
    "role ",
    "pg_hba",
    "does not exist",
    "permission denied",
    "no encryption",
)

# A session sees the tables of its search path, as unqualified names do.
_RELATIONS = """
    SELECT c.oid, c.relname, c.relkind IN ('v', 'm', 'f'), greatest(c.reltuples, 0)::bigint,
           coalesce(obj_description(c.oid, 'pg_class'), '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND pg_table_is_visible(c.oid)
      AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
      AND has_any_column_privilege(c.oid, 'SELECT')
    ORDER BY c.relname COLLATE "C" LIMIT %s"""
_COLUMNS = """
    SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, t.typtype = 'e',
           coalesce(col_description(a.attrelid, a.attnum), '')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
      AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
    ORDER BY a.attrelid, a.attnum"""
_KEYS = """
    SELECT k.conrelid, k.contype, k.confrelid,
           ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, i)
                 JOIN pg_attribute ON attrelid = k.conrelid AND attnum = n ORDER BY i),
           ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, i)
                 JOIN pg_attribute ON attrelid = k.confrelid AND attnum = n ORDER BY i)
    FROM pg_constraint k WHERE k.contype IN ('p', 'f') AND k.conrelid = ANY(%s::oid[]) ORDER BY k.conrelid, k.conname"""
_FINGERPRINT = """
    SELECT md5(coalesce(string_agg(concat_ws(' ', c.relname, a.attname, a.atttypid, a.attnotnull), ','
                                   ORDER BY c.relname, a.attnum), ''))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND pg_table_is_visible(c.oid)
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
      AND has_column_privilege(c.oid, a.attnum, 'SELECT')"""
# Settings first: a role might not be allowed to read what they are for, but anybody may set them.
_PERSONA = "SELECT set_config(%s, %s, true)"


def connect(target: Target, hosts: Hosts) -> PostgresSession:
    """A session with a server, at one of the addresses that `hosts` gives for its names. Raises HostRefused."""
    port = target.url.port or _PORT
    return PostgresSession(target, hosts.places((host, port) for host in target.hosts))


class PostgresSession:
    """Implements services.sql.drivers.driver.Session."""

    kept = True

    def __init__(self, target: Target, places: Sequence[tuple[str, str]]) -> None:
        self.round_trips = 1
        self._target = target
        self._clock = Clock(OWN_SECONDS)
        self._cursor: psycopg2.extensions.cursor | None = None
        self._persona = NOBODY
        self._sql = ""
        try:
            self._connection = _open(target, places)
        except psycopg2.Error as error:
            text = str(error)
            log.warning("database unavailable", error=target.scrub(text))
            if "FATAL" in text and any(words in text for words in _REFUSED_WORDS):
                raise DatabaseRefused from None
            raise DatabaseUnreachable("The database's host cannot be reached, or nothing answers there.") from None

    def start(self, sql: str, seconds: float) -> None:
        """Opens a read-only transaction with a statement timeout, and declares the cursor."""
        self._begin(seconds)
        self._sql = sql
        self._cursor = self._connection.cursor(name="parley")
        # Without arguments psycopg2 leaves % signs alone.
        self._step(lambda: self._named().execute(sql))

    def act_as(self, persona: Persona) -> None:
        """From the next transaction on, as somebody: each sets the role, and its end takes it back."""
        self._persona = persona

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows."""
        return [] if self._cursor is None else self._step(lambda: self._named().fetchmany(count))

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, as the server types them."""
        description = (self._cursor.description if self._cursor else None) or ()
        return tuple(ResultColumn(item.name, _TYPES.get(item.type_code, ColumnType.TEXT)) for item in description)

    def finish(self) -> None:
        """Ends the transaction, and with it the cursor and its settings."""
        self._cursor = None
        self._clock = Clock(OWN_SECONDS)
        if self._connection.status != psycopg2.extensions.STATUS_READY:
            self._step(self._connection.rollback)

    def cancel(self) -> None:
        """Asks the server to stop what runs now."""
        # The connection may be closed already, or the server away: then nothing runs.
        with contextlib.suppress(psycopg2.Error):
            self._connection.cancel()

    def sever(self) -> None:
        """Ends the socket: libpq then returns from its wait."""
        with (
            contextlib.suppress(psycopg2.Error, OSError),
            socket.socket(fileno=os.dup(self._connection.fileno())) as shared,
        ):
            shared.shutdown(socket.SHUT_RDWR)

    def alive(self) -> bool:
        """Whether the server still answers."""
        if self._clock.fresh():
            return not self._connection.closed
        try:
            self._own("SELECT 1")
        except (DatabaseUnreachable, DatabaseRefused):
            return False
        return True

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def fingerprint(self) -> str:
        """A digest of the visible tables' columns."""
        return str(self._own(_FINGERPRINT)[0][0])

    def catalogue(self) -> list[Described]:
        """Tables, views and foreign tables that unqualified names mean and that this user may read."""
        relations = self._own(_RELATIONS, (MAX_TABLES,))
        names = {row[0]: str(row[1]) for row in relations}
        oids = list(names)
        columns = grouped(self._own(_COLUMNS, (oids,)), lambda row: str(row[0]))
        keys = grouped(self._own(_KEYS, (oids,)), lambda row: str(row[0]))
        return [
            Described(_table(row, columns.get(str(row[0]), []), keys.get(str(row[0]), []), names), bool(row[2]))
            for row in relations
        ]

    def explain(self, sql: str) -> str:
        """The plan as text."""
        self._sql = sql
        return "\n".join(row[0] for row in self._own(f"EXPLAIN {sql}"))

    def _named(self) -> psycopg2.extensions.cursor:
        assert self._cursor is not None
        return self._cursor

    def _begin(self, seconds: float) -> None:
        """The session is read-only: so is the transaction that this begins."""
        self._clock = Clock(seconds)
        # Statements were checked with the standard's strings, where a backslash is a character like any other.
        settings = (
            f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}; SET LOCAL lock_timeout = '5s'; "
            "SET LOCAL standard_conforming_strings = on"
        )
        with self._connection.cursor() as cursor:
            self._step(lambda: cursor.execute(settings))
        if self._persona:
            self._become(self._persona)

    def _become(self, persona: Persona) -> None:
        """Sets the role and the settings for this transaction. Raises RoleRefused."""
        wanted = [*persona.settings, *([("role", persona.role)] if persona.role else [])]
        statements = ";".join([_PERSONA] * len(wanted))
        with self._connection.cursor() as cursor:
            try:
                self._step(lambda: cursor.execute(statements, [text for pair in wanted for text in pair]))
            except (SqlFailed, NotOpen):
                raise RoleRefused(persona.role) from None

    def _own(self, sql: str, arguments: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """A statement of Parley's own."""
        try:
            self._begin(OWN_SECONDS)
            with self._connection.cursor() as cursor:
                self._step(lambda: cursor.execute(sql, arguments))
                return cursor.fetchall()
        finally:
            self.finish()

    def _step(self, work: Callable[[], T]) -> T:
        self.round_trips += 1
        with self._clock.running(), self._faults():
            return work()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns the driver's errors into ours."""
        try:
            yield
        except psycopg2.Error as error:
            raise self._mapped(error) from None

    def _mapped(self, error: psycopg2.Error) -> Exception:
        code = error.pgcode
        if code == errorcodes.QUERY_CANCELED:
            return stopped()
        if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) and (
            code is None or code[:2] in ("08", "57", "53")
        ):
            log.warning("database unavailable", error=self._target.scrub(str(error)))
            return DatabaseUnreachable("The database cannot be reached or ended the connection.")
        text = error.diag.message_primary or type(error).__name__
        if code == errorcodes.INSUFFICIENT_PRIVILEGE and self._persona:
            return not_open(self._sql, text)
        return SchemaOutdated(text) if code in _MISSING else refused(text)


def _open(target: Target, places: Sequence[tuple[str, str]]) -> psycopg2.extensions.connection:
    """A connection whose transactions only read. Raises psycopg2.Error.

    Args:
        target: The database.
        places: Names, by which certificates are checked, each with the address that is connected to in its stead.
    """
    url = target.url
    options = {"sslmode": str(url.query["sslmode"])} if "sslmode" in url.query else {}
    names, addresses = (",".join(parts) for parts in zip(*places, strict=True))
    parts = {
        "host": names,
        "hostaddr": addresses,
        "port": url.port or _PORT,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
    }
    dsn = psycopg2.extensions.make_dsn(
        **{key: str(value) for key, value in parts.items() if value is not None}, **options
    )
    connection = psycopg2.connect(dsn, connect_timeout=CONNECT_SECONDS, application_name="parley-sql")
    connection.set_session(readonly=True)
    for cast in (_DATE, _TIMESTAMP, _TIMESTAMPTZ):
        psycopg2.extensions.register_type(cast, connection)
    return connection


def _lenient(plain: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A cast that leaves what Python has no date for as the server's text: infinity, the year 10000, BC."""

    def cast(value: str | None, cursor: Any) -> Any:
        if value is None or "infinity" in value:
            return value
        try:
            return plain(value, cursor)
        except (ValueError, psycopg2.DataError):
            return value

    return cast


_DATE = psycopg2.extensions.new_type((1082,), "DATE", _lenient(psycopg2.extensions.PYDATE))
_TIMESTAMP = psycopg2.extensions.new_type((1114,), "TIMESTAMP", _lenient(psycopg2.extensions.PYDATETIME))
_TIMESTAMPTZ = psycopg2.extensions.new_type((1184,), "TIMESTAMPTZ", _lenient(psycopg2.extensions.PYDATETIMETZ))


def _table(
    relation: tuple[Any, ...], columns: list[tuple[Any, ...]], keys: list[tuple[Any, ...]], names: dict[int, str]
) -> Table:
    _oid, name, _view, count, comment = relation
    # A key of columns of which some may not be read helps nobody, and would name them.
    open_ = {item[1] for item in columns}
    keys = [row for row in keys if open_.issuperset(row[3])]
    primary = [row[3] for row in keys if row[1] == "p"]
    return Table(
        name,
        tuple(
            Column(item[1], item[2], Kind.TEXT if item[4] else kind_of(item[2]), item[3], description=item[5])
            for item in columns
        ),
        tuple(primary[0]) if primary else (),
        tuple(
            ForeignKey(tuple(row[3]), names[row[2]], tuple(row[4])) for row in keys if row[1] == "f" and row[2] in names
        ),
        count,
        comment,
    )
