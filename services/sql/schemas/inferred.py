"""Foreign keys that nothing declares: suggested by names, proved by values.

A column `customer_id`, `CustomerID` or `customer` of a table without a key on it may refer to the table `customers` by
its key column; it does when every value of it stands there. The test by containment is that of Rostin et al., "A
Machine Learning Approach to Foreign Key Discovery" (WebDB 2009); the names keep it from pairing any two counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlglot import exp

from services.sql.drivers.driver import Session, rows
from services.sql.errors import NotOpen, SqlFailed, SqlTimeout
from services.sql.language.words import lemma, split_name
from services.sql.schema import Column, Dialect, ForeignKey, Kind, Schema, Table
from services.sql.schemas.sampling import Budget

# Distinct values that are looked up in the referred table.
PROVED_VALUES = 500
SECONDS = 2.0
_KEY_MARKS = {"id", "key", "no", "code", "ref", "fk", "nr", "number", "ma"}
_KINDS = {Kind.INTEGER, Kind.TEXT}


def with_inferred_keys(
    session: Session, tables: tuple[Table, ...], dialect: Dialect, budget: Budget
) -> tuple[Table, ...]:
    """The tables with the keys that their names suggest and their values prove.

    Args:
        session: With the database; it is as new afterwards.
        tables: As read.
        dialect: The database's.
        budget: Its seconds are used up; when none are left no more keys are looked for.

    Raises:
        DatabaseUnavailable: The database was lost.
    """
    schema = Schema(dialect, tables)

    def found(table: Table) -> Table:
        keys = [key for key in candidates(table, schema) if _holds(session, table, key, dialect, budget)]
        return replace(table, foreign_keys=(*table.foreign_keys, *_first_of_each(keys))) if keys else table

    return tuple(map(found, tables))


def candidates(table: Table, schema: Schema) -> Iterator[ForeignKey]:
    """The keys that names suggest, for the columns that have none; the likeliest of a column first."""
    keyed = {name for key in table.foreign_keys for name in key.columns}
    keyed |= set(table.primary_key) if len(table.primary_key) == 1 else set()
    by_words = _tables_by_words(schema)
    for column in table.columns:
        if column.name in keyed or column.kind not in _KINDS or column.name.lower() == "id":
            continue
        for referred in by_words.get(_stem(column.name), ()):
            key = _key_column(referred, column)
            if referred.name != table.name and key is not None:
                yield ForeignKey((column.name,), referred.name, (key,), inferred=True)


def _tables_by_words(schema: Schema) -> dict[tuple[str, ...], list[Table]]:
    found: dict[tuple[str, ...], list[Table]] = {}
    for table in schema.tables:
        found.setdefault(_words(table.name), []).append(table)
    return found


def _words(name: str) -> tuple[str, ...]:
    """The words of a name, as lemmas: `OrderItems` and `order_item` are the same."""
    return tuple(map(lemma, split_name(name)))


def _stem(name: str) -> tuple[str, ...]:
    """The words of a column's name without the one that says that it is a key."""
    words = _words(name)
    if len(words) == 1 and words[0].endswith("id") and len(words[0]) > 4:
        return (lemma(words[0][:-2]),)
    if len(words) > 1 and words[-1] in _KEY_MARKS:
        return words[:-1]
    if len(words) > 1 and words[0] in _KEY_MARKS:
        return words[1:]
    return words


def _key_column(referred: Table, column: Column) -> str | None:
    """The column that a key to this table refers to: the primary key, or one that is called as if it were."""
    if len(referred.primary_key) == 1:
        key = referred.by_name.get(referred.primary_key[0])
        return key.name if key is not None and key.kind is column.kind else None
    names = (column.name.lower(), "id", "_id", *(f"{referred.name.lower()}{end}" for end in ("_id", "id")))
    own = {item.name.lower(): item for item in referred.columns if item.kind is column.kind}
    return next((own[name].name for name in names if name in own), None)


def _first_of_each(keys: list[ForeignKey]) -> list[ForeignKey]:
    return list({key.columns: key for key in reversed(keys)}.values())[::-1]


def _holds(session: Session, table: Table, key: ForeignKey, dialect: Dialect, budget: Budget) -> bool:
    """Whether there are values, all of them stand in the referred table, and stand there once."""
    own, referred = key.columns[0], key.referred_columns[0]
    name = exp.to_identifier(own, quoted=True)
    some = (
        exp.select(exp.alias_(name, "v"))
        .distinct()
        .from_(exp.to_identifier(table.name, quoted=True))
        .where(exp.not_(exp.Is(this=name, expression=exp.null())))
        .limit(PROVED_VALUES)
    )
    target = exp.column(exp.to_identifier(referred, quoted=True), table="r")
    query = (
        exp.select("count(s.v) AS n", exp.alias_(exp.Count(this=target), "found"), "count(DISTINCT s.v) AS different")
        .from_(some.subquery("s"))
        .join(
            exp.alias_(exp.Table(this=exp.to_identifier(key.referred_table, quoted=True)), "r", table=True),
            on=exp.EQ(this=target.copy(), expression=exp.column("v", table="s")),
            join_type="left",
        )
    )
    if budget.seconds <= 0:
        return False
    try:
        found = rows(session, query.sql(dialect.value), min(SECONDS, budget.seconds), 1)
    except (SqlFailed, SqlTimeout, NotOpen):
        return False
    count, matched, different = found[0]
    return bool(0 < count == matched == different)
