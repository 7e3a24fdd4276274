"""Spider's levels of hardness of a gold statement: `eval_hardness` of its official evaluation (Yu et al. 2018).

https://github.com/taoyds/spider/blob/master/evaluation.py counts the parts of a parsed statement. Its quirks are kept,
such as a negation in WHERE or HAVING, or an AND in HAVING, that counts as an aggregate.
"""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot import exp

LEVELS = ("easy", "medium", "hard", "extra")


def hardness(sql: str) -> str:
    """The level of a statement in SQLite's dialect."""
    tree = sqlglot.parse_one(sql, dialect="sqlite")
    sets = 0
    while isinstance(tree, exp.SetOperation):
        sets, tree = sets + 1, tree.left.unnest()
    # The other half of a set is counted once, whatever is in it: chains are nested to the right there.
    select = tree if isinstance(tree, exp.Select) else tree.find(exp.Select)
    assert select is not None
    ones, nested, others = _ones(select), _nested(select) + min(sets, 1), _others(select)
    if ones <= 1 and others == 0 and nested == 0:
        return "easy"
    if nested == 0 and ((others <= 2 and ones <= 1) or (ones <= 2 and others < 2)):
        return "medium"
    if (nested == 0 and ((others > 2 and ones <= 2) or (2 < ones <= 3 and others <= 2))) or (
        ones <= 1 and others == 0 and nested <= 1
    ):
        return "hard"
    return "extra"


def _conditions(select: exp.Select, *clauses: str) -> list[exp.Expr]:
    """The single conditions of some clauses."""
    found: list[exp.Expr] = []
    for clause in clauses:
        bodies = [join.args.get("on") for join in select.args.get("joins") or []] if clause == "joins" else []
        if clause != "joins" and select.args.get(clause) is not None:
            bodies = [select.args[clause].this]
        for body in bodies:
            found += _flat(body) if body is not None else []
    return found


def _flat(node: Any) -> list[exp.Expr]:
    node = node.unnest()
    if isinstance(node, (exp.And, exp.Or)):
        return _flat(node.this) + _flat(node.expression)
    return [node]


def _ones(select: exp.Select) -> int:
    """Clauses, joins, ORs and LIKEs: `count_component1`."""
    clauses = sum(bool(select.args.get(name)) for name in ("where", "group", "order", "limit"))
    joins = len(select.args.get("joins") or [])
    conditions = _conditions(select, "joins", "where", "having")
    likes = sum(isinstance(_plain(item), exp.Like) for item in conditions)
    bodies = [select.args[name] for name in ("where", "having") if select.args.get(name)]
    ors = sum(sum(1 for node in body.find_all(exp.Or) if node.find_ancestor(exp.Select) is select) for body in bodies)
    return clauses + joins + likes + ors


def _plain(condition: exp.Expr) -> exp.Expr:
    return condition.this.unnest() if isinstance(condition, exp.Not) else condition


def _nested(select: exp.Select) -> int:
    """Conditions with a statement inside: `count_component2` without the set operation."""
    return sum(item.find(exp.Select) is not None for item in _conditions(select, "joins", "where", "having"))


def _others(select: exp.Select) -> int:
    """Whether there are several aggregates, columns, conditions, groups: `count_others`."""
    order, group, having = (select.args.get(name) for name in ("order", "group", "having"))
    aggregates = sum(_aggregates(node) for node in select.expressions)
    aggregates += sum(_aggregates(node) for node in (order.expressions if order else []))
    where = _conditions(select, "where")
    held = _conditions(select, "having") if having else []
    aggregates += sum(isinstance(item, exp.Not) for item in (*where, *held)) + max(0, len(held) - 1)
    groups = len(group.expressions) if group else 0
    return (aggregates > 1) + (len(select.expressions) > 1) + (len(where) > 1) + (groups > 1)


def _aggregates(node: exp.Expr) -> int:
    return sum(1 for found in node.find_all(exp.AggFunc) if found.find_ancestor(exp.Subquery) is None)
