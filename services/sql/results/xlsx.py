"""Results as an Office Open XML workbook, written row by row to a temporary file: memory does not grow with them."""

from __future__ import annotations

import datetime as dt
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import IO, Any

from services.mesh.errors import TooLarge
from services.sql.values import ColumnType, ResultColumn, Value

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# What a sheet and a cell can hold: https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
MAX_TEXT = 32_767
# Digits that a number in a cell keeps.
_DIGITS = 15
_PIECE = 64 * 1024
# Characters that XML cannot hold, and texts that look like their escapes: ECMA-376 part 1, 22.9.2.19 (ST_Xstring).
_ESCAPED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


class Sheet:
    """Writes a result as a workbook of one sheet; the bytes come at the end.

    Texts are texts, whatever they begin with: a cell that says `=1+1` shows just that.

    Args:
        columns: The columns of the result.
    """

    content_type = CONTENT_TYPE

    def __init__(self, columns: Sequence[ResultColumn]) -> None:
        if len(columns) > MAX_COLUMNS:
            raise TooLarge(
                f"A sheet holds {MAX_COLUMNS:,} columns at most: export as CSV.", metadata={"limit": str(MAX_COLUMNS)}
            )
        from openpyxl import Workbook  # here: only workbooks need it, and it takes a fifth of a second
        from openpyxl.cell import WriteOnlyCell

        self._columns, self._unread = columns, WriteOnlyCell
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("Result")
        self._rows = 0

    def head(self) -> bytes:
        """Takes the names of the columns."""
        self._append([self._cell(column.name, ColumnType.TEXT, column.name) for column in self._columns])
        return b""

    def batch(self, rows: Sequence[Sequence[Value]]) -> bytes:
        """Takes some rows.

        Raises:
            TooLarge: They are more than a sheet holds, or a text is longer than a cell holds.
        """
        for row in rows:
            self._append(
                [self._cell(value, column.type, column.name) for value, column in zip(row, self._columns, strict=True)]
            )
        return b""

    def end(self) -> Iterator[bytes]:
        """The workbook, in pieces."""
        with tempfile.TemporaryFile() as file:
            self._book.save(file)
            file.seek(0)
            yield from _pieces(file)

    def close(self) -> None:
        """Forgets what was written, where the end was not reached."""
        if not self._sheet.closed:
            self._sheet.close()

    def _append(self, cells: list[Any]) -> None:
        self._rows += 1
        if self._rows > MAX_ROWS:
            raise TooLarge(
                f"A sheet holds {MAX_ROWS - 1:,} rows at most: export as CSV.", metadata={"limit": str(MAX_ROWS - 1)}
            )
        self._sheet.append(cells)

    def _cell(self, value: Value, kind: ColumnType, name: str) -> Any:
        if value is None:
            return None
        plain = _plain(value, kind)
        if isinstance(plain, str):
            if len(plain) > MAX_TEXT:
                raise TooLarge(
                    f"Column {name} holds a text longer than the {MAX_TEXT:,} characters of a cell: export as CSV.",
                    metadata={"limit": str(MAX_TEXT)},
                )
            text = _ESCAPED.sub(lambda match: f"_x{ord(match[0]):04X}_", plain)
            if not text.startswith(("=", "#")):
                return text
            # openpyxl takes = for the beginning of a formula, and #N/A for an error.
            cell = self._unread(self._sheet, text)
            cell.data_type = "s"
            return cell
        return plain


def _plain(value: Value, kind: ColumnType) -> Any:
    """A value as a cell holds it; as text where a cell would change it."""
    if isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if (
        kind is ColumnType.DECIMAL
        and re.fullmatch(r"-?[\d.]+", value)
        and len(value.strip("-").replace(".", "")) <= _DIGITS
    ):
        return Decimal(value)
    try:
        if kind is ColumnType.DATE:
            day = dt.date.fromisoformat(value)
            return day if day.year > 1900 else value
        if kind is ColumnType.TIMESTAMP:
            moment = dt.datetime.fromisoformat(value).astimezone(dt.UTC).replace(tzinfo=None)
            return moment if moment.year > 1900 else value
    except (ValueError, OverflowError):
        pass  # BC, infinity: what databases know and cells do not stays text
    return value


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
