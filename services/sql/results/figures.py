"""Reads from a query what its single figure is: a measure of a table's rows under conditions.

Only what can be said exactly is read. Of any other query nothing is said, since a sentence that leaves out a condition
would be wrong.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.linking.linking import REVENUE, revenue_columns
from services.sql.meaning.frame import Ref
from services.sql.schema import Schema, Table


class Measure(enum.Enum):
    """What a figure says of rows."""

    COUNT = "count"
    DIFFERENT = "different"
    """How many different values a column has."""
    AVERAGE = "average"
    TOTAL = "total"
    LOWEST = "lowest"
    HIGHEST = "highest"
    VALUE = "value"
    """A column's value, without counting or computing."""


class Comparison(enum.Enum):
    """How a condition compares."""

    IS = "is"
    IS_NOT = "is not"
    OVER = "over"
    FROM = "from"
    UNDER = "under"
    UP_TO = "up to"
    BETWEEN = "between"
    CONTAINS = "contains"
    STARTS = "starts"
    ENDS = "ends"
    IN_MONTH = "in month"
    """`values` are the year and the month."""
    IN_YEAR = "in year"


@dataclass(frozen=True)
class Condition:
    """A condition on a column; several values are alternatives, except for BETWEEN and IN_MONTH."""

    ref: Ref
    test: Comparison
    values: tuple[str, ...]
    average: bool = False
    """Compared with the column's average; there are no values then."""


@dataclass(frozen=True)
class Figure:
    """What a single figure is."""

    measure: Measure
    table: str
    """The table whose rows are meant."""
    columns: tuple[Ref, ...] = ()
    """What is measured; several columns are multiplied; one may be the REVENUE of a table. None for COUNT."""
    conditions: tuple[Condition, ...] = ()
    without: tuple[str, ...] = ()
    """Tables that hold no row for the rows that are meant."""
    ranked: Ref | None = None
    """For VALUE: the row is the one with the highest, or lowest, value of this column."""
    descending: bool = False


class _NotSayable(Exception):
    """The query does something that has no words here."""


_MEASURES: dict[type[exp.Expr], Measure] = {
    exp.Avg: Measure.AVERAGE, exp.Sum: Measure.TOTAL, exp.Min: Measure.LOWEST, exp.Max: Measure.HIGHEST,
}  # fmt: skip
_TESTS: dict[type[exp.Expr], Comparison] = {
    exp.EQ: Comparison.IS, exp.NEQ: Comparison.IS_NOT, exp.GT: Comparison.OVER, exp.GTE: Comparison.FROM,
    exp.LT: Comparison.UNDER, exp.LTE: Comparison.UP_TO,
}  # fmt: skip
# The parts of a statement that are read; one with any other part is left alone.
_READ = {"expressions", "from_", "joins", "where", "order", "limit"}


def read(sql: str, schema: Schema) -> Figure | None:
    """What the figure of a query with one column and one row is; None where it is not exactly sayable."""
    try:
        tree = sqlglot.parse_one(sql, dialect=schema.dialect.grammar)
        return _Reading(tree, schema).figure()
    except (SqlglotError, _NotSayable):
        return None


class _Reading:
    """One statement and the names that are known in it."""

    def __init__(self, tree: exp.Expr, schema: Schema) -> None:
        if not isinstance(tree, exp.Select) or {part for part, value in tree.args.items() if value} - _READ:
            raise _NotSayable
        self._tree = tree
        self._schema = schema
        source = tree.args.get("from_")
        joins = tree.args.get("joins") or []
        if source is None or len(tree.expressions) != 1:
            raise _NotSayable
        self._tables: dict[str, Table] = {}
        self._main = self._name(source.this)
        self._narrowing: set[str] = set()
        # Every join, whatever the first ones say: each brings a name.
        kept = [self._joined(join) for join in joins]
        self._keeps_rows = all(kept)

    def figure(self) -> Figure:
        """What the statement's one column is."""
        measure, columns = self._measure(self._tree.expressions[0].unalias())
        if not self._keeps_rows and measure not in (Measure.DIFFERENT, Measure.LOWEST, Measure.HIGHEST):
            # A row that is met several times is counted several times.
            raise _NotSayable
        table = self._main.name
        if measure is Measure.DIFFERENT and self._schema.by_name[columns[0][0]].primary_key == (columns[0][1],):
            measure, table, columns = Measure.COUNT, columns[0][0], ()
        where = self._tree.args.get("where")
        conditions, without = self._conditions(where.this) if where else ((), ())
        if without and table != self._main.name:
            raise _NotSayable
        said = {ref[0] for ref in [*columns, *(item.ref for item in conditions)]}
        if self._narrowing - said:
            # Rows without a partner are left out, and nothing that would be said tells so.
            raise _NotSayable
        found = Figure(measure, table, columns, conditions, without)
        return self._ranked(found) if measure is Measure.VALUE else found

    def _ranked(self, found: Figure) -> Figure:
        order, limit = self._tree.args.get("order"), self._tree.args.get("limit")
        if order is None and limit is None:
            return found
        if order is None or limit is None or limit.expression.name != "1" or len(order.expressions) != 1:
            raise _NotSayable
        ordered = order.expressions[0]
        return replace(found, ranked=self._column(ordered.this), descending=bool(ordered.args.get("desc")))

    # Names.

    def _name(self, node: exp.Expr) -> Table:
        """A table as it is called in the statement."""
        if not isinstance(node, exp.Table):
            raise _NotSayable
        found = _by_name(self._schema.by_name, node.name)
        if node.alias_or_name.lower() in self._tables:
            raise _NotSayable
        self._tables[node.alias_or_name.lower()] = found
        return found

    def _joined(self, join: exp.Join) -> bool:
        """Whether a join gives each row that was there once: it leads to the key of the table that it adds."""
        before = list(self._tables.values())
        table = self._name(join.this)
        on = join.args.get("on")
        if on is None or join.side or join.kind not in ("", "INNER") or table in before:
            raise _NotSayable
        keys, optional = set(), False
        for part in _flat(on, exp.And):
            if not isinstance(part, exp.EQ):
                raise _NotSayable
            refs = [self._column(part.this), self._column(part.expression)]
            keys |= {name for owner, name in refs if owner == table.name}
            optional |= any(self._schema.column(*ref).nullable for ref in refs if ref[0] != table.name)
        once = bool(table.primary_key) and keys == set(table.primary_key)
        if not once or optional:
            self._narrowing.add(table.name)
        return once

    def _column(self, node: exp.Expr) -> Ref:
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            raise _NotSayable
        tables = [self._tables.get(node.table.lower())] if node.table else list(self._tables.values())
        found = [
            (table.name, name)
            for table in tables
            if table is not None
            for name in table.by_name
            if name.lower() == node.name.lower()
        ]
        if len(found) != 1:
            raise _NotSayable
        return found[0]

    # The measure.

    def _measure(self, node: exp.Expr) -> tuple[Measure, tuple[Ref, ...]]:
        if isinstance(node, exp.Count):
            if isinstance(node.this, exp.Star):
                return Measure.COUNT, ()
            if isinstance(node.this, exp.Distinct) and len(node.this.expressions) == 1:
                return Measure.DIFFERENT, (self._column(node.this.expressions[0]),)
            raise _NotSayable
        if type(node) in _MEASURES:
            factors = [part.unnest() for part in _flat(node.this, exp.Mul)]
            return _MEASURES[type(node)], self._factors(tuple(map(self._column, factors)))
        return Measure.VALUE, (self._column(node),)

    def _factors(self, refs: tuple[Ref, ...]) -> tuple[Ref, ...]:
        """The columns; quantity × price is the revenue that questions know."""
        table = refs[0][0]
        pair = revenue_columns(self._schema.by_name[table])
        known = pair is not None and sorted(refs) == sorted((table, name) for name in pair)
        return ((table, REVENUE),) if known else refs

    # Conditions.

    def _conditions(self, where: exp.Expr) -> tuple[tuple[Condition, ...], tuple[str, ...]]:
        conditions: list[Condition] = []
        without: list[str] = []
        for part in _flat(where, exp.And):
            if isinstance(part, exp.Not) and isinstance(part.this.unnest(), exp.In):
                without.append(self._without(part.this.unnest()))
            else:
                conditions.append(self._condition(part))
        return tuple(_periods(conditions)), tuple(without)

    def _condition(self, node: exp.Expr) -> Condition:
        if isinstance(node, exp.Or):
            return self._either([self._condition(part) for part in _flat(node, exp.Or)])
        if isinstance(node, exp.In) and node.expressions:
            return Condition(self._column(node.this), Comparison.IS, tuple(map(_value, node.expressions)))
        if isinstance(node, exp.Between):
            return Condition(
                self._column(node.this), Comparison.BETWEEN, (_value(node.args["low"]), _value(node.args["high"]))
            )
        if isinstance(node, exp.Like):
            return self._like(node)
        if type(node) not in _TESTS:
            raise _NotSayable
        ref, test = self._column(node.this), _TESTS[type(node)]
        if isinstance(node.expression, exp.Subquery):
            self._check_average(node.expression.unnest(), ref)
            return Condition(ref, test, (), average=True)
        return Condition(ref, test, (_value(node.expression),))

    def _either(self, parts: list[Condition]) -> Condition:
        if len({part.ref for part in parts}) != 1 or any(
            part.test is not Comparison.IS or part.average for part in parts
        ):
            raise _NotSayable
        return replace(parts[0], values=tuple(value for part in parts for value in part.values))

    def _like(self, node: exp.Like) -> Condition:
        pattern = _value(node.expression)
        text = pattern.strip("%")
        if not text or "%" in text or "_" in text:
            raise _NotSayable
        tests = {f"%{text}%": Comparison.CONTAINS, f"{text}%": Comparison.STARTS, f"%{text}": Comparison.ENDS}
        if pattern not in tests:
            raise _NotSayable
        return Condition(self._column(node.this), tests[pattern], (text,))

    def _check_average(self, query: exp.Expr, ref: Ref) -> None:
        """Whether a subquery is the average of the column over its whole table."""
        inner = _Reading(query, self._schema).figure()
        if (inner.measure, inner.columns, inner.table, inner.conditions) != (Measure.AVERAGE, (ref,), ref[0], ()):
            raise _NotSayable

    def _without(self, node: exp.In) -> str:
        """The table of `key NOT IN (SELECT reference FROM table WHERE reference IS NOT NULL)`."""
        query = node.args.get("query")
        if query is None or (self._column(node.this)[0] != self._main.name):
            raise _NotSayable
        select = query.unnest()
        where = select.args.pop("where", None) if isinstance(select, exp.Select) else None
        inner = _Reading(select, self._schema)
        owner, name = inner._column(select.expressions[0])
        if where is not None:
            known = where.this
            absent = known.this.unnest() if isinstance(known, exp.Not) else None
            if not isinstance(absent, exp.Is) or inner._column(absent.this) != (owner, name):
                raise _NotSayable
        refers = {
            (key.columns, key.referred_table, key.referred_columns) for key in self._schema.by_name[owner].foreign_keys
        }
        if ((name,), self._main.name, (self._column(node.this)[1],)) not in refers:
            raise _NotSayable
        return owner


def _by_name(tables: Mapping[str, Table], name: str) -> Table:
    for known, table in tables.items():
        if known.lower() == name.lower():
            return table
    raise _NotSayable


def _flat(node: exp.Expr, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    """The parts of a chain of one operator."""
    node = node.unnest()
    if isinstance(node, kind):
        yield from _flat(node.args["this"], kind)
        yield from _flat(node.args["expression"], kind)
    else:
        yield node


def _value(node: exp.Expr) -> str:
    """A literal's text."""
    if isinstance(node, exp.Neg):
        return f"-{_value(node.this)}"
    if not isinstance(node, exp.Literal):
        raise _NotSayable
    return str(node.name)


def _periods(conditions: list[Condition]) -> list[Condition]:
    """The conditions, with `date >= first day AND date < day after the last` as the month or year that it is."""
    found: list[Condition] = []
    for item in conditions:
        last = found[-1] if found else None
        period = None
        if last and last.ref == item.ref and (last.test, item.test) == (Comparison.FROM, Comparison.UNDER):
            period = _period(last, item)
        if period is not None:
            found[-1] = period
        else:
            found.append(item)
    return found


def _period(start: Condition, end: Condition) -> Condition | None:
    if not (start.values and end.values):
        return None
    try:
        first, after = dt.date.fromisoformat(start.values[0]), dt.date.fromisoformat(end.values[0])
    except ValueError:
        return None
    if first.day != 1 or after.day != 1:
        return None
    months = (after.year - first.year) * 12 + after.month - first.month
    if months == 1:
        return Condition(start.ref, Comparison.IN_MONTH, (str(first.year), str(first.month)))
    return Condition(start.ref, Comparison.IN_YEAR, (str(first.year),)) if months == 12 and first.month == 1 else None
