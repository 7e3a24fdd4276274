"""Statements that give the same result as another one and may cost less.

The rules are those of sqlglot's optimiser that keep a statement's meaning whatever the data (after its `qualify`, by
the schema), and a few of our own whose conditions the schema proves. Whether a rewrite helps is for the database to
say: explain.py keeps what its plan makes cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.eliminate_ctes import eliminate_ctes
from sqlglot.optimizer.eliminate_joins import eliminate_joins
from sqlglot.optimizer.merge_subqueries import merge_subqueries
from sqlglot.optimizer.pushdown_predicates import pushdown_predicates
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.simplify import simplify

from services.sql.advice.conditions import uses
from services.sql.schema import Dialect, Kind, Schema


@dataclass(frozen=True)
class Candidate:
    """Another statement with the same result."""

    tree: exp.Query
    reason: str
    """What was changed, and why the result is the same."""


Rule = Callable[[exp.Expr], exp.Expr]


def candidates(tree: exp.Query, schema: Schema) -> Iterator[Candidate]:
    """Statements equivalent to one, without those that a rule leaves as they are.

    Args:
        tree: A statement that passed the guard.
        schema: Its database's.
    """
    for rule, reason in (
        (
            _ranges(schema),
            "the year of a date column became a range of dates: the same days, and an index serves.",
        ),
        (_lists, "conditions on one column joined by OR became one list: the same values."),
        (_membership(schema), "NOT IN over a column without NULL became NOT EXISTS: the same rows."),
        (_distinct(schema), "DISTINCT over a table's whole key was left out: its rows differ anyway."),
    ):
        changed = _applied(rule, tree.copy())
        if changed is not None and changed != tree:
            yield Candidate(changed, reason)
    qualified = _qualified(tree, schema)
    if qualified is None:
        return
    for rule, reason in _OPTIMISER:
        changed = _applied(rule, qualified.copy())
        if changed is not None and changed != qualified:
            yield Candidate(changed, reason)


def _pushed(tree: exp.Expr) -> exp.Expr:
    changed: exp.Expr = pushdown_predicates(tree)
    return changed


def _everything(tree: exp.Expr) -> exp.Expr:
    changed: exp.Expr = eliminate_ctes(eliminate_joins(merge_subqueries(pushdown_predicates(simplify(tree)))))
    return changed


_OPTIMISER: tuple[tuple[Rule, str], ...] = (
    (simplify, "conditions were simplified by the laws of logic."),
    (_pushed, "conditions were moved into the subqueries that they are about: they drop the same rows, earlier."),
    (merge_subqueries, "subqueries that only select and filter were merged into the query around them."),
    (eliminate_joins, "outer joins of which nothing is used, and that add no rows, were left out."),
    (eliminate_ctes, "CTEs that nothing reads were left out."),
    (_everything, "conditions were simplified and moved to where their tables are read, and plain subqueries merged."),
)


def _applied(rule: Rule, tree: exp.Expr) -> exp.Query | None:
    """What a rule makes of a tree; None where it fails or gives no query."""
    try:
        changed = rule(tree)
    except (SqlglotError, RecursionError, AttributeError, TypeError, ValueError, KeyError):
        # The optimiser's rules expect what statements usually hold; one that does not is left as it is.
        return None
    return changed if isinstance(changed, (exp.Select, exp.SetOperation)) else None


def _qualified(tree: exp.Query, schema: Schema) -> exp.Query | None:
    """The tree with every column's table written out, without a change of its columns' names."""
    names: dict[str, object] = {
        table.name: {column.name: column.type for column in table.columns} for table in schema.tables
    }

    def rule(copied: exp.Expr) -> exp.Expr:
        return qualify(copied, schema=names, dialect=schema.dialect.grammar)

    found = _applied(rule, tree.copy())
    return found if found is not None and found.named_selects == tree.named_selects else None


# Rules of our own.


def _ranges(schema: Schema) -> Rule:
    """`year(d) = 2025` → `d >= '2025-01-01' AND d < '2026-01-01'`, for columns of date and timestamp types."""

    def rule(tree: exp.Expr) -> exp.Expr:
        assert isinstance(tree, exp.Query)
        dated = {
            column.name.lower()
            for use in uses(tree, schema)
            for column in use.table.columns
            if column.kind in (Kind.DATE, Kind.TIMESTAMP)
            and "zone" not in column.type.lower()
            and "tz" not in column.type.lower()
        }
        others = {
            column.name.lower()
            for table in schema.tables
            for column in table.columns
            if column.kind not in (Kind.DATE, Kind.TIMESTAMP)
        }
        for node in list(tree.find_all(exp.EQ)):
            column, year = _year_of(node.this, schema.dialect), node.expression
            if column is None or not isinstance(year, exp.Literal) or not year.name.isdigit() or len(year.name) != 4:
                continue
            if column.name.lower() in dated - others:
                first, after = f"{year.name}-01-01", f"{int(year.name) + 1:04d}-01-01"
                bounds = (column.copy() >= exp.Literal.string(first)).and_(column.copy() < exp.Literal.string(after))
                node.replace(exp.paren(bounds, copy=False))
        return tree

    return rule


def _year_of(node: exp.Expr, dialect: Dialect) -> exp.Column | None:
    """The column whose year an expression is."""
    if dialect is Dialect.SQLITE:
        # Its columns hold values of any type, whatever was declared.
        return None
    if isinstance(node, exp.Cast):
        node = node.this
    inner = None
    if isinstance(node, exp.Extract) and node.name.upper() == "YEAR":
        inner = node.expression
    elif isinstance(node, exp.Year):
        inner = node.this
    while isinstance(inner, (exp.TsOrDsToDate, exp.Cast)):
        inner = inner.this
    return inner if isinstance(inner, exp.Column) else None


def _lists(tree: exp.Expr) -> exp.Expr:
    """`a = 1 OR a = 2` → `a IN (1, 2)`."""
    for node in list(tree.find_all(exp.Or)):
        if isinstance(node.parent, exp.Or):
            continue
        parts = [part.unnest() for part in node.flatten()]
        same = {part.this.sql() for part in parts if isinstance(part, exp.EQ) and isinstance(part.this, exp.Column)}
        literal = all(isinstance(part, exp.EQ) and isinstance(part.expression, exp.Literal) for part in parts)
        if len(same) == 1 and literal and len(parts) > 1:
            node.replace(exp.In(this=parts[0].this.copy(), expressions=[part.expression.copy() for part in parts]))
    return tree


def _membership(schema: Schema) -> Rule:
    """`a NOT IN (SELECT b FROM t …)` → `NOT EXISTS (…)` where neither column can be NULL."""

    def rule(tree: exp.Expr) -> exp.Expr:
        for node in list(tree.find_all(exp.Not)):
            inside = node.this.unnest()
            query = inside.args.get("query") if isinstance(inside, exp.In) else None
            select = query.unnest() if query is not None else None
            if not isinstance(select, exp.Select) or not _simple(select):
                continue
            outer, inner = inside.this, select.expressions[0].unalias()
            table = select.args["from_"].this
            owner = node.find_ancestor(exp.Select)
            if not (
                isinstance(outer, exp.Column) and isinstance(inner, exp.Column) and outer.table and owner is not None
            ):
                continue
            if not (_required(inner, table, schema) and _required(outer, _source(owner, outer.table), schema)):
                continue
            if table.alias_or_name.lower() == outer.table.lower():
                continue
            matched = exp.EQ(this=exp.column(inner.this.copy(), table=table.alias_or_name), expression=outer.copy())
            found = select.copy().select(exp.Literal.number(1), append=False).where(matched)
            node.replace(exp.Not(this=exp.Exists(this=found)))
        return tree

    return rule


def _simple(select: exp.Select) -> bool:
    """Whether a SELECT is one column of one table with a WHERE at most."""
    source = select.args.get("from_")
    others = {key for key, value in select.args.items() if value} - {"expressions", "from_", "where"}
    return source is not None and isinstance(source.this, exp.Table) and len(select.expressions) == 1 and not others


def _source(select: exp.Expr, alias: str) -> exp.Expr | None:
    source = select.args.get("from_")
    nodes = [source.this if source else None, *(join.this for join in select.args.get("joins") or () if not join.side)]
    return next((node for node in nodes if node is not None and node.alias_or_name.lower() == alias.lower()), None)


def _required(column: exp.Column, table: exp.Expr | None, schema: Schema) -> bool:
    """Whether a column belongs to that table, and cannot be NULL there."""
    if not isinstance(table, exp.Table):
        return False
    known = next((item for item in schema.tables if item.name.lower() == table.name.lower()), None)
    found = next((item for item in known.columns if item.name.lower() == column.name.lower()), None) if known else None
    return found is not None and not found.nullable


def _distinct(schema: Schema) -> Rule:
    """`SELECT DISTINCT key, … FROM t` → without DISTINCT."""

    def rule(tree: exp.Expr) -> exp.Expr:
        for select in list(tree.find_all(exp.Select)):
            distinct, source = select.args.get("distinct"), select.args.get("from_")
            if (
                distinct is None
                or distinct.args.get("on")
                or source is None
                or select.args.get("joins")
                or select.args.get("group")
            ):
                continue
            table = next((item for item in schema.tables if item.name.lower() == source.this.name.lower()), None)
            shown = {
                item.unalias().name.lower() for item in select.expressions if isinstance(item.unalias(), exp.Column)
            }
            keys = (
                {name.lower() for name in table.primary_key}
                if table is not None and isinstance(source.this, exp.Table)
                else set()
            )
            if keys and keys <= shown and not select.args.get("laterals"):
                select.set("distinct", None)
        return tree

    return rule
