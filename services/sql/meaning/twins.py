"""Readings that words speak for just as much: “list the cities” where customers and employees both have one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.sql.meaning.frame import Filter, Frame, Ref, Term
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import display_columns
from services.sql.query import MAX_ALTERNATIVES
from services.sql.schema import Schema

# Words stand for two things just as well where their weights differ by no more than this.
_SAME = 0.01


def twins(frame: Frame, marks: Sequence[Mark], schema: Schema) -> list[Frame]:
    """The same question about other tables; none where a table is named, or only one has what the words say.

    Args:
        frame: The likeliest meaning.
        marks: What the words stand for.
        schema: The database's.
    """
    mentions = [mark for mark in marks if mark.kind == "mention"]
    named = any(not item.column and item.value is None for mark in mentions for item in mark.items)
    if named or len(frame.tables) != 1 or not mentions or frame.without or frame.sets:
        return []
    table = frame.tables[0]
    shared: set[str] | None = None
    for mark in mentions:
        homes = {
            item.table
            for item in mark.items
            if item.weight >= mark.items[0].weight - _SAME and item.value == mark.items[0].value
        }
        shared = homes if shared is None else shared & homes
    found = [_moved(frame, table, other, mentions, schema) for other in sorted((shared or set()) - {table})]
    return [other for other in found if other is not None][:MAX_ALTERNATIVES]


def _moved(frame: Frame, table: str, other: str, mentions: Sequence[Mark], schema: Schema) -> Frame | None:
    """The meaning with another table in its table's place; None where that lacks a column that is used."""
    here, there = schema.by_name[table], schema.by_name[other]
    renamed = dict(zip(display_columns(here), display_columns(there), strict=False))
    for mark in mentions:
        own = next((item for item in mark.items if item.table == table), None)
        new = next((item for item in mark.items if item.table == other), None)
        if own is not None and new is not None and own.column and new.column:
            renamed[own.column] = new.column
    lacking = [
        ref[1] for ref in frame.refs if ref[1] not in ("*", "**") and renamed.get(ref[1], ref[1]) not in there.by_name
    ]
    if lacking:
        return None

    def ref(old: Ref) -> Ref:
        return other, renamed.get(old[1], old[1])

    def term(old: Term) -> Term:
        return replace(old, ref=ref(old.ref))

    def condition(old: Filter) -> Filter:
        return replace(old, ref=ref(old.ref))

    return replace(
        frame,
        select=list(map(term, frame.select)),
        groups=list(map(term, frame.groups)),
        filters=list(map(condition, frame.filters)),
        having=list(map(condition, frame.having)),
        order=None if frame.order is None else term(frame.order),
        tables=[other],
    )
