"""What a result looks like as a whole, gathered while its rows pass: for a chart, and for a sentence that says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from services.sql.language.words import split_name
from services.sql.values import ColumnType, ResultColumn, Value

# Different values of a column that are counted; beyond them it has many.
MAX_DISTINCT = 1000
_MEASURES = (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.DECIMAL)
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_YEARS = frozenset({"year", "nam", "năm"})


class Role(Enum):
    """What a column is in a picture or a sentence."""

    TIME = "time"
    YEAR = "year"
    """Whole numbers that are years."""
    MEASURE = "measure"
    CATEGORY = "category"
    OTHER = "other"


@dataclass
class ColumnDigest:
    """One column of a result."""

    column: ResultColumn
    distinct: set[object] = field(default_factory=set)
    """Its different values, up to MAX_DISTINCT."""
    nulls: int = 0
    total: float = 0.0
    lowest: tuple[float, Sequence[Value]] | None = None
    """The lowest number, and the first row that has it."""
    highest: tuple[float, Sequence[Value]] | None = None
    tied: bool = False
    """Whether several rows have the highest number."""
    longest: int = 0
    """Characters of its longest text."""

    def add(self, value: Value, row: Sequence[Value]) -> None:
        """Takes a value."""
        if value is None:
            self.nulls += 1
            return
        if len(self.distinct) < MAX_DISTINCT:
            self.distinct.add(str(value))
        self.longest = max(self.longest, len(str(value)))
        if self.column.type not in _MEASURES:
            return
        try:
            number = float(value)  # type: ignore[arg-type]  # lists and objects raise TypeError
        except (TypeError, ValueError):
            return
        self.total += number
        if self.lowest is None or number < self.lowest[0]:
            self.lowest = (number, row)
        if self.highest is not None and number == self.highest[0]:
            self.tied = True
        if self.highest is None or number > self.highest[0]:
            self.highest, self.tied = (number, row), False

    @property
    def role(self) -> Role:
        """What it is in a picture or a sentence."""
        words = split_name(self.column.name)
        kind = self.column.type
        if kind in (ColumnType.DATE, ColumnType.TIMESTAMP):
            return Role.TIME
        if (
            kind in (ColumnType.TEXT, ColumnType.UNSPECIFIED)
            and self.distinct
            and all(_MONTH.fullmatch(str(item)) for item in self.distinct)
        ):
            return Role.TIME
        if kind in _MEASURES:
            years = words and words[-1] in _YEARS and self.lowest and self.highest
            if years and self.lowest and self.highest and 1000 <= self.lowest[0] <= self.highest[0] <= 3000:
                return Role.YEAR
            return Role.CATEGORY if words and words[-1] in ("id", "code", "no", "number", "zip") else Role.MEASURE
        return Role.CATEGORY if kind in (ColumnType.TEXT, ColumnType.BOOLEAN) else Role.OTHER


class Digest:
    """All columns of a result.

    Args:
        columns: They.
    """

    def __init__(self, columns: Sequence[ResultColumn]) -> None:
        self.columns = [ColumnDigest(column) for column in columns]
        self.rows = 0

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        """Takes some rows."""
        self.rows += len(rows)
        for row in rows:
            for column, value in zip(self.columns, row, strict=True):
                column.add(value, row)

    def of(self, *roles: Role) -> list[ColumnDigest]:
        """The columns of these roles."""
        return [column for column in self.columns if column.role in roles]
