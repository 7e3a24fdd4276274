"""What a row was chosen by: `ORDER BY price DESC LIMIT 1` shows a name, and the answer shall say the price too."""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.language.words import spoken_name
from services.sql.schema import Dialect

_AGGREGATES: dict[type[exp.Expr], str] = {
    exp.Count: "count", exp.Sum: "total", exp.Avg: "average", exp.Max: "highest", exp.Min: "lowest",
}  # fmt: skip


@dataclass(frozen=True)
class Companion:
    """A statement that gives the same row with what it was chosen by beside it."""

    sql: str
    name: str
    """What the row was chosen by, in words: `price`, `count`, `total amount`."""


def companion(sql: str, dialect: Dialect) -> Companion | None:
    """The companion of a statement whose result is one value of one row; None where nothing more is to be said."""
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect.grammar)
    except SqlglotError:
        return None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or tree.args.get("distinct"):
        return None
    shown = tree.expressions[0]
    chosen = _ordered(tree) or _extreme(tree)
    if chosen is None or chosen == shown.unalias() or chosen.name == shown.alias_or_name:
        return None
    widened = tree.select(exp.alias_(chosen.copy(), "chosen_by"))
    return Companion(widened.sql(dialect.grammar), _words(chosen))


def _ordered(tree: exp.Select) -> exp.Expr | None:
    """What the first row was sorted by, where it alone is kept."""
    order, limit = tree.args.get("order"), tree.args.get("limit")
    if order is None or not isinstance(limit, exp.Limit) or limit.expression.name != "1":
        return None
    found = order.expressions[0].this
    return found if isinstance(found, (exp.Column, exp.AggFunc)) else None


def _extreme(tree: exp.Select) -> exp.Expr | None:
    """The column of a condition `column = (SELECT MAX(column) …)`."""
    where = tree.args.get("where")
    equal = where.this.unnest() if where is not None else None
    if not isinstance(equal, exp.EQ) or not isinstance(equal.this, exp.Column) or tree.args.get("group"):
        return None
    inner = equal.expression.unnest()
    extreme = (
        isinstance(inner, exp.Select)
        and len(inner.expressions) == 1
        and isinstance(inner.expressions[0].unalias(), (exp.Max, exp.Min))
    )
    return equal.this if extreme else None


def _words(node: exp.Expr) -> str:
    if isinstance(node, exp.Column):
        return spoken_name(node.name)
    kind = next((word for cls, word in _AGGREGATES.items() if isinstance(node, cls)), "")
    column = node.this if isinstance(node.this, exp.Column) and not isinstance(node, exp.Count) else None
    return f"{kind} {spoken_name(column.name)}".strip() if column is not None else kind
