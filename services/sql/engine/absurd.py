"""Frames that nobody means: they say nothing, contradict themselves, or no statement can say them."""

from __future__ import annotations

from services.sql.linking.linking import REVENUE
from services.sql.meaning.frame import EVERYTHING, Filter, Frame, Ref, Term


def absurd(frame: Frame) -> bool:
    """Whether a frame says what nobody means, or says something in a roundabout way."""
    summed = [term for term in frame.select if term.aggregate]
    ranked = frame.order is not None and bool(frame.order.aggregate)
    if frame.groups:
        pointless = not (summed or ranked or frame.having) or frame.distinct
    else:
        pointless = (
            bool(frame.having) or ranked or (bool(summed) and (len(summed) < len(frame.select) or frame.distinct))
        )
    if pointless or (summed and not frame.groups and frame.order is not None):
        return True
    if len(set(frame.select)) < len(frame.select) or (frame.limit is not None and frame.order is None):
        return True
    return _malformed(frame) or _contradictory(frame)


def _malformed(frame: Frame) -> bool:
    """Whether no statement can say it: parts of tables that are left out, groups and orders by what is no column."""
    order = [frame.order] if frame.order else []
    shown: list[Term | Filter] = [*frame.select, *frame.groups, *order, *frame.having]
    left_out = any(item.ref[0] in frame.without for item in shown)
    if left_out or frame.tables[0] in frame.without or set(frame.tables) & set(frame.without):
        return True
    if any(term.ref[1] in ("*", EVERYTHING, REVENUE) for term in frame.groups):
        return True
    whole: list[Term | Filter] = [*frame.filters, *order]
    return any(item.ref[1] == EVERYTHING or (item.ref[1] == "*" and not item.aggregate) for item in whole)


def _contradictory(frame: Frame) -> bool:
    """Whether conditions repeat or exclude each other; each half of a set has its own."""
    if len({(item.ref, item.values) for item in frame.filters}) < len(frame.filters):
        return True
    values = [item.values for item in frame.filters if item.op == "=" and isinstance(item.values[0], str)]
    if len(set(values)) < len(values):
        # One word is one condition.
        return True
    equal: set[Ref] = set()
    for position, item in enumerate(frame.filters):
        if item.op == "=" and not item.negated and not frame.sets:
            either = item.joined_by_or or (
                position + 1 < len(frame.filters) and frame.filters[position + 1].joined_by_or
            )
            if item.ref in equal and not either:
                return True
            equal.add(item.ref)
    return False
