"""What a statement asks of each of its tables: which columns it compares, joins and sorts by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from services.sql.schema import Schema, Table

# Rows after which a sorted result has to be cut off for its order to be worth an index.
MAX_SORTED = 1000


@dataclass
class Use:
    """One appearance of a table in a statement."""

    table: Table
    alias: str
    """What the statement calls it."""
    equal: list[str] = field(default_factory=list)
    """Columns that have to equal something that does not depend on the row."""
    ranged: list[str] = field(default_factory=list)
    """Columns that are compared with something of that kind otherwise."""
    joined: list[tuple[str, str]] = field(default_factory=list)
    """Columns that have to equal a column of another table, and what that table is called."""
    sorted_by: list[tuple[str, bool]] = field(default_factory=list)
    """Columns that the whole statement is sorted by before it is cut off, and whether from high to low."""
    own: list[exp.Expr] = field(default_factory=list)
    """The conditions on this table alone."""


_RANGES = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between)


def uses(tree: exp.Query, schema: Schema) -> list[Use]:
    """The appearances of tables in a statement, subqueries included."""
    found: list[Use] = []
    for select in tree.find_all(exp.Select):
        found += _Select(select, schema).uses
    return found


class _Select:
    """One SELECT and what it asks of its tables."""

    def __init__(self, select: exp.Select, schema: Schema) -> None:
        by_name = {table.name.lower(): table for table in schema.tables}
        ctes = {cte.alias.lower() for cte in select.root().find_all(exp.CTE)}
        source = select.args.get("from_")
        joins = select.args.get("joins") or []
        nodes = [source.this if source else None, *(join.this for join in joins)]
        self._by_alias: dict[str, Use] = {
            node.alias_or_name.lower(): Use(by_name[node.name.lower()], node.alias_or_name)
            for node in nodes
            if isinstance(node, exp.Table) and node.name.lower() in by_name and node.name.lower() not in ctes
        }
        self._only_tables = len(self._by_alias) == sum(node is not None for node in nodes)
        # The side of an outer join that may be missing is not narrowed by WHERE alone; its ON is.
        for place in [select.args.get("where"), *(join.args.get("on") for join in joins)]:
            if place is not None:
                self._take(place.this if isinstance(place, exp.Where) else place)
        self._sort(select)

    @property
    def uses(self) -> list[Use]:
        return list(self._by_alias.values())

    def _take(self, condition: exp.Expr) -> None:
        for part in _conjuncts(condition):
            columns = [self._owner(column) for column in part.find_all(exp.Column)]
            known = [owner for owner in columns if owner is not None]
            aliases = {use.alias for use, _name in known}
            if len(known) != len(columns) or not known or part.find(exp.Query):
                continue
            if len(aliases) == 1:
                use = known[0][0]
                use.own.append(part)
                self._compare(use, part)
            elif isinstance(part, exp.EQ) and len(known) == 2 and _plain(part.this) and _plain(part.expression):
                (left, left_name), (right, right_name) = known
                left.joined.append((left_name, right.alias))
                right.joined.append((right_name, left.alias))

    def _compare(self, use: Use, part: exp.Expr) -> None:
        column = part.this
        if isinstance(part, (exp.EQ, *_RANGES)) and not _plain(column) and _plain(part.args.get("expression")):
            column = part.expression
        if not _plain(column):
            return
        name = column.name
        if isinstance(part, exp.EQ) or (isinstance(part, exp.In) and part.expressions):
            use.equal.append(self._spelled(use, name))
        elif isinstance(part, _RANGES):
            use.ranged.append(self._spelled(use, name))

    def _sort(self, select: exp.Select) -> None:
        order, limit = select.args.get("order"), select.args.get("limit")
        plain = not any(select.args.get(key) for key in ("group", "distinct", "having", "windows"))
        few = (
            isinstance(limit, exp.Limit)
            and limit.expression.name.isdigit()
            and int(limit.expression.name) <= MAX_SORTED
        )
        if order is None or not few or not plain or len(self._by_alias) != 1 or not self._only_tables:
            return
        if any(item.find(exp.AggFunc) for item in select.expressions):
            return
        (use,) = self._by_alias.values()
        named = {item.alias: item.this for item in select.expressions if isinstance(item, exp.Alias)}
        sorted_by = []
        for item in order.expressions:
            key = named.get(item.this.name, item.this) if _plain(item.this) and not item.this.table else item.this
            if not _plain(key) or key.name.lower() not in {name.lower() for name in use.table.by_name}:
                return
            sorted_by.append((self._spelled(use, key.name), bool(item.args.get("desc"))))
        use.sorted_by = sorted_by

    def _owner(self, column: exp.Column) -> tuple[Use, str] | None:
        candidates = [self._by_alias.get(column.table.lower())] if column.table else list(self._by_alias.values())
        found = [
            use for use in candidates if use and column.name.lower() in {name.lower() for name in use.table.by_name}
        ]
        return (found[0], self._spelled(found[0], column.name)) if len(found) == 1 else None

    @staticmethod
    def _spelled(use: Use, name: str) -> str:
        return next((known for known in use.table.by_name if known.lower() == name.lower()), name)


def sizes(tree: exp.Query, tables: Mapping[str, int]) -> dict[str, int]:
    """The sizes of tables, by what a statement calls them too; all in lower case."""
    called = {
        node.alias.lower(): tables[node.name.lower()]
        for node in tree.find_all(exp.Table)
        if node.alias and node.name.lower() in tables
    }
    return {**tables, **called}


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    else:
        yield node


def _plain(node: object) -> bool:
    return isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier)
