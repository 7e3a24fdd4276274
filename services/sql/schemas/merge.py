"""A schema as a database has it, with what another source says about it: descriptions and keys."""

from __future__ import annotations

from dataclasses import replace

from services.sql.schema import Column, ForeignKey, Schema, Table


def merged(live: Schema, given: Schema) -> Schema:
    """The live schema with the given one's descriptions, and its keys where both sides exist.

    Names are compared without case. What only `given` has is not there: the database decides what there is.
    """
    extras = {table.name.lower(): table for table in given.tables}
    names = {table.name.lower(): table for table in live.tables}
    return Schema(
        live.dialect,
        tuple(_table(table, extras[table.name.lower()], names) if table.name.lower() in extras else table
              for table in live.tables),
    )  # fmt: skip


def _table(table: Table, extra: Table, names: dict[str, Table]) -> Table:
    described = {column.name.lower(): column.description for column in extra.columns}
    keys = [found for key in extra.foreign_keys if (found := _key(key, table, names)) is not None]
    known = {(key.columns, key.referred_table) for key in table.foreign_keys if not key.inferred}
    added = [key for key in keys if (key.columns, key.referred_table) not in known]
    said = {key.columns for key in added}
    return replace(
        table,
        columns=tuple(_column(column, described.get(column.name.lower(), "")) for column in table.columns),
        # What somebody says stands above what was only inferred.
        foreign_keys=(*(key for key in table.foreign_keys if not (key.inferred and key.columns in said)), *added),
        description=extra.description or table.description,
    )


def _column(column: Column, description: str) -> Column:
    return replace(column, description=description) if description else column


def _key(key: ForeignKey, table: Table, names: dict[str, Table]) -> ForeignKey | None:
    """The key in the live schema's spelling; None where a side of it is not there."""
    referred = names.get(key.referred_table.lower())
    if referred is None:
        return None
    own = {column.name.lower(): column.name for column in table.columns}
    other = {column.name.lower(): column.name for column in referred.columns}
    columns = tuple(own.get(name.lower(), "") for name in key.columns)
    targets = tuple(other.get(name.lower(), "") for name in key.referred_columns)
    return ForeignKey(columns, referred.name, targets) if all(columns) and all(targets) else None
