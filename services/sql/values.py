"""Values and column types of results, as the contract has them: numbers, text, booleans, nulls and JSON."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

# Beyond this JavaScript and protobuf's Value cannot hold a whole number exactly.
EXACT = 2**53
# Shorter numbers have no noise: a double's repr is as short as it can be.
NOISY_LENGTH = 16
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?")


class ColumnType(enum.StrEnum):
    """Types of result columns; the names are those of the contract's enum."""

    UNSPECIFIED = "UNSPECIFIED"
    INTEGER = "INTEGER"
    NUMBER = "NUMBER"
    DECIMAL = "DECIMAL"
    TEXT = "TEXT"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    BYTES = "BYTES"
    JSON = "JSON"


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result."""

    name: str
    type: ColumnType

    def convert(self, value: Any) -> Value:
        """A driver's value as the contract writes it for this column's type."""
        if self.type is ColumnType.TIMESTAMP and isinstance(value, str):
            return _rfc3339(value) if _TIMESTAMP.fullmatch(value) else value
        if self.type is ColumnType.JSON:
            return _json(value)
        return _plain(value)


def guess_type(values: Iterable[Any]) -> ColumnType:
    """The type of a column of a database that does not type its results (SQLite), from some of its values."""
    kinds = {_kind(value) for value in values if value is not None}
    if kinds == {ColumnType.INTEGER, ColumnType.NUMBER}:
        return ColumnType.NUMBER
    if len(kinds) == 1:
        return kinds.pop()
    if kinds and kinds <= {ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TEXT}:
        return ColumnType.TEXT
    return ColumnType.UNSPECIFIED


def _kind(value: Any) -> ColumnType:
    if isinstance(value, int):
        return ColumnType.INTEGER
    if isinstance(value, float):
        return ColumnType.NUMBER
    if isinstance(value, bytes):
        return ColumnType.BYTES
    text = str(value)
    if _DATE.fullmatch(text):
        return ColumnType.DATE
    return ColumnType.TIMESTAMP if _TIMESTAMP.fullmatch(text) else ColumnType.TEXT


def _plain(value: Any) -> Value:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -EXACT <= value <= EXACT else str(value)
    if isinstance(value, float):
        return without_noise(value) if math.isfinite(value) else str(value)
    if isinstance(value, dt.datetime):
        return _rfc3339(value.isoformat())
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    # Decimal, date, time, interval, uuid: their text is the contract's.
    return str(value)


def without_noise(value: float) -> float:
    """The number without the noise of binary sums: 0.30000000000000004 is 0.3, 1/3 stays as it is.

    A number is noise when rounding it to 15 (after long sums 13) digits makes at least four of them vanish: for a
    number that means its digits that happens to one in ten thousand, and changes it by less than 1e-12 of itself.
    """
    if len(repr(value)) < NOISY_LENGTH:
        return value
    for digits in (15, 13):
        rounded = float(f"{value:.{digits}g}")
        mantissa = repr(rounded).partition("e")[0].replace(".", "").strip("-0")
        if len(mantissa) <= digits - 4:
            return rounded
    return value


def _json(value: Any) -> Value:
    """A JSON value or a PostgreSQL array."""
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    return str(value) if isinstance(value, Decimal) else _plain(value)


def _rfc3339(text: str) -> str:
    """A timestamp with `T` and an offset; one without a zone is taken as UTC."""
    text = text.replace(" ", "T", 1)
    return text if re.search(r"([+-]\d{2}:\d{2}|Z)$", text) else text + "Z"
