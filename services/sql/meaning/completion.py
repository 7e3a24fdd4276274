"""Completes a frame: what a question leaves open is decided, so that it says exactly what is selected from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.sql.linking.linking import computed
from services.sql.meaning.frame import EVERYTHING, Filter, Frame, Term
from services.sql.meaning.parts import display_columns
from services.sql.schema import Schema


class Completion:
    """Completes frames of one schema.

    Args:
        schema: The database's.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def complete(self, frame: Frame) -> Frame:
        """The frame with explicit columns, groups, tables (the first one first) and `distinct`.

        A frame without tables is returned as it is.
        """
        if not frame.tables:
            return frame
        select, groups = self._select_and_groups(frame)
        summed = [_summed(term) for term in select]
        order = None if frame.order is None else self._ordered(_summed(frame.order), frame)
        filters = _paired(frame) if frame.sets == "INTERSECT" else list(frame.filters)
        sets = "" if frame.sets == "INTERSECT" and filters is frame.filters else frame.sets
        found = replace(
            frame, select=summed, groups=groups, order=order, filters=filters, sets=sets, everything=False
        )  # fmt: skip
        tables = _tables(found)
        several = len(tables) > 1 and not groups and not any(term.aggregate for term in summed)
        distinct = frame.distinct or (several and order is None and self.multiplies(tables))
        return replace(found, tables=tables, distinct=distinct)

    def multiplies(self, tables: Sequence[str]) -> bool:
        """Whether joining gives a row of the first table several times: a key leads to it."""
        return any(
            key.referred_table == tables[0] for name in tables[1:] for key in self._schema.by_name[name].foreign_keys
        )

    def identity(self, table_name: str) -> list[Term]:
        """What says which row of a table it is: its key, else its name."""
        key = self._schema.by_name[table_name].primary_key
        return [Term((table_name, name)) for name in key] or self.named(table_name)

    def named(self, table_name: str) -> list[Term]:
        """The columns that name a row of a table: its name, else its key, else its first column."""
        table = self._schema.by_name[table_name]
        names = display_columns(table) or list(table.primary_key) or [table.columns[0].name]
        return [Term((table_name, name)) for name in names]

    def _select_and_groups(self, frame: Frame) -> tuple[list[Term], list[Term]]:
        """What is selected, and for each of what."""
        select = list(frame.select)
        ranked = frame.order is not None and sums(frame.order)
        if frame.everything and not (ranked or frame.groups or frame.having or any(map(sums, select))):
            select = [Term((frame.tables[0], EVERYTHING))]
        groups: list[Term] = []
        for group in frame.groups:
            if sums(group):
                continue
            rows = group.ref[1] == "*"
            shown = self.named(group.ref[0]) if rows else [group]
            groups += [term for term in (self.identity(group.ref[0]) if rows else [group]) if term not in groups]
            if not any(term.ref in {item.ref for item in shown} and not term.aggregate for term in select):
                own = [term for term in select if term.ref[0] == group.ref[0] and not term.aggregate]
                select = ([] if own and rows else shown) + select
        if not select:
            select = self.named(frame.tables[0])
        counted = bool(frame.having) or any(map(sums, [*select, *([frame.order] if frame.order else [])]))
        plain = [term for term in select if not sums(term)]
        if counted and plain and not groups:
            # The rows of the table whose columns are shown, or the column itself when it is a plain list of values.
            groups = self._grouping(plain, frame)
        return select, groups

    def _grouping(self, plain: list[Term], frame: Frame) -> list[Term]:
        table = self._schema.by_name[plain[0].ref[0]]
        counted = {term.ref[0] for term in frame.select if term.aggregate}
        if frame.order is not None and frame.order.aggregate:
            counted.add(frame.order.ref[0])
        counted |= {item.ref[0] for item in frame.having}
        if counted == {table.name} or not table.primary_key:
            return plain
        return [Term((table.name, name)) for name in table.primary_key]

    def _ordered(self, order: Term, frame: Frame) -> Term:
        """The order; a count of rows whose table is not said counts those of the main one."""
        return order if order.ref[0] else replace(order, ref=(frame.tables[0], order.ref[1]))


def sums(term: Term) -> bool:
    """Whether a term stands for many rows: an aggregate, or the revenue, which is a sum."""
    return bool(term.aggregate) or computed(term.ref[1])


def _summed(term: Term) -> Term:
    return replace(term, aggregate="SUM") if computed(term.ref[1]) and not term.aggregate else term


def _paired(frame: Frame) -> list[Filter]:
    """The conditions with the two values of one column last, of which another row each is meant."""
    equal = [item for item in frame.filters if item.op == "=" and not item.negated]
    pair = [item for item in equal if sum(other.ref == item.ref for other in equal) == 2][:2]
    if len(pair) < 2:
        return frame.filters
    return [*(item for item in frame.filters if item not in pair), *(replace(i, joined_by_or=False) for i in pair)]


def _tables(frame: Frame) -> list[str]:
    """The tables to read, the first one first; a mentioned one that nothing uses may still restrict the rows."""
    used = [term.ref[0] for term in [*frame.groups, *frame.select]]
    used += [item.ref[0] for item in frame.filters if item.ref[0] not in frame.without]
    used += [item.ref[0] for item in frame.having]
    if frame.order is not None:
        used += [frame.order.ref[0], *(term.ref[0] for term, _down in frame.then)]
    mentioned = [name for name in frame.tables if name not in frame.without]
    return list(dict.fromkeys([*(name for name in used if name), *mentioned]))
