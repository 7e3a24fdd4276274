"""A result as a file: CSV, a workbook, or an Arrow stream. A file is whole, or there is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from enum import Enum
from typing import IO, Protocol

from services.mesh.errors import TooLarge
from services.sql.execution.execute import Columns, Part, Rows
from services.sql.results.arrow import ArrowStream
from services.sql.results.xlsx import Sheet
from services.sql.values import ResultColumn, Value

# Bytes of a file that wait in memory before they go to a temporary one, and bytes of a piece.
_IN_MEMORY = 4 * 1024 * 1024
_PIECE = 64 * 1024


class Writer(Protocol):
    """Writes a result: head, batches, end."""

    content_type: str

    def head(self) -> bytes:
        """What stands before the rows."""

    def batch(self, rows: Sequence[Sequence[Value]]) -> bytes:
        """Some rows."""

    def end(self) -> bytes | Iterable[bytes]:
        """What stands after the rows."""


class CsvFile:
    """Writes RFC 4180: UTF-8, lines ended by CR LF, a header, quotes only where they are needed.

    NULL is an empty field, an empty text is `""`. Values are as they are: a text that begins with `=` is not changed,
    since programs read CSV too; a spreadsheet may take it for a formula, and for people there are workbooks.

    Args:
        columns: The columns of the result.
    """

    content_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: Sequence[ResultColumn]) -> None:
        self._names = [column.name for column in columns]

    def head(self) -> bytes:
        """The names of the columns."""
        return _line(self._names)

    def batch(self, rows: Sequence[Sequence[Value]]) -> bytes:
        """Some rows."""
        return b"".join(_line(map(_field, row)) for row in rows)

    def end(self) -> bytes:
        """Nothing stands after the rows."""
        return b""


class Format(Enum):
    """What a result may be exported as; the values are the ends of file names."""

    CSV = "csv"
    XLSX = "xlsx"
    ARROW = "arrow"


_WRITERS: dict[Format, Callable[[Sequence[ResultColumn]], Writer]] = {
    Format.CSV: CsvFile,
    Format.XLSX: Sheet,
    Format.ARROW: ArrowStream,
}


async def exported(
    parts: AsyncGenerator[Part, None], form: Format, whole: bool
) -> AsyncGenerator[tuple[str, bytes], None]:
    """A result's file, in pieces, each with the content type.

    The first piece comes when the last row was written: over REST nobody could tell a file whose stream broke off from
    one that ends there. What is written waits in a temporary file, not in memory.

    Args:
        parts: The result.
        form: What it shall be.
        whole: Whether a result that a row limit cut off is an error: nobody asked for that limit.

    Raises:
        TooLarge: It has more rows than the deployment's limit, or than its format holds.
        SqlFailed: A value does not fit its column.
    """
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))
        content_type = await _written(parts, form, whole, file, opened)
        file.seek(0)
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield content_type, piece


async def _written(
    parts: AsyncGenerator[Part, None], form: Format, whole: bool, file: IO[bytes], opened: contextlib.ExitStack
) -> str:
    """Writes a result to a file; its content type. Raises what `exported` raises."""
    writer: Writer = CsvFile(())
    async with contextlib.aclosing(parts):
        async for part in parts:
            if isinstance(part, Columns):
                writer = _WRITERS[form](part.columns)
                if isinstance(writer, Sheet):
                    opened.callback(writer.close)
                file.write(writer.head())
            elif isinstance(part, Rows):
                file.write(await asyncio.to_thread(writer.batch, part.rows))
            elif part.truncated and whole:
                raise TooLarge(
                    f"The result has more than {part.row_count:,} rows, the deployment's limit: narrow it, or set "
                    "max_rows to take the first ones.",
                    metadata={"limit": str(part.row_count)},
                )
    ending = await asyncio.to_thread(writer.end)
    for piece in [ending] if isinstance(ending, bytes) else ending:
        file.write(piece)
    return writer.content_type


def _field(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _line(fields: Iterable[str | None]) -> bytes:
    quoted = ["" if field is None else _quoted(field) for field in fields]
    # A line of one NULL would be an empty one, which readers skip.
    return (",".join(quoted) + "\r\n").encode()


def _quoted(text: str) -> str:
    plain = text and not re.search(r'[",\r\n]', text) and text == text.strip()
    return text if plain else '"' + text.replace('"', '""') + '"'
