"""Reads a database's schema and a bounded index of its values."""

from __future__ import annotations

from dataclasses import replace

from services.sql.drivers import driver
from services.sql.drivers.driver import Session
from services.sql.hosts import DEFAULT, Hosts
from services.sql.schema import Dialect, ForeignKey, Schema, Table
from services.sql.schemas.inferred import with_inferred_keys
from services.sql.schemas.sampling import Budget, sampled
from services.sql.target import Target


def read_schema(target: Target, hosts: Hosts = DEFAULT) -> Schema:
    """Reads tables, views, columns, keys, row counts and values over a connection of its own.

    Blocks: call it in a worker thread. Raises what `driver.connect` and `read` raise.
    """
    session = driver.connect(target, hosts)
    try:
        return read(session, target.dialect)
    finally:
        session.close()


def read(session: Session, dialect: Dialect) -> Schema:
    """Reads tables, views, columns, keys, row counts and values, within the time that sampling.py gives.

    Raises:
        DatabaseUnavailable: It was lost while it was read.
        SqlFailed: Its catalogue cannot be read.
        SqlTimeout: Its catalogue takes too long.
    """
    described = session.catalogue()
    budget = Budget()
    tables = complete_keys([sampled(session, item, dialect, budget) for item in described])
    return Schema(dialect, with_inferred_keys(session, tables, dialect, budget))


def complete_keys(tables: list[Table]) -> tuple[Table, ...]:
    """The tables, ordered by name, with the foreign keys that hold: what they refer to is there.

    A key without columns means the primary key. Names get the spelling of the referred table.
    """
    spelling = {table.name.lower(): table for table in tables}

    def complete(key: ForeignKey) -> ForeignKey | None:
        referred = spelling.get(key.referred_table.lower())
        if referred is None:
            return None
        own = {column.name.lower(): column.name for column in referred.columns}
        names = [own.get(name.lower(), "") for name in key.referred_columns or referred.primary_key]
        if len(names) != len(key.columns) or not all(names):
            return None
        return replace(key, referred_table=referred.name, referred_columns=tuple(names))

    return tuple(
        replace(table, foreign_keys=tuple(key for key in map(complete, table.foreign_keys) if key is not None))
        for table in sorted(tables, key=lambda table: table.name)
    )
