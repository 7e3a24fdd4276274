"""The parts of a schema that words may be about without naming them: numbers, dates, names, measures."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from services.sql.language.words import listed, split_name, stem
from services.sql.linking.joins import JoinGraph, leads_to
from services.sql.linking.linking import Item, computed, revenue_columns
from services.sql.meaning.frame import Filter, Frame, Ref
from services.sql.meaning.marks import Mark
from services.sql.schema import Column, Kind, Schema, Table

_KEY_WORDS = frozenset(listed("id no num number code key"))
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMERIC = re.compile(r"-?\d+(\.\d+)?")
SELLING = frozenset(listed("sold sell sells"))
DEEDS = SELLING | frozenset(listed("ordered order bought buy purchased purchase"))
"""What is done with products."""
SIZES = ("size", "area", "acreage", "population", "capacity")
"""What the size of a thing may be called."""


class Parts:
    """Finds parts of one schema.

    Args:
        schema: The database's.
        graph: Its joins.
    """

    def __init__(self, schema: Schema, graph: JoinGraph) -> None:
        self._schema = schema
        self._graph = graph

    def table(self, name: str) -> Table:
        """The table of that name."""
        return self._schema.by_name[name]

    def column(self, ref: Ref) -> Column | None:
        """The column; None for what is computed."""
        return self.table(ref[0]).by_name.get(ref[1])

    def numeric(self, ref: Ref) -> bool:
        """Whether it holds numbers, as text too."""
        column = self.column(ref)
        if column is None:
            return computed(ref[1])
        return column.numeric or (
            column.kind is Kind.TEXT
            and bool(column.values)
            and all(_NUMERIC.fullmatch(value) for value in column.values[:20])
        )

    def is_temporal(self, ref: Ref) -> bool:
        """Whether it holds dates, as its type or its name says."""
        column = self.column(ref)
        return column is not None and (column.temporal or "date" in split_name(column.name))

    def temporal(self, near: Sequence[str], measured: str = "") -> Ref | None:
        """The date column that a period is about: of one of these tables, the last first, or of one beside them.

        What is measured or counted comes before them, with what its rows belong to: the date of revenue is its order's.
        """
        own = [key.referred_table for key in self.table(measured).foreign_keys] if measured else []
        for name in [measured, *own] if measured else []:
            for column in self.table(name).columns:
                if self.is_temporal((name, column.name)):
                    return name, column.name
        beside = [other.name for name in near for other in self._schema.tables if self._graph.direct(name, other.name)]
        for names in (near[::-1], beside):
            for name in names:
                for column in self.table(name).columns:
                    if self.is_temporal((name, column.name)):
                        return name, column.name
        return None

    def own_date(self, table: str) -> Ref | None:
        """The first column of a table that holds dates."""
        names = [column.name for column in self.table(table).columns if self.is_temporal((table, column.name))]
        return (table, names[0]) if names else None

    def deed_of(self, main: str, words: Collection[str]) -> str:
        """The table of what rows of another one do, where words name it: orders by `ordered`; or empty."""
        stems = set(map(stem, words))
        for table in self._schema.tables:
            belongs = any(key.referred_table == main for key in table.foreign_keys)
            if belongs and set(map(stem, split_name(table.name))) <= stems:
                return table.name
        return self.deeds(main) if DEEDS & set(words) else ""

    def year_column(self, near: Sequence[str], others: bool = True) -> Ref | None:
        """The first column that holds years: of these tables, then of all where `others` may be."""
        rest = [table.name for table in self._schema.tables] if others else []
        for name in dict.fromkeys([*near, *rest]):
            for column in self.table(name).columns:
                if "year" in split_name(column.name):
                    return name, column.name
        return None

    def text_column(self, tables: Sequence[str]) -> Ref | None:
        """The column that names rows: of the first of these tables that has one."""
        for table in tables:
            names = display_columns(self.table(table))
            if names:
                return table, names[0]
        return None

    def hinted(self, table: str, hints: Sequence[str]) -> Ref | None:
        """The column of a table, or of one beside it, that an adjective is about; `-` turns the order."""
        near = [other.name for other in self._schema.tables if self._graph.direct(table, other.name)]
        # "newest customer": its own date, whatever it is called, before the date of its orders.
        tried = [(hint, table) for hint in hints]
        tried += [(hint, name) for hint in hints[:1] if hints is not SIZES for name in near]
        for hint, name in tried:
            for column in self.table(name).columns:
                measures = column.numeric or column.kind in (Kind.DATE, Kind.TIMESTAMP) or "date" in column.name.lower()
                if (
                    measures
                    and stem(hint.lstrip("-")) in map(stem, split_name(column.name))
                    and column.name not in self.table(name).key_columns
                ):
                    return name, ("-" if hint.startswith("-") else "") + column.name
        return None

    def sold(self, table: str = "") -> Ref | None:
        """The column that says how many were sold, of a table that belongs to this one; of any without one."""
        for items in self._schema.tables:
            pair = revenue_columns(items)
            if pair and (not table or any(key.referred_table == table for key in items.foreign_keys)):
                return items.name, pair[0]
        return None

    def deeds(self, table: str) -> str:
        """The table of what rows of this one did, or was done to them: of sales, or what those belong to; or empty."""
        items = self.sold()
        if items is None:
            return ""
        for name in (items[0], *(key.referred_table for key in self.table(items[0]).foreign_keys)):
            if any(key.referred_table == table for key in self.table(name).foreign_keys):
                return name
        return ""

    def priced(self, table: str) -> bool:
        """Whether rows of a table have a price: they are what is sold."""
        return any("price" in split_name(column.name) for column in self.table(table).columns)

    def leads_to(self, table: str, goal: str) -> bool:
        """Whether each row of a table has at most one of the other."""
        return leads_to(self._schema, table, goal)

    def entity(self, item: Item, said: str) -> Item:
        """A key that is meant as what it identifies: of `student_id`, "student" says the student, not the number."""
        words = split_name(item.column)
        if item.value is not None or len(words) < 2 or words[-1] not in _KEY_WORDS:
            return item
        if set(said.split()) & {"id", "ids", "identifier", "code", "codes", "number", "numbers", words[-1]}:
            return item
        table = self.table(item.table)
        if (item.column,) == table.primary_key:
            return replace(item, column="")
        for key in table.foreign_keys:
            if key.columns == (item.column,):
                return replace(item, table=key.referred_table, column="")
        return item


def display_columns(table: Table) -> list[str]:
    """The columns that name a row: name, title, or first and last name; none where nothing does."""
    named = {tuple(split_name(column.name)): column.name for column in table.columns if column.kind is not Kind.INTEGER}
    own = tuple(map(stem, split_name(table.name)))
    pair = [name for words, name in named.items() if words[:1] in (("first",), ("last",)) and words[-1:] == ("name",)]
    for words, name in named.items():
        if words in (("name",), ("title",)) or (
            words[-1:] == ("name",) and tuple(map(stem, words[:-1])) in (own, own[-1:])
        ):
            return [name]
    if len(pair) == 2:
        return pair
    for words, name in named.items():
        if words[-1:] in (("name",), ("title",)) or (tuple(map(stem, words)) == own):
            return [name]
    return []


def doubtful(frame: Frame, marks: Sequence[Mark], parts: Parts) -> list[Mark]:
    """The marks behind parts of a frame that make a statement, but hardly the one that was meant; empty: none are.

    They are: a condition on the revenue of single rows, an average of it, a count of rows for each single row, a
    highest row that is asked for each group, and conditions that exclude each other.
    """
    found: list[Mark] = []

    def blame(*kinds: str) -> None:
        named = [mark for mark in marks if mark.is_sign(*kinds)]
        found.extend(named or [mark for mark in marks if mark.kind == "mention"][:1])

    terms = [*frame.select, *([frame.order] if frame.order else [])]
    if any(computed(item.ref[1]) for item in frame.filters):
        blame("compare")
    if any(computed(term.ref[1]) and term.aggregate not in ("", "SUM") for term in terms):
        blame("aggregate", "super")
    order = frame.order
    grouped = {term.ref for term in frame.groups}
    plain = order is not None and frame.limit is not None and not order.aggregate and not computed(order.ref[1])
    if order is not None and plain and grouped and order.ref not in grouped:
        blame("group")
    if order is not None and order.aggregate == "COUNT" and order.ref[1] == "*" and _single(frame, parts):
        blame("popular", "super")
    if any(item.negated and not parts.leads_to(frame.tables[0], item.ref[0]) for item in frame.filters):
        # Of "customers who did not buy a laptop", one who bought something else too would be shown.
        blame("not")
    for position, item in enumerate(frame.filters):
        for other in frame.filters[:position]:
            if item.ref == other.ref and not item.joined_by_or and not frame.sets:
                if item.op == other.op == "=" and item.negated != other.negated:
                    blame("not")
                elif item.op == other.op == "period =" and item.negated == other.negated:
                    found.extend(mark for mark in marks if mark.kind == "period")
                elif item.op == other.op == "=" and not item.negated and _both_dates(item, other):
                    found.extend(mark for mark in marks if mark.kind == "text")
            elif item.ref == other.ref and item.joined_by_or and other.negated and not item.negated:
                # "not shipped or cancelled" means neither.
                blame("not")
    return list(dict.fromkeys(found))


def _both_dates(one: Filter, other: Filter) -> bool:
    return all(isinstance(value, str) and _DATE.fullmatch(value) for value in (*one.values, *other.values))


def _single(frame: Frame, parts: Parts) -> bool:
    """Whether each group is a single row: of one table, by its primary key."""
    tables = {ref[0] for ref in (*(t.ref for t in (*frame.select, *frame.groups)), *(f.ref for f in frame.filters))}
    names = {table for table in (*tables, *frame.tables) if table}
    if len(names) != 1:
        return False
    key = parts.table(names.pop()).primary_key
    return any(term.ref[1] == "*" or (term.ref[1],) == key for term in frame.groups)
