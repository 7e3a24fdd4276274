"""Reads a database's schema and a bounded index of its values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Inspector, create_engine, exc, inspect, text
from sqlalchemy.pool import NullPool

from services.mesh import telemetry
from services.sql.errors import DatabaseUnavailable
from services.sql.schema import Column, Dialect, ForeignKey, Kind, Schema, Table, kind_of
from services.sql.target import Target, connect_postgres, connect_sqlite

log = telemetry.get_logger(__name__)

MAX_TABLES = 500
# Values are read from this many rows, kept up to this many for a column, and cut at this length.
SCANNED_ROWS = 100_000
MAX_VALUES = 2000
MAX_VALUE_LENGTH = 120
SAMPLES = 5
MAX_INDEX = 100_000


def read_schema(target: Target) -> Schema:
    """Reads tables, views, columns, keys, row counts and values. Blocks: call it in a worker thread.

    Raises:
        DatabaseUnavailable: It cannot be reached or read.
    """
    with _connection(target) as connection, warnings.catch_warnings():
        # A type with arguments that SQLAlchemy does not know, e.g. INTEGER(11), is read without them.
        warnings.simplefilter("ignore", exc.SAWarning)
        inspector = inspect(connection)
        names = sorted([*inspector.get_table_names(), *inspector.get_view_names()])[:MAX_TABLES]
        spelling = {name.lower(): name for name in names}
        budget = [MAX_INDEX]
        tables = tuple(_table(connection, inspector, name, spelling, target.dialect, budget) for name in names)
    return Schema(target.dialect, _complete_keys(tables))


@contextmanager
def _connection(target: Target) -> Iterator[Connection]:
    """A reading connection; driver errors become DatabaseUnavailable without the driver's text."""
    engine = _engine(target)
    try:
        with engine.connect() as connection:
            yield connection
    except (exc.SQLAlchemyError, OSError) as error:
        log.warning("database cannot be read", error=target.scrub(str(getattr(error, "orig", error))))
        raise DatabaseUnavailable("The database cannot be reached or read. Check its URL and that it runs.") from None
    finally:
        engine.dispose()


def _engine(target: Target) -> Engine:
    if target.dialect is Dialect.SQLITE:
        return create_engine("sqlite://", creator=lambda: connect_sqlite(target), poolclass=NullPool)
    return create_engine(target.url, creator=lambda: connect_postgres(target), poolclass=NullPool)


def _table(
    connection: Connection,
    inspector: Inspector,
    name: str,
    spelling: dict[str, str],
    dialect: Dialect,
    budget: list[int],
) -> Table:
    quote = connection.dialect.identifier_preparer.quote_identifier
    columns = tuple(
        _column(connection, quote(name), quote(item["name"]), item, budget) for item in inspector.get_columns(name)
    )
    own = {column.name.lower(): column.name for column in columns}
    primary = tuple(own.get(key.lower(), key) for key in inspector.get_pk_constraint(name)["constrained_columns"])
    keys = tuple(
        ForeignKey(
            tuple(own.get(column.lower(), column) for column in key["constrained_columns"]),
            spelling[key["referred_table"].lower()],
            tuple(key["referred_columns"] or ()),
        )
        for key in inspector.get_foreign_keys(name)
        # A key may refer to a table that was never made, or to one in another schema.
        if key["referred_table"].lower() in spelling and not key.get("referred_schema")
    )
    return Table(name, columns, primary, keys, _row_count(connection, quote(name)))


def _column(connection: Connection, table: str, column: str, item: Any, budget: list[int]) -> Column:
    """One column; `item` is SQLAlchemy's description of it."""
    type_name = _type_name(connection, item["type"])
    kind = kind_of(type_name)
    values = _values(connection, table, column, MAX_VALUES if kind in (Kind.TEXT, Kind.OTHER) else SAMPLES)
    values = values[: max(SAMPLES, budget[0])]
    budget[0] -= len(values)
    return Column(item["name"], type_name, kind, bool(item.get("nullable", True)), values)


def _type_name(connection: Connection, column_type: Any) -> str:
    """The type as the database writes it; TEXT where SQLite declares none."""
    try:
        name = str(column_type.compile(dialect=connection.dialect))
    except exc.CompileError:
        name = str(column_type)
    return "TEXT" if name in ("NULL", "") else name


def _values(connection: Connection, table: str, column: str, limit: int) -> tuple[str, ...]:
    rows = (
        connection.execute(
            text(
                f"SELECT DISTINCT v FROM (SELECT {column} AS v FROM {table} LIMIT {SCANNED_ROWS}) AS scanned "  # noqa: S608  quoted names from the catalogue
                f"WHERE v IS NOT NULL LIMIT {limit}".replace(":", r"\:")
            )
        )
        if _comparable(connection, table, column)
        else ()
    )
    found = (str(row[0]) for row in rows if not isinstance(row[0], (bytes, memoryview)))
    return tuple(value for value in found if 0 < len(value) <= MAX_VALUE_LENGTH and "\x00" not in value)


def _comparable(connection: Connection, table: str, column: str) -> bool:
    """Whether DISTINCT works on the column's type: not on PostgreSQL's json, xml or point."""
    if connection.dialect.name == "sqlite":
        return True
    probe = text(f"SELECT pg_typeof({column})::text FROM {table} LIMIT 1".replace("::", r"\:\:"))  # noqa: S608  quoted names from the catalogue
    return connection.execute(probe).scalar() not in (
        "json",
        "xml",
        "point",
        "polygon",
        "box",
        "path",
        "circle",
        "line",
    )


def _row_count(connection: Connection, table: str) -> int:
    """The rows, counted up to a bound: beyond it nobody needs the exact number."""
    count = text(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1000000) AS counted".replace(":", r"\:"))  # noqa: S608  quoted names from the catalogue
    return int(connection.execute(count).scalar_one())


def _complete_keys(tables: tuple[Table, ...]) -> tuple[Table, ...]:
    """Foreign keys that name no columns mean the primary key; names get the spelling of the referred table."""
    by_name = {table.name: table for table in tables}

    def complete(key: ForeignKey) -> ForeignKey:
        referred = by_name[key.referred_table]
        names = key.referred_columns or referred.primary_key
        own = {column.name.lower(): column.name for column in referred.columns}
        return ForeignKey(key.columns, key.referred_table, tuple(own.get(name.lower(), name) for name in names))

    return tuple(
        Table(
            table.name,
            table.columns,
            table.primary_key,
            tuple(key for key in map(complete, table.foreign_keys) if _sound(key, by_name)),
            table.row_count,
        )
        for table in tables
    )


def _sound(key: ForeignKey, tables: dict[str, Table]) -> bool:
    """Whether the columns of a key exist: SQLite lets one refer to columns that were never made."""
    own = tables[key.referred_table].by_name
    return len(key.columns) == len(key.referred_columns) and all(name in own for name in key.referred_columns)
