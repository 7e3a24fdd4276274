"""The meaning of a question, before it becomes SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

Ref: TypeAlias = tuple[str, str]
"""A table and a column; the column `*` means its rows."""


@dataclass(frozen=True)
class Term:
    """Something selected or sorted by: a column, an aggregate of one, or the count of a table's rows."""

    ref: Ref
    aggregate: str = ""
    """COUNT, SUM, AVG, MIN, MAX; empty for the column itself."""
    distinct: bool = False
    period: str = ""
    """`year` or `month`: the date column is cut down to it."""


@dataclass
class Filter:
    """A condition on a column, or on the count of a table's rows."""

    ref: Ref
    op: str
    """=, !=, >, >=, <, <=, between, like, in, null, in_period."""
    values: list[str | float] = field(default_factory=list)
    negated: bool = False
    joined_by_or: bool = False
    average: bool = False
    """Compared with the average of the column."""


@dataclass
class Frame:
    """What a question asks."""

    select: list[Term] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    having: list[Filter] = field(default_factory=list)
    groups: list[Term] = field(default_factory=list)
    """Columns, or a table's rows (`*`), that the result has one row for each of."""
    order: Term | None = None
    descending: bool = False
    limit: int | None = None
    distinct: bool = False
    everything: bool = False
    """All columns of the main table are asked for."""
    both: bool = False
    """Two values of one column are both meant, each by another row."""
    tables: list[str] = field(default_factory=list)
    """Mentioned tables, the main one first."""
    without: list[str] = field(default_factory=list)
    """Tables that must hold no row for a row of the main one."""
