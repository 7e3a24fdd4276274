"""The parts of a schema that words may be about without naming them: numbers, dates, names, measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from services.sql.frame import Ref
from services.sql.joins import JoinGraph
from services.sql.linking import REVENUE, Item
from services.sql.schema import Column, Kind, Schema, Table
from services.sql.words import listed, split_name, stem

_KEY_WORDS = frozenset(listed("id no num number code key"))
_NUMERIC = re.compile(r"-?\d+(\.\d+)?")
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
            return ref[1] == REVENUE
        return column.numeric or (
            column.kind is Kind.TEXT
            and bool(column.values)
            and all(_NUMERIC.fullmatch(value) for value in column.values[:20])
        )

    def is_temporal(self, ref: Ref) -> bool:
        """Whether it holds dates, as its type or its name says."""
        column = self.column(ref)
        return column is not None and (column.temporal or "date" in split_name(column.name))

    def temporal(self, near: Sequence[str]) -> Ref | None:
        """The date column that a period is about: of one of these tables, the last first, or of one beside them."""
        beside = [other.name for name in near for other in self._schema.tables if self._graph.direct(name, other.name)]
        for names in (near[::-1], beside):
            for name in names:
                for column in self.table(name).columns:
                    if self.is_temporal((name, column.name)):
                        return name, column.name
        return None

    def year_column(self, near: Sequence[str]) -> Ref | None:
        """The first column that holds years: of these tables, then of all."""
        for name in dict.fromkeys([*near, *(table.name for table in self._schema.tables)]):
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
        near = [table, *(other.name for other in self._schema.tables if self._graph.direct(table, other.name))]
        for hint in hints:
            for name in near if hint == hints[0] and hints is not SIZES else near[:1]:
                for column in self.table(name).columns:
                    measures = (
                        column.numeric or column.kind in (Kind.DATE, Kind.TIMESTAMP) or "date" in column.name.lower()
                    )
                    if (
                        measures
                        and stem(hint.lstrip("-")) in map(stem, split_name(column.name))
                        and column.name not in self.table(name).key_columns
                    ):
                        return name, ("-" if hint.startswith("-") else "") + column.name
        return None

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
        if words[-1:] in (("name",), ("title",), ("fullname",)) or (tuple(map(stem, words)) == own):
            return [name]
    return []
