"""MySQL and MariaDB: read-only transactions with a time limit in the server, rows as they come."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pymysql
from pymysql.constants import CR, ER, FIELD_TYPE
from pymysql.cursors import Cursor, SSCursor

from services.mesh import telemetry
from services.mesh.authority import NOBODY, Persona
from services.mesh.hosts import normal
from services.sql.drivers.driver import MAX_TABLES, OWN_SECONDS, Clock, Described, grouped, not_open, refused, stopped
from services.sql.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    NotOpen,
    RoleRefused,
    SchemaOutdated,
    SqlFailed,
    SqlTimeout,
)
from services.sql.hosts import Hosts, first_of
from services.sql.schema import Column, ForeignKey, Table, kind_of
from services.sql.target import CONNECT_SECONDS, Target
from services.sql.values import ColumnType, ResultColumn

T = TypeVar("T")

log = telemetry.get_logger(__name__)

_PORT = 3306
_TYPES = {
    **dict.fromkeys(
        (
            FIELD_TYPE.TINY,
            FIELD_TYPE.SHORT,
            FIELD_TYPE.LONG,
            FIELD_TYPE.LONGLONG,
            FIELD_TYPE.INT24,
            FIELD_TYPE.YEAR,
            FIELD_TYPE.BIT,
        ),
        ColumnType.INTEGER,
    ),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), ColumnType.NUMBER),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), ColumnType.DECIMAL),
    **dict.fromkeys((FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE), ColumnType.DATE),
    **dict.fromkeys((FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME), ColumnType.TIMESTAMP),
    FIELD_TYPE.JSON: ColumnType.JSON,
}
_TEXTS = {FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.BLOB, FIELD_TYPE.TINY_BLOB}
_TEXTS |= {FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB}
# The character set of bytes.
_BINARY = 63
# Wrong password; no right to the database; no such database; a plugin that refuses; an account that is locked.
_REFUSED = {ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.BAD_DB_ERROR, 1698, 3118, 4151}
# A table, or a column, that may not be read.
_CLOSED = {ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR}
_MISSING = {ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR}
# max_execution_time of MySQL, max_statement_time of MariaDB, KILL QUERY, a lock that was not had in time.
_STOPPED = {3024, 1969, ER.QUERY_INTERRUPTED, ER.LOCK_WAIT_TIMEOUT}
# Shutting down, killed, too many connections; beyond 2000 the client library's own.
_LOST = {1053, 1927, ER.CON_COUNT_ERROR, 1226}
# Rows that are read and thrown away to keep a connection whose statement was not read to its end.
_DRAINED = 1000

_TABLES = """
    SELECT table_name, table_type = 'VIEW', coalesce(table_rows, 0), IF(table_type = 'VIEW', '', table_comment)
    FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name LIMIT %s"""
_COLUMNS = """
    SELECT table_name, column_name, column_type, is_nullable = 'YES', column_comment
    FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"""
_KEYS = """
    SELECT table_name, constraint_name, column_name, referenced_table_name, referenced_column_name
    FROM information_schema.key_column_usage
    WHERE table_schema = DATABASE() AND (constraint_name = 'PRIMARY' OR referenced_table_schema = DATABASE())
    ORDER BY table_name, constraint_name, ordinal_position"""
_FINGERPRINT = """
    SELECT concat_ws('-', count(*), sum(crc32(concat_ws(' ', table_name, column_name, column_type, is_nullable))))
    FROM information_schema.columns WHERE table_schema = DATABASE()"""


# The server's, without the modes in which it reads strings, quotes and operators otherwise than the guard did.
_SQL_MODE = "@@sql_mode"
for _mode in (
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES",
    "PIPES_AS_CONCAT",
    "HIGH_NOT_PRECEDENCE",
    "ORACLE",
    "ANSI",
    "MSSQL",
):
    _SQL_MODE = f"REPLACE({_SQL_MODE}, '{_mode}', '')"


def connect(target: Target, hosts: Hosts) -> MysqlSession:
    """A session with a server, at one of the addresses that `hosts` gives for its name. Raises HostRefused."""
    return MysqlSession(target, hosts.addresses(target.hosts[0], target.url.port or _PORT))


class MysqlSession:
    """Implements services.sql.drivers.driver.Session."""

    def __init__(self, target: Target, addresses: Sequence[str]) -> None:
        self.round_trips = 1
        self._target = target
        self._clock = Clock(OWN_SECONDS)
        self._cursor: SSCursor | None = None
        self._persona = NOBODY
        self._acted = False
        self._sql = ""
        try:
            self._address, self._connection = first_of(addresses, lambda address: _open(target, address), OSError)
        except (pymysql.Error, OSError, ssl.SSLError) as error:
            log.warning("database unavailable", error=target.scrub(str(error)))
            if error.args and error.args[0] in _REFUSED:
                raise DatabaseRefused from None
            raise DatabaseUnreachable("The database's host cannot be reached, or nothing answers there.") from None
        version = str(self._connection.get_server_info())  # type: ignore[no-untyped-call]  # its stubs lack it
        maria = "mariadb" in version.lower()
        self._limit = "max_statement_time = {0}" if maria else "max_execution_time = {1}"

    def start(self, sql: str, seconds: float) -> None:
        """Begins a read-only transaction whose statement the server stops in time, and starts it."""
        self._begin(seconds)
        self._sql = sql
        cursor = self._cursor = self._connection.cursor(SSCursor)
        # Without arguments PyMySQL leaves % signs alone.
        self._step(lambda: cursor.execute(sql))

    def act_as(self, persona: Persona) -> None:
        """From the next transaction on, as somebody. A role lasts as long as its session: that one is not kept."""
        self._persona = persona

    @property
    def kept(self) -> bool:
        """Whether nobody acted under a role here."""
        return not self._acted

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows."""
        cursor = self._cursor
        if cursor is None:
            return []
        kinds = self._kinds()
        found = self._step(lambda: cursor.fetchmany(count))
        special = [index for index, (code, kind) in enumerate(kinds) if code in _CONVERTED or kind in _CONVERTED]
        if not special:
            return list(found)
        return [_converted(row, kinds, special) for row in found]

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, as the server types them."""
        description = (self._cursor.description if self._cursor else None) or ()
        return tuple(
            ResultColumn(item[0], kind) for item, (_code, kind) in zip(description, self._kinds(), strict=True)
        )

    def finish(self) -> None:
        """Ends the transaction. A statement with many rows unread is stopped, and the connection with it."""
        cursor, self._cursor = self._cursor, None
        self._clock = Clock(OWN_SECONDS)
        if cursor is not None and _unread(cursor) and self._drained(cursor) == _DRAINED:
            self._cursor = cursor
            self.cancel()
            raise DatabaseUnreachable("The statement was not read to its end; its connection is closed.")
        self._step(self._connection.rollback)

    def _drained(self, cursor: SSCursor) -> int:
        """Reads the rows that are still to come, up to a bound; says how many."""
        try:
            return len(self._step(lambda: cursor.fetchmany(_DRAINED)))
        except (SqlFailed, SqlTimeout):
            # An error ends the rows too.
            return 0

    def cancel(self) -> None:
        """Has the server stop what runs now, over another connection: this one is waiting."""
        thread = int(self._connection.thread_id())  # type: ignore[no-untyped-call]  # its stubs lack it
        with contextlib.suppress(pymysql.Error, OSError):
            other = _open(self._target, self._address)
            try:
                with other.cursor() as cursor:
                    cursor.execute(f"KILL QUERY {thread}")
            finally:
                other.close()

    def sever(self) -> None:
        """Ends the socket."""
        with contextlib.suppress(OSError, AttributeError):
            self._connection._sock.shutdown(2)  # type: ignore[attr-defined]  # PyMySQL has no public way to it

    def alive(self) -> bool:
        """Whether the server still answers, and waits for a statement."""
        if self._cursor is not None:
            return False
        if self._clock.fresh():
            return bool(self._connection.open)
        try:
            self._step(lambda: self._connection.ping(reconnect=False))
        except (DatabaseUnreachable, DatabaseRefused):
            return False
        return True

    def close(self) -> None:
        """Ends the connection."""
        if self._cursor is not None:
            _abandon(self._cursor)
        with contextlib.suppress(pymysql.Error, OSError):
            self._connection._force_close()  # type: ignore[attr-defined]  # `close` waits for the server's answer

    def fingerprint(self) -> str:
        """A sum over the columns."""
        return str(self._own(_FINGERPRINT)[0][0])

    def catalogue(self) -> list[Described]:
        """Tables and views of the database that the URL names."""
        columns = grouped(self._own(_COLUMNS), lambda row: str(row[0]))
        keys = grouped(self._own(_KEYS), lambda row: str(row[0]))
        return [
            Described(_table(row, columns.get(row[0], []), keys.get(row[0], [])), bool(row[1]))
            for row in self._own(_TABLES, (MAX_TABLES,))
        ]

    def explain(self, sql: str) -> str:
        """The plan as JSON: the only form that says costs and conditions in both products."""
        self._sql = sql
        return str(self._own(f"EXPLAIN FORMAT=JSON {sql}")[0][0])

    def _begin(self, seconds: float) -> None:
        self._clock = Clock(seconds)
        limit = self._limit.format(max(seconds, 0.001), max(1, int(seconds * 1000)))
        with self._connection.cursor() as cursor:
            self._step(lambda: cursor.execute(f"SET SESSION {limit}, lock_wait_timeout = 5"))
            if self._persona and not self._acted:
                self._become(cursor, self._persona.role)
            self._step(lambda: cursor.execute("START TRANSACTION READ ONLY"))

    def _become(self, cursor: Cursor, role: str) -> None:
        """Sets the role of this session. Raises RoleRefused."""
        self._acted = True
        try:
            # A quoted name: identity lets no quote into one.
            self._step(lambda: cursor.execute("SET ROLE `{}`".format(role.replace("`", "``"))))
        except (SqlFailed, NotOpen, DatabaseRefused):
            raise RoleRefused(role) from None

    def _own(self, sql: str, arguments: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """A statement of Parley's own."""
        try:
            self._begin(OWN_SECONDS)
            with self._connection.cursor() as cursor:
                self._step(lambda: cursor.execute(sql, arguments))
                return list(cursor.fetchall())
        finally:
            self.finish()

    def _kinds(self) -> list[tuple[int, ColumnType]]:
        """Each result column's type in the protocol, and ours."""
        result = getattr(self._cursor, "_result", None)
        return [(field.type_code, _kind(field)) for field in (result.fields if result is not None else ())]

    def _step(self, work: Callable[[], T]) -> T:
        self.round_trips += 1
        with self._clock.running(), self._faults():
            return work()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns the driver's errors into ours."""
        try:
            yield
        except (pymysql.Error, OSError, struct.error, AttributeError) as error:
            raise self._mapped(error) from None

    def _mapped(self, error: Exception) -> Exception:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if code in _STOPPED:
            return stopped()
        # The driver breaks off with these when its socket was closed under it.
        lost = not isinstance(error, pymysql.Error) or isinstance(error, pymysql.InterfaceError)
        if lost or code in _LOST or (code >= CR.CR_ERROR_FIRST and code < 3000):
            log.warning("database unavailable", error=self._target.scrub(str(error)))
            return DatabaseUnreachable("The database cannot be reached or ended the connection.")
        text = str(error.args[1]) if len(error.args) > 1 else type(error).__name__
        if code in _CLOSED and self._persona:
            return not_open(self._sql, text)
        return SchemaOutdated(text) if code in _MISSING else refused(text)


_CONVERTED = (FIELD_TYPE.BIT, ColumnType.BOOLEAN, ColumnType.JSON)


def _open(target: Target, address: str) -> pymysql.Connection[Any]:
    """A connection to an address; the name is what its certificate is checked by. Raises pymysql.Error, OSError."""
    url = target.url
    port = url.port or _PORT
    encrypted = str(url.query.get("ssl", "")).lower() in ("1", "true", "required")
    connection = pymysql.connect(
        host=normal(target.hosts[0]),
        port=port,
        user=url.username or "",
        password=str(url.password or ""),
        database=url.database,
        charset="utf8mb4",
        connect_timeout=CONNECT_SECONDS,
        program_name="parley-sql",
        init_command=f"SET SESSION time_zone = '+00:00', sql_mode = {_SQL_MODE}",
        ssl=ssl.create_default_context() if encrypted else None,
        local_infile=False,
        defer_connect=True,
    )
    own = socket.create_connection((address, port), CONNECT_SECONDS)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.connect(own)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
    return connection


def _unread(cursor: SSCursor) -> bool:
    """Whether the server still sends rows: none does after an error."""
    result = getattr(cursor, "_result", None)
    return bool(result is not None and result.unbuffered_active)


def _abandon(cursor: SSCursor) -> None:
    """Keeps PyMySQL from reading all rows of a cursor when it is thrown away."""
    cursor.connection = None  # type: ignore[assignment]  # so PyMySQL marks a closed cursor itself
    result = getattr(cursor, "_result", None)
    if result is not None:
        result.unbuffered_active = False


def _kind(field: Any) -> ColumnType:
    """A result column's type."""
    if field.type_code == FIELD_TYPE.TINY and field.length == 1:
        # TINYINT(1) is what BOOLEAN means here.
        return ColumnType.BOOLEAN
    if field.type_code in _TEXTS:
        return ColumnType.BYTES if field.charsetnr == _BINARY else ColumnType.TEXT
    return _TYPES.get(field.type_code, ColumnType.TEXT)


def _converted(row: tuple[Any, ...], kinds: list[tuple[int, ColumnType]], special: list[int]) -> tuple[Any, ...]:
    values = list(row)
    for index in special:
        value, (code, kind) = values[index], kinds[index]
        if value is None:
            continue
        if code == FIELD_TYPE.BIT:
            values[index] = int.from_bytes(value, "big")
        elif kind is ColumnType.BOOLEAN:
            # Any other number than 0 is true to MySQL; show what is not 1 as it is.
            values[index] = bool(value) if value in (0, 1) else value
        else:
            values[index] = json.loads(value)
    return tuple(values)


def _table(found: tuple[Any, ...], columns: list[tuple[Any, ...]], keys: list[tuple[Any, ...]]) -> Table:
    name, _view, count, comment = found
    # A key of columns of which some may not be read helps nobody, and would name them.
    open_ = {item[1] for item in columns}
    shut = {key[1] for key in keys if key[2] not in open_}
    keys = [key for key in keys if key[1] not in shut]
    constraints = grouped([key for key in keys if key[1] != "PRIMARY"], lambda row: str(row[1]))
    return Table(
        name,
        tuple(Column(item[1], item[2], kind_of(item[2]), bool(item[3]), description=item[4]) for item in columns),
        tuple(key[2] for key in keys if key[1] == "PRIMARY"),
        tuple(
            ForeignKey(tuple(row[2] for row in rows), rows[0][3], tuple(row[4] for row in rows))
            for rows in constraints.values()
        ),
        int(count),
        comment or "",
    )
