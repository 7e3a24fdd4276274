"""Says in words what a frame asks."""

from __future__ import annotations

from services.sql.language.tokens import is_vietnamese
from services.sql.language.words import spoken_name
from services.sql.meaning import explanation_vi
from services.sql.meaning.frame import EVERYTHING, Filter, Frame, Term

_MEASURES = {
    "COUNT": "the number of", "SUM": "the total", "AVG": "the average", "MIN": "the lowest", "MAX": "the highest",
}  # fmt: skip


def explained(frame: Frame, question: str) -> str:
    """What the query does, in the language of its question."""
    return explanation_vi.explain(frame) if is_vietnamese(question) else explain(frame)


def explain(frame: Frame) -> str:
    """What the query does, in words."""
    shown = [_said(term) for term in frame.select] or [f"the {spoken_name(frame.tables[0])}"]
    text = "Shows " + ", ".join(dict.fromkeys(shown))
    if frame.filters:
        conditions = [_condition_said(item) for item in frame.filters]
        joints = [" or " if item.joined_by_or else " and " for item in frame.filters]
        if frame.sets:
            joints[-1] = {"INTERSECT": " and also ", "UNION": " or ", "EXCEPT": " but not "}[frame.sets]
        text += " where " + "".join(joint + said for joint, said in zip(["", *joints[1:]], conditions, strict=True))
    if frame.groups:
        text += " for each " + ", ".join(_said(term).removeprefix("the rows of ") for term in frame.groups)
    for item in frame.having:
        text += f", with {_condition_said(item)}"
    for table in frame.without:
        text += f", without any {spoken_name(table)}"
    if frame.order is not None:
        text += f", {'highest' if frame.descending else 'lowest'} {_said(frame.order)} first"
        text += "".join(f", then by {_said(term)}" for term, _down in frame.then)
    if frame.limit is not None:
        text += f", the first {frame.limit} only"
    return text + "."


def _said(term: Term) -> str:
    table, column = term.ref
    name = f"the rows of {spoken_name(table)}" if column == "*" else f"{spoken_name(column)} of {spoken_name(table)}"
    if term.period:
        return f"{term.period} of {name}"
    if column == EVERYTHING:
        return f"everything of {spoken_name(table)}"
    if term.aggregate == "COUNT" and column == "*":
        return f"the number of {spoken_name(table)}" if table else "how often"
    return f"{_MEASURES[term.aggregate]} {'different ' if term.distinct else ''}{name}" if term.aggregate else name


def _condition_said(item: Filter) -> str:
    op = {
        "=": "is",
        "!=": "is not",
        "null": "is missing",
        "period =": "is in",
        "period >=": "is from",
        "period >": "is after",
        "period <": "is before",
    }
    verb = op.get(item.op, item.op)
    values = " and ".join(f"{value:g}" if isinstance(value, float) else value for value in item.values)
    left = _said(Term(item.ref, item.aggregate))
    return f"{left} {'not ' if item.negated else ''}{verb} {_MEASURES[item.against] if item.against else values}"
