"""Chooses what each mention of a question stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.sql.language.tokens import Token
from services.sql.language.words import listed, split_name
from services.sql.linking.joins import JoinGraph
from services.sql.linking.linking import PLACE_LEADS, Item
from services.sql.meaning.frame import Ref
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import Parts
from services.sql.schema import Schema

_PLACES = frozenset(listed("city state country region town location place district province address county nation"))


@dataclass(frozen=True)
class Situation:
    """What was read before a mention."""

    tables: Sequence[str]
    """The tables that the question is about so far."""
    last: Ref | None
    """The column that was mentioned last."""
    ordering: bool
    """Whether an order waits for its column."""
    grouping: bool
    """Whether a grouping waits for its column or table."""


class Chooser:
    """Chooses for the mentions of one question.

    Args:
        schema: The database's.
        graph: Its joins.
        marks: What `scan` found.
        tokens: The question.
    """

    def __init__(
        self,
        schema: Schema,
        graph: JoinGraph,
        marks: Sequence[Mark],
        tokens: Sequence[Token],
    ) -> None:
        self._schema = schema
        self._graph = graph
        self.parts = Parts(schema, graph)
        self.marks = marks
        self.tokens = tokens
        self.mentioned = _tables(marks)
        """Tables that are mentioned by name, with the position of the mark; sure ones only."""

    def choose(self, mark: Mark, position: int, situation: Situation) -> Item:
        """The most likely of a mention's meanings: by its weight, and by the tables that the question is about."""

        def score(item: Item) -> float:
            bonus = 0.0
            if item.column:
                if self.mentioned.get(item.table, position) != position:
                    near = abs(self.mentioned[item.table] - position)
                    bonus += 0.35 + 0.25 / (1 + near)
                if item.table in situation.tables:
                    bonus += 0.2
                if item.value is not None and self._after_place_word(mark) and _PLACES & set(split_name(item.column)):
                    bonus += 0.25
                if situation.last and item.ref == situation.last and item.value is not None:
                    bonus += 1.0
                table = self._schema.by_name[item.table]
                if item.column in {name for key in table.foreign_keys for name in key.columns}:
                    bonus -= 0.12
                if not self.mentioned and item.column in table.primary_key:
                    bonus += 0.05
                if self.mentioned and item.table not in self.mentioned:
                    distance = min(self._graph.distance(name, item.table) for name in self.mentioned)
                    bonus -= 0.05 * min(distance, 6)
            elif not situation.ordering:
                bonus += 0.3 if situation.grouping else 0.45
            return item.weight + bonus

        return self.parts.entity(max(mark.items, key=score), mark.words)

    def _after_place_word(self, mark: Mark) -> bool:
        return mark.start > 0 and self.tokens[mark.start - 1].word in PLACE_LEADS


def _tables(marks: Sequence[Mark]) -> dict[str, int]:
    """Tables that are mentioned by name, with the position of the mark; sure ones only."""
    found: dict[str, int] = {}
    for position, mark in enumerate(marks):
        if mark.items and mark.items[0].value is None:
            for item in mark.items:
                if not item.column and item.weight >= mark.items[0].weight - 0.05 and item.weight >= 0.6:
                    found.setdefault(item.table, position)
    return found
