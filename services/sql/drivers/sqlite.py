"""SQLite files: read-only by the open mode, by query_only and by an authorizer."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from services.mesh import telemetry
from services.sql.drivers.driver import MAX_TABLES, OWN_SECONDS, Clock, Described, grouped, refused, stopped
from services.sql.drivers.files import Identity
from services.sql.errors import DatabaseUnreachable, SchemaOutdated, SqlFailed
from services.sql.hosts import Hosts
from services.sql.schema import Column, ForeignKey, Kind, Table, kind_of
from services.sql.target import Target
from services.sql.values import ResultColumn, guess_type

T = TypeVar("T")

log = telemetry.get_logger(__name__)

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
_SAYS_SOMETHING = re.compile(r"blob|binary|json|time|interval|point|array|vector|geom", re.IGNORECASE)
_TABLES = """
    SELECT name, type = 'view' FROM sqlite_master
    WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name LIMIT ?"""
# Text in '…', or an identifier in "…": all that the guard's output quotes.
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")*)\"""")


def connect(target: Target, _hosts: Hosts) -> SqliteSession:
    """A session with a file, which is at no host."""
    return SqliteSession(target)


def _authorize(action: int, _first: str | None, second: str | None, *_rest: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DENIED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


class SqliteSession:
    """Implements services.sql.drivers.driver.Session."""

    kept = True

    def __init__(self, target: Target) -> None:
        self.round_trips = 0
        self._target = target
        self._identity = Identity(target.path)
        self._stop = threading.Event()
        self._clock = Clock(OWN_SECONDS)
        self._cursor: sqlite3.Cursor | None = None
        with self._faults():
            self._connection = _open(target)

    def start(self, sql: str, seconds: float) -> None:
        """Starts a statement."""
        self._clock = Clock(seconds)
        self._connection.set_authorizer(_authorize)
        self._cursor = self._step(lambda: self._connection.execute(strict(sql)))

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows."""
        cursor = self._cursor
        return [] if cursor is None else self._step(lambda: cursor.fetchmany(count))

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, typed by their first values."""
        description = self._cursor.description if self._cursor else ()
        return tuple(
            ResultColumn(item[0], guess_type(row[index] for row in rows)) for index, item in enumerate(description)
        )

    def finish(self) -> None:
        """Ends the statement."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with self._faults():
                cursor.close()

    def cancel(self) -> None:
        """Stops what runs now: the progress handler sees it within `_STEPS`."""
        self._stop.set()

    def sever(self) -> None:
        """A file does not hang."""

    def alive(self) -> bool:
        """Whether the file is still the one that was opened."""
        return not self._stop.is_set() and self._identity.holds()

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def fingerprint(self) -> str:
        """SQLite counts its schema's changes itself."""
        return str(self._own("PRAGMA schema_version")[0][0])

    def catalogue(self) -> list[Described]:
        """Tables and views with columns and keys."""
        names = self._own(_TABLES, MAX_TABLES)
        found = self._own(
            'SELECT m.name, k.id, k."table", k."from", k."to" FROM sqlite_master m, '
            "pragma_foreign_key_list(m.name) k WHERE m.type = 'table' ORDER BY m.name, k.id, k.seq"
        )
        keys = grouped(found, lambda row: str(row[0]))
        return [
            Described(_table(name, columns, keys.get(name, [])), bool(view))
            for name, view in names
            if (columns := self._columns(name))
        ]

    def _columns(self, name: str) -> list[tuple[Any, ...]]:
        """A table's columns; none for a view of tables that are gone, or a virtual table whose module is not here."""
        try:
            # table_xinfo shows generated columns too; hidden = 1 are a virtual table's own.
            return self._own(
                'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid', name
            )
        except SqlFailed as error:
            log.warning("table cannot be described", error=self._target.scrub(str(error)))
            return []

    def explain(self, sql: str) -> str:
        """The query plan, indented by its levels."""
        self._connection.set_authorizer(None)
        found = self._own(f"EXPLAIN QUERY PLAN {strict(sql)}")
        depth = {0: -1}
        for identifier, parent, _unused, _text in found:
            depth[identifier] = depth.get(parent, -1) + 1
        return "\n".join("  " * depth[row[0]] + str(row[3]) for row in found)

    def _own(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """A statement of Parley's own."""
        self._clock = Clock(OWN_SECONDS)
        self._connection.set_authorizer(None)
        return self._step(lambda: self._connection.execute(sql, arguments).fetchall())

    def _step(self, work: Callable[[], T]) -> T:
        self.round_trips += 1
        self._connection.set_progress_handler(self._expired, _STEPS)
        with self._clock.running(), self._faults():
            return work()

    def _expired(self) -> bool:
        return self._stop.is_set() or self._clock.expired()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns the driver's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._mapped(error) from None

    def _mapped(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            return stopped()
        if code in _UNREACHABLE:
            return DatabaseUnreachable("The database file cannot be opened or is locked by a writer.")
        if code in _DAMAGED:
            return DatabaseUnreachable("The file is damaged or not a SQLite database.", retry_after=None)
        text = self._target.scrub(str(error))
        return SchemaOutdated(text) if text.startswith(_MISSING) else refused(text)


def _open(target: Target) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error."""
    connection = sqlite3.connect(f"{target.path.as_uri()}?mode=ro", uri=True, timeout=2, check_same_thread=False)
    # Files in the wild hold text in other encodings; a wrong byte must not lose the row.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.execute("PRAGMA query_only=1")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_LENGTH)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    return connection


def strict(sql: str) -> str:
    """A statement with its identifiers in backticks: SQLite takes `"…"` for text where no column has that name.

    Args:
        sql: As the guard writes it: without comments, and with no other quotes than these two.
    """

    def rewritten(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name is None else "`" + name.replace('""', '"').replace("`", "``") + "`"

    return _QUOTED.sub(rewritten, sql)


def _table(name: str, columns: list[tuple[Any, ...]], keys: list[tuple[Any, ...]]) -> Table:
    own = {str(column[0]).lower(): str(column[0]) for column in columns}
    primary = [column[0] for column in sorted(columns, key=lambda column: column[3]) if column[3]]
    return Table(
        name,
        tuple(Column(item[0], item[1] or "TEXT", _kind(item[1] or "TEXT"), not item[2]) for item in columns),
        tuple(primary),
        tuple(_key(rows, own) for rows in grouped(keys, lambda row: str(row[1])).values()),
    )


def _kind(type_name: str) -> Kind:
    """The kind of a declared type; by SQLite's rule, a word that says nothing stands for a number."""
    kind = kind_of(type_name)
    return Kind.NUMBER if kind is Kind.OTHER and not _SAYS_SOMETHING.search(type_name) else kind


def _key(found: list[tuple[Any, ...]], own: dict[str, str]) -> ForeignKey:
    """A foreign key from its rows (table, id, referred table, from, to); `to` is null for the primary key."""
    return ForeignKey(
        tuple(own.get(row[3].lower(), row[3]) for row in found),
        found[0][2],
        tuple(row[4] for row in found if row[4] is not None),
    )
