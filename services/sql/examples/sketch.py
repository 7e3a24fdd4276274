"""What a statement is made of: its operations, columns and literals; for comparing statements and judging questions.

A sketch forgets the order of things and the names of aliases, so that statements that do the same look the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.schema import Dialect, Schema

Ref = tuple[str, str]
"""A table and one of its columns, both in lower case; the table is empty where it is not known."""

_OPERATIONS: dict[type[exp.Expr], str] = {
    exp.Sum: "sum", exp.Avg: "avg", exp.Max: "max", exp.Min: "min", exp.Having: "having", exp.Where: "where",
    exp.Intersect: "intersect", exp.Union: "union", exp.Except: "except", exp.Like: "like", exp.Between: "between",
    exp.Or: "or", exp.GT: "gt", exp.LT: "lt", exp.GTE: "gte", exp.LTE: "lte", exp.NEQ: "neq", exp.Not: "not",
    exp.Exists: "exists",
}  # fmt: skip


@dataclass(frozen=True)
class Sketch:
    """What a statement is made of."""

    operations: frozenset[str]
    """What it does: `count`, `avg`, `order-desc`, `limit-1`, `join`, `in-select`, `select-2` (columns shown) …"""
    tables: frozenset[str]
    columns: frozenset[Ref]
    """Columns that say something; those that only join tables are left out."""
    shown: tuple[str, ...]
    """What the outermost SELECT shows: `avg(employees.salary)`, in order."""
    literals: tuple[str, ...]
    """Texts and numbers that it compares with."""

    @property
    def pieces(self) -> frozenset[str]:
        """Everything as labels, for comparing two statements."""
        columns = {f"{table}.{column}" for table, column in self.columns}
        return frozenset(self.operations | self.tables | columns | set(self.shown) | {f"={x}" for x in self.literals})


def parse(sql: str, schema: Schema) -> exp.Query | None:
    """The tree of a statement, texts in double quotes read as SQLite does; None where it is not one query."""
    try:
        tree = sqlglot.parse_one(sql, read=schema.dialect.value)
    except (SqlglotError, RecursionError):
        return None
    if not isinstance(tree, exp.Query):
        return None
    for node in tree.walk():
        # Where in the text a name stood. Every answer copies trees by the hundred, and these took half of that time.
        node._meta = None
    if schema.dialect is Dialect.SQLITE:
        known = {column.name.lower() for table in schema.tables for column in table.columns}
        known |= {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
        for column in list(tree.find_all(exp.Column)):
            quoted = not column.table and isinstance(column.this, exp.Identifier) and column.this.quoted
            if quoted and column.name.lower() not in known:
                column.replace(exp.Literal.string(column.name))
    return tree


def literals(tree: exp.Expr) -> Iterator[exp.Literal]:
    """The literals of a tree, always in the same order; those in GROUP BY 1 and COUNT(1) are none."""
    for node in tree.find_all(exp.Literal, bfs=False):
        if not isinstance(node.parent, (exp.Count, exp.Group, exp.Ordered)):
            yield node


def sketch(tree: exp.Query, schema: Schema) -> Sketch:
    """The sketch of a statement."""
    names = Names(schema, tree)
    operations: set[str] = set()
    for node in tree.walk():
        operations.update(_operations(node, tree))
    first = next(iter(tree.find_all(exp.Select)))
    joined = len({table.name.lower() for table in first.find_all(exp.Table)})
    operations.add("join" if joined > 1 else "one-table")
    operations.add("where" if "where" in operations else "all-rows")
    shown = tuple(names.text(item) for item in first.expressions)
    operations.add(f"select-{min(len(shown), 4)}")
    if any("*" in item for item in shown if not item.startswith("count")):
        operations.add("select-star")
    found = tuple(
        literal.name.lower().strip("%") for literal in literals(tree) if not isinstance(literal.parent, exp.Limit)
    )
    return Sketch(frozenset(operations), names.tables, names.said(), shown, found)


def _operations(node: exp.Expr, tree: exp.Query) -> Iterator[str]:
    """What one node of a statement does."""
    kind = type(node)
    if kind in _OPERATIONS:
        yield _OPERATIONS[kind]
    elif kind is exp.Count:
        yield "count-distinct" if node.find(exp.Distinct) else "count"
    elif kind is exp.Ordered:
        yield "order-desc" if node.args.get("desc") else "order-asc"
        yield "order-by-count" if node.find(exp.Count) else "order-by-column"
    elif kind is exp.Limit:
        yield "limit-1" if node.expression.name == "1" else "limit-n"
    elif isinstance(node, exp.Select):
        if node is not tree and not isinstance(node.parent, exp.SetOperation):
            nested = "select" if isinstance(node.parent, exp.In) else "figure"
            negated = isinstance(node.parent, exp.In) and isinstance(node.parent.parent, exp.Not)
            yield f"not-in-{nested}" if negated else f"in-{nested}"
        if node.args.get("distinct"):
            yield "distinct"
        if node.args.get("group"):
            yield "group"


class Names:
    """The tables that aliases of one statement stand for, and the columns that it names."""

    def __init__(self, schema: Schema, tree: exp.Query) -> None:
        self._tree = tree
        found = [(table.alias_or_name.lower(), table.name.lower()) for table in tree.find_all(exp.Table)]
        self._aliases: Mapping[str, str] = dict(found)
        self.tables = frozenset(name for _alias, name in found)
        self._owners: dict[str, str] = {}
        for table in schema.tables:
            if table.name.lower() in self.tables:
                for column in table.columns:
                    self._owners.setdefault(column.name.lower(), table.name.lower())

    def ref(self, column: exp.Column) -> Ref:
        """The table and column that a column node means."""
        name = column.name.lower()
        return self._aliases.get(column.table.lower(), "") or self._owners.get(name, ""), name

    def said(self) -> frozenset[Ref]:
        """The columns, without those that only join tables."""
        return frozenset(
            self.ref(column)
            for column in self._tree.find_all(exp.Column)
            if not (isinstance(column.parent, exp.EQ) and isinstance(column.parent.right, exp.Column))
        )

    def text(self, node: exp.Expr) -> str:
        """An expression as text without aliases."""
        if isinstance(node, exp.Alias):
            return self.text(node.this)
        copy = node.copy()
        for column in [copy, *copy.find_all(exp.Column)]:
            if isinstance(column, exp.Column) and not isinstance(column.this, exp.Star):
                table, name = self.ref(column)
                column.set("table", exp.to_identifier(table) if table else None)
                column.set("this", exp.to_identifier(name))
        return copy.sql().lower()


def canonical(tree: exp.Query) -> str:
    """A statement as text in which names of aliases, case and quotes make no difference."""
    copy = tree.copy()
    aliases: dict[str, str] = {}
    for table in copy.find_all(exp.Table, bfs=False):
        if table.alias:
            aliases.setdefault(table.alias.lower(), f"t{len(aliases)}")
            table.set("alias", exp.TableAlias(this=exp.to_identifier(aliases[table.alias.lower()])))
    for column in copy.find_all(exp.Column):
        if column.table.lower() in aliases:
            column.set("table", exp.to_identifier(aliases[column.table.lower()]))
    for item in copy.find_all(exp.Identifier):
        item.set("quoted", False)
    return copy.sql().lower()
