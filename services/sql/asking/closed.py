"""Whether a question needs a table or column that is not open to the role that it is asked under.

A role's schema holds only what the role may read, so a question about the rest looks like one about nothing. Who asks
shall hear "not allowed" and not "unknown", and no name that they did not say. So the question is read a second time, by
the embedded engine and by all names of the database (no values): does its statement need more than the role has?
"""

from __future__ import annotations

from dataclasses import replace

import sqlglot
from sqlglot import exp

from services.sql.engine.embedded import EmbeddedEngine
from services.sql.errors import NotOpen, QuestionNotUnderstood
from services.sql.schema import Schema


def needed() -> NotOpen:
    """The refusal of a question."""
    return NotOpen(
        "The question needs a table or column that is not open to you: your grant's database role may not read it."
    )


async def check(question: str, view: Schema, whole: Schema) -> None:
    """Raises NotOpen where a question needs more than a role sees.

    Args:
        question: The question, as it was asked.
        view: The database as the role sees it.
        whole: The database as the connection's user sees it.
    """
    if not (_parts(whole) - _parts(view)):
        return
    try:
        query = await EmbeddedEngine().generate(question, _names(whole))
    except QuestionNotUnderstood:
        return
    if _used(query.sql, whole) - _parts(view):
        raise needed()


def _parts(schema: Schema) -> set[tuple[str, str]]:
    """All tables, as ("table", ""), and columns."""
    return {(table.name, name) for table in schema.tables for name in ("", *table.by_name)}


def _names(schema: Schema) -> Schema:
    """A schema without its values: they are of rows that the role might not see."""
    tables = (
        replace(table, columns=tuple(replace(column, values=(), value_synonyms=()) for column in table.columns))
        for table in schema.tables
    )
    return replace(schema, tables=tuple(tables))


def _used(sql: str, schema: Schema) -> set[tuple[str, str]]:
    """The tables and columns that a statement names. A column without a table is that of any table named beside it."""
    tree = sqlglot.parse_one(sql, dialect=schema.dialect.grammar)
    aliases = {table.alias_or_name: table.name for table in tree.find_all(exp.Table) if table.name in schema.by_name}
    used = {(name, "") for name in aliases.values()}
    for column in tree.find_all(exp.Column):
        names = [aliases[column.table]] if column.table in aliases else aliases.values()
        used |= {(name, column.name) for name in names if column.name in schema.by_name[name].by_name}
    return used
