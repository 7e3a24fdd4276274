"""What the mentions of a question may stand for, and how well."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from services.sql.linking.linking import computed
from services.sql.meaning.frame import Ref
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import Parts


class Meant:
    """The parts of a schema that one question may be about.

    Args:
        marks: What `scan` found in the question.
        parts: Finds parts of the schema.
    """

    def __init__(self, marks: Sequence[Mark], parts: Parts) -> None:
        self._marks = marks
        self._parts = parts
        self.items = [self._items(mark) for mark in marks]
        """For each mark: what it may stand for, the weight, and how much the best one is likelier."""
        self.support: dict[Ref, float] = {}
        """How well the best word stands for a part."""
        self.gap: dict[Ref, float] = {}
        """How much likelier that word's best part is."""
        for items in self.items:
            for ref, weight, gap in items:
                self.support[ref] = max(weight, self.support.get(ref, 0.0))
                self.gap[ref] = min(gap, self.gap.get(ref, 9.0))
        self.named = {ref[0] for items in self.items for ref, _weight, gap in items if not ref[1] and gap < 0.1}
        """Tables that words stand for."""
        self.owners = self._beside()
        """The tables said right beside the words for a column."""
        self.measured = {mark.items[0].ref for mark in marks if mark.items and computed(mark.items[0].column)}
        """Revenue and metrics that words stand for: too rare for weights to be learned; whoever names one means it."""

    def _items(self, mark: Mark) -> list[tuple[Ref, float, float]]:
        """What a mention may stand for, with its weight and how much the best one is likelier."""
        items = (*mark.items, *mark.others)
        best = max((item.weight for item in items), default=0.0)
        found = [(item.ref, item.weight, best - item.weight) for item in items]
        for item in items:
            meant = self._parts.entity(item, mark.words)
            if meant is not item:
                found.append((meant.ref, item.weight, best - item.weight))
        return found

    def _beside(self) -> dict[Ref, set[str]]:
        """The tables that are said right before or after the words for a column: `names of students`."""
        found: dict[Ref, set[str]] = {}
        mentions = [number for number, mark in enumerate(self._marks) if mark.kind == "mention"]
        for one, other in itertools.pairwise(mentions):
            gap = self._marks[other].start - self._marks[one].end
            for column, table, near in ((one, other, gap <= 3), (other, one, gap == 0)):
                tables = {ref[0] for ref, _weight, lack in self.items[table] if not ref[1] and lack < 0.1}
                for ref, _weight, _lack in self.items[column] if near and tables else ():
                    if ref[1]:
                        found.setdefault(ref, set()).update(tables)
        return found
