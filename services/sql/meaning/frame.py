"""The meaning of a question, before it becomes SQL."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

Ref: TypeAlias = tuple[str, str]
"""A table and a column; the column `*` means its rows."""
EVERYTHING = "**"
"""In place of a column: all columns of the table."""


@dataclass(frozen=True)
class Term:
    """Something selected or sorted by: a column, an aggregate of one, or the count of a table's rows."""

    ref: Ref
    aggregate: str = ""
    """COUNT, SUM, AVG, MIN, MAX; empty for the column itself."""
    distinct: bool = False
    period: str = ""
    """`year` or `month`: the date column is cut down to it."""


@dataclass(frozen=True)
class Filter:
    """A condition on a column, or on an aggregate of a group's rows."""

    ref: Ref
    op: str
    """=, !=, >, >=, <, <=, between, contains, starts, ends, null, `period` with one of =, >, >=, <, <=."""
    values: tuple[str | float, ...] = ()
    negated: bool = False
    joined_by_or: bool = False
    """Joined to the condition before it by OR."""
    aggregate: str = ""
    """For groups: what of the column is compared; COUNT for their rows."""
    against: str = ""
    """AVG, MAX or MIN: compared with that of the column over its whole table; there are no values then."""


@dataclass
class Frame:
    """What a question asks. A reader fills it in; from then on it is never changed, only replaced."""

    select: list[Term] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    having: list[Filter] = field(default_factory=list)
    groups: list[Term] = field(default_factory=list)
    """Columns, or a table's rows (`*`), that the result has one row for each of."""
    order: Term | None = None
    descending: bool = False
    then: list[tuple[Term, bool]] = field(default_factory=list)
    """What rows that are alike in the order are sorted by, each with whether the highest come first."""
    limit: int | None = None
    distinct: bool = False
    everything: bool = False
    """All columns of the main table are asked for."""
    sets: str = ""
    """INTERSECT, UNION, EXCEPT: the last condition, EXCEPT without its negation, is met by rows of their own."""
    tables: list[str] = field(default_factory=list)
    """Mentioned tables, the main one first."""
    without: list[str] = field(default_factory=list)
    """Tables that must hold no row for a row of the main one."""

    @property
    def key(self) -> Hashable:
        """The same for frames that mean the same."""
        then = tuple(self.then) if self.order is not None else ()
        return (
            tuple(self.select), tuple(self.filters), tuple(self.having), tuple(self.groups), self.order,
            self.descending and self.order is not None, then, self.limit, self.distinct, self.sets,
            tuple(self.tables), tuple(self.without),
        )  # fmt: skip

    @property
    def refs(self) -> list[Ref]:
        """All columns that it uses, the selected ones first."""
        found = [term.ref for term in (*self.select, *self.groups)]
        found += [item.ref for item in (*self.filters, *self.having)]
        return [*found, self.order.ref, *(term.ref for term, _down in self.then)] if self.order else found
