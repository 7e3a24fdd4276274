"""Which indexes a statement lacks: for tables that it reads in full although it wants few of their rows.

An index is advised only where the rows were counted: the statement's own conditions leave at most a tenth of a table,
or a sorted result is cut off after few rows, or a table that is joined is reached from few rows of others. None is
advised whose columns an index that is there begins with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.advice.conditions import Use, uses
from services.sql.advice.plans import Plan
from services.sql.drivers import driver
from services.sql.drivers.driver import Session
from services.sql.errors import SqlFailed, SqlTimeout
from services.sql.language.words import listed
from services.sql.schema import Dialect, Schema

# Smaller tables are read in full faster than through an index.
MIN_ROWS = 1000
# The share of a table's rows above which reading it in full is as fast.
MAX_SHARE = 0.1
# DuckDB uses its indexes only for the rarest values.
MAX_SHARES = {Dialect.DUCKDB: 0.001}
# How long a count may take, in seconds; without a count there is no advice.
COUNT_SECONDS = 5.0
# Columns of one index.
MAX_COLUMNS = 3

_CATALOGUES = {
    Dialect.POSTGRESQL: "SELECT t.relname, i.indexrelid::text, a.attname FROM pg_index i "
    "JOIN pg_class t ON t.oid = i.indrelid CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place) "
    "JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number "
    "WHERE i.indisvalid AND i.indpred IS NULL ORDER BY t.relname, i.indexrelid, k.place",
    Dialect.MYSQL: "SELECT table_name, index_name, column_name FROM information_schema.statistics "
    "WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index",
    Dialect.SQLITE: "SELECT tbl_name, sql, '' FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
    Dialect.DUCKDB: "SELECT table_name, sql, '' FROM duckdb_indexes() WHERE sql IS NOT NULL",
}
_MAX_CATALOGUE = 10_000
# Types of MySQL whose indexes need a length.
_LONG = re.compile(r"text|blob|json", re.IGNORECASE)


@dataclass(frozen=True)
class Advice:
    """An index that would help."""

    table: str
    columns: tuple[str, ...]
    statement: str
    """The statement that creates it, for an administrator."""
    reason: str


@dataclass(frozen=True)
class Advisor:
    """Advises indexes of one database.

    Args:
        session: A connection to it; rows are counted over it.
        schema: Its schema.
        tables: The sizes of its tables, by their names in lower case.
    """

    session: Session
    schema: Schema
    tables: Mapping[str, int]

    def advise(self, tree: exp.Query, plan: Plan) -> list[Advice]:
        """The indexes that a statement with this plan lacks; none where a database has none of use to it."""
        if self.schema.dialect not in _CATALOGUES:
            return []
        scanned = {scan.table.lower() for scan in plan.scans}
        every = uses(tree, self.schema)
        found: dict[tuple[str, tuple[str, ...]], Advice] = {}
        there = self._existing()
        for use in every:
            if not {use.alias.lower(), use.table.name.lower()} & scanned or self._rows(use) < MIN_ROWS:
                continue
            for columns, reason in self._wanted(use, every):
                if not columns or any(_covers(index, columns) for index in there.get(use.table.name.lower(), ())):
                    continue
                found.setdefault((use.table.name, columns), self._advice(use, columns, reason))
                break
        return list(found.values())

    def _rows(self, use: Use) -> int:
        return self.tables.get(use.table.name.lower(), use.table.row_count)

    def _wanted(self, use: Use, every: Sequence[Use]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Columns that an index should have, the most useful first, and why."""
        equal = tuple(dict.fromkeys(use.equal))
        if equal or use.ranged:
            share = self._share(use)
            if share is not None and share[0] <= MAX_SHARES.get(self.schema.dialect, MAX_SHARE):
                yield (
                    (*equal, *use.ranged[:1])[:MAX_COLUMNS],
                    f"its conditions leave {share[1]} of {share[2]} rows, and all are read.",
                )
        if self.schema.dialect is Dialect.DUCKDB:
            return
        if use.sorted_by and len({descending for _name, descending in use.sorted_by}) == 1:
            # Conditions that are not in the index would be checked row by row in its order.
            names = tuple(name for name, _descending in use.sorted_by)
            if len(use.own) == len(use.equal):
                yield (*equal, *names)[:MAX_COLUMNS], "all rows are sorted, and few are kept."
        for column, other in use.joined:
            partner = next((item for item in every if item.alias == other), None)
            share = self._share(partner) if partner is not None and partner.own else None
            if (
                partner is not None
                and share is not None
                and share[0] * max(1, self._rows(partner)) <= MAX_SHARE * self._rows(use)
            ):
                yield (column,), f"it is joined to {share[1]} rows of {partner.table.name}, and all are read."

    def _share(self, use: Use) -> tuple[float, str, str] | None:
        """The share of a table's rows that its own conditions leave, with both counts as text; None if not counted."""
        total = self._rows(use)
        where = exp.and_(*(item.copy() for item in use.own))
        limit = int(total * MAX_SHARE) + 1
        name = exp.to_identifier(use.table.name, quoted=True)
        table = exp.Table(this=name, alias=exp.TableAlias(this=exp.to_identifier(use.alias)))
        inner = exp.select("1").from_(table).where(where).limit(limit)
        counted = exp.select("count(*)").from_(inner.subquery("counted"))
        try:
            rows = driver.rows(self.session, counted.sql(self.schema.dialect.grammar), COUNT_SECONDS, 1)
        except (SqlFailed, SqlTimeout):
            return None
        count = int(rows[0][0])
        return (count / max(1, total), f"{count:,}", f"{total:,}") if count < limit else (1.0, "", "")

    def _existing(self) -> dict[str, list[tuple[str, ...]]]:
        """The columns of the indexes that there are, by table, in lower case; primary keys included."""
        found = {table.name.lower(): [table.primary_key] if table.primary_key else [] for table in self.schema.tables}
        columns: dict[tuple[str, str], list[str]] = {}
        dialect = self.schema.dialect
        for table, index, column in driver.rows(self.session, _CATALOGUES[dialect], COUNT_SECONDS, _MAX_CATALOGUE):
            listed = [str(column)] if column else _created(str(index), dialect)
            columns.setdefault((str(table).lower(), str(index)), []).extend(listed)
        for (table, _index), names in columns.items():
            found.setdefault(table, []).append(tuple(names))
        return found

    def _advice(self, use: Use, columns: tuple[str, ...], reason: str) -> Advice:
        dialect = self.schema.dialect
        name = "_".join(re.sub(r"\W+", "_", part.lower()) for part in (use.table.name, *columns))[:58] + "_idx"

        def quoted(text: str) -> str:
            plain = re.fullmatch(r"[a-z_][a-z0-9_]*", text) and text.upper() not in _RESERVED
            return exp.to_identifier(text, quoted=not plain).sql(dialect.grammar)

        parts = [
            quoted(column)
            + ("(64)" if dialect is Dialect.MYSQL and _LONG.search(use.table.by_name[column].type) else "")
            for column in columns
        ]
        statement = f"CREATE INDEX {quoted(name)} ON {quoted(use.table.name)} ({', '.join(parts)})"
        return Advice(use.table.name, columns, statement, f"{use.table.name}: {reason}")


_RESERVED = frozenset(
    listed(
        "ORDER GROUP USER TABLE SELECT FROM WHERE KEY KEYS INDEX RANK ROWS DESC ASC LIMIT TO BY END CASE ALL ANY AND "
        "OR NOT NULL CHECK DEFAULT UNIQUE PRIMARY FOREIGN REFERENCES VALUES SET READ WRITE CONDITION DATABASE SCHEMA"
    )
)


def _covers(index: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether an index begins with the first of the columns that are wanted: it is of use already."""
    return bool(index) and index[0].lower() in {name.lower() for name in wanted[:1]}


def _created(sql: str, dialect: Dialect) -> list[str]:
    """The columns of a CREATE INDEX statement; none for a partial one or one of expressions."""
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect.grammar)
    except SqlglotError:
        return []
    parameters = tree.find(exp.IndexParameters)
    if parameters is None or parameters.args.get("where") is not None:
        return []
    return [item.this.name for item in parameters.args.get("columns") or () if isinstance(item.this, exp.Column)]
