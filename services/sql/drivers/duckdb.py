"""DuckDB files, uploads among them: opened read-only, without access to other files, with its settings locked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb

from services.mesh import telemetry
from services.sql.drivers.driver import MAX_TABLES, OWN_SECONDS, Clock, Described, grouped, refused, stopped
from services.sql.errors import DatabaseUnreachable, SchemaOutdated
from services.sql.hosts import Hosts
from services.sql.schema import Column, ForeignKey, Table, kind_of
from services.sql.target import Target
from services.sql.values import ColumnType, ResultColumn

T = TypeVar("T")

log = telemetry.get_logger(__name__)

# Nothing outside the file can be read or loaded, and no statement can change that.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "memory_limit": "1GB",
    "threads": "2",
}
_TYPES = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), ColumnType.INTEGER),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM"), ColumnType.INTEGER),
    **dict.fromkeys(("FLOAT", "DOUBLE"), ColumnType.NUMBER),
    **dict.fromkeys(("STRUCT", "MAP", "UNION", "JSON"), ColumnType.JSON),
    "DECIMAL": ColumnType.DECIMAL,
    "BOOLEAN": ColumnType.BOOLEAN,
    "DATE": ColumnType.DATE,
    "BLOB": ColumnType.BYTES,
}
_OWN = "database_name = current_database() AND schema_name = current_schema() AND NOT internal"
_TABLES = f"""
    SELECT table_name, false, estimated_size, coalesce(comment, '') FROM duckdb_tables() WHERE {_OWN}
    UNION ALL SELECT view_name, true, 0, coalesce(comment, '') FROM duckdb_views() WHERE {_OWN}
    ORDER BY 1 LIMIT {MAX_TABLES}"""  # noqa: S608  constants of this module
_COLUMNS = f"""
    SELECT table_name, column_name, data_type, is_nullable, coalesce(comment, '')
    FROM duckdb_columns() WHERE {_OWN} ORDER BY table_name, column_index"""  # noqa: S608  constants of this module
_KEYS = """
    SELECT table_name, constraint_type, constraint_column_names, referenced_table, referenced_column_names
    FROM duckdb_constraints() WHERE constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY')
      AND database_name = current_database() AND schema_name = current_schema()
    ORDER BY table_name, constraint_index"""
_FINGERPRINT = f"""
    SELECT count(*) || '-' || coalesce(sum(hash(table_name, column_name, data_type, is_nullable)), 0)
    FROM duckdb_columns() WHERE {_OWN}"""  # noqa: S608  constants of this module


def connect(target: Target, _hosts: Hosts) -> DuckdbSession:
    """A session with a file, which is at no host."""
    return DuckdbSession(target)


class DuckdbSession:
    """Implements services.sql.drivers.driver.Session."""

    kept = False

    def __init__(self, target: Target) -> None:
        self.round_trips = 0
        self._target = target
        self._clock = Clock(OWN_SECONDS)
        self._cancelled = threading.Event()
        self._json: list[int] = []
        try:
            self._connection = duckdb.connect(str(target.path), read_only=True, config=_CONFIG)
        except duckdb.Error as error:
            log.warning("database unavailable", error=target.scrub(str(error)))
            raise DatabaseUnreachable(
                "The database file cannot be opened: it is gone, no DuckDB file, or open for writing elsewhere."
            ) from None

    def start(self, sql: str, seconds: float) -> None:
        """Starts a statement; rows are made as they are fetched."""
        self._clock = Clock(seconds)
        self._step(lambda: self._connection.execute(sql))
        described = self._connection.description or ()
        self._json = [index for index, item in enumerate(described) if str(item[1]) == "JSON"]

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more raw rows."""
        found = self._step(lambda: self._connection.fetchmany(count))
        return [self._parsed(row) for row in found] if self._json else found

    def _parsed(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """A row with its JSON as values; the driver gives text."""
        values = list(row)
        for index in self._json:
            if isinstance(values[index], str):
                values[index] = json.loads(values[index])
        return tuple(values)

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
        """The columns, as DuckDB types them."""
        return tuple(ResultColumn(item[0], _type(str(item[1]))) for item in self._connection.description or ())

    def finish(self) -> None:
        """Drops what was not fetched."""
        self._clock = Clock(OWN_SECONDS)
        self._step(lambda: self._connection.execute("SELECT 1").fetchall())

    def cancel(self) -> None:
        """Interrupts what runs now."""
        self._cancelled.set()
        self._connection.interrupt()

    def sever(self) -> None:
        """A file does not hang."""

    def alive(self) -> bool:
        """Whether it was not cancelled."""
        return not self._cancelled.is_set()

    def close(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(duckdb.Error):
            self._connection.close()

    def fingerprint(self) -> str:
        """A sum over the columns."""
        return str(self._own(_FINGERPRINT)[0][0])

    def catalogue(self) -> list[Described]:
        """Tables and views of the file's main schema."""
        columns = grouped(self._own(_COLUMNS), lambda row: str(row[0]))
        keys = grouped(self._own(_KEYS), lambda row: str(row[0]))
        return [
            Described(_table(row, columns.get(row[0], []), keys.get(row[0], [])), bool(row[1]))
            for row in self._own(_TABLES)
        ]

    def explain(self, sql: str) -> str:
        """The physical plan as JSON: services/sql/advice/plans.py reads it."""
        return "\n".join(str(row[1]) for row in self._own(f"EXPLAIN (FORMAT JSON) {sql}"))

    def _own(self, sql: str) -> list[tuple[Any, ...]]:
        """A statement of Parley's own."""
        self._clock = Clock(OWN_SECONDS)
        return self._step(lambda: self._connection.execute(sql).fetchall())

    def _step(self, work: Callable[[], T]) -> T:
        self.round_trips += 1
        # DuckDB knows no statement timeout: an alarm interrupts it.
        alarm = threading.Timer(max(self._clock.left, 0.0), self._connection.interrupt)
        alarm.daemon = True
        alarm.start()
        try:
            with self._clock.running(), self._faults():
                return work()
        finally:
            alarm.cancel()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns the driver's errors into ours."""
        try:
            yield
        except duckdb.Error as error:
            raise self._mapped(error) from None

    def _mapped(self, error: duckdb.Error) -> Exception:
        if isinstance(error, duckdb.InterruptException):
            return stopped()
        if isinstance(error, (duckdb.IOException, duckdb.ConnectionException, duckdb.FatalException)):
            log.warning("database unavailable", error=self._target.scrub(str(error)))
            return DatabaseUnreachable("The database file cannot be read any more.")
        text = self._target.scrub(str(error).splitlines()[0])
        missing = isinstance(error, duckdb.CatalogException) or (
            isinstance(error, duckdb.BinderException) and "column" in text.lower() and "not found" in text
        )
        return SchemaOutdated(text) if missing else refused(text)


def _type(name: str) -> ColumnType:
    """A result column's type, from DuckDB's name for it."""
    if name.endswith("]"):
        return ColumnType.JSON
    if name.startswith("TIMESTAMP"):
        return ColumnType.TIMESTAMP
    return _TYPES.get(name.partition("(")[0], ColumnType.TEXT)


def _table(found: tuple[Any, ...], columns: list[tuple[Any, ...]], keys: list[tuple[Any, ...]]) -> Table:
    name, _view, count, comment = found
    primary = [key[2] for key in keys if key[1] == "PRIMARY KEY"]
    return Table(
        name,
        tuple(Column(item[1], item[2], kind_of(item[2]), bool(item[3]), description=item[4]) for item in columns),
        tuple(primary[0]) if primary else (),
        tuple(ForeignKey(tuple(key[2]), key[3], tuple(key[4])) for key in keys if key[1] == "FOREIGN KEY"),
        int(count or 0),
        comment,
    )
