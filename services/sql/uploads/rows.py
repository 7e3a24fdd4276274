"""Rows of text out of CSV files and worksheets, whatever their encoding, delimiter and what stands above the table."""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
import itertools
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.mesh.errors import InvalidArgument, TooLarge

DELIMITERS = ",;\t|"
# What is looked at to find out how a file is written.
SAMPLE_BYTES = 256_000
SAMPLE_ROWS = 60
MAX_CELL = 1_000_000
MAX_SHEETS = 50
# A workbook is a zip file: this much it may unpack to, in bytes.
MAX_UNPACKED = 2_000_000_000
_NUMBER = re.compile(r"[-+]?[\d.,\s]+%?")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Sheet:
    """A table as text: what stands above it is left out."""

    name: str
    header: tuple[str, ...]
    """Its column names, as they stand there; empty where there are none."""
    rows: Iterator[Sequence[str]]
    notes: tuple[str, ...] = ()
    comma: bool = False
    """Whether its writer's decimal sign is likely the comma."""


@contextmanager
def csv_sheet(path: Path, name: str) -> Iterator[Sheet]:
    """A CSV file as a sheet.

    Raises:
        InvalidArgument: It is no text.
    """
    encoding = _encoding(path)
    notes = () if encoding.startswith("utf") else (f"{name}: it is not UTF-8; it was read as {encoding}.",)
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        sample = file.read(SAMPLE_BYTES)
        if "\x00" in sample:
            raise InvalidArgument("file", f"{name} is no text. Upload CSV, Parquet or XLSX files.")
        delimiter = _delimiter(sample)
        file.seek(0)
        found = _sheet(name, _rows(csv.reader(file, delimiter=delimiter), name))
        yield Sheet(name, found.header, found.rows, (*notes, *found.notes), comma=delimiter == ";")


@contextmanager
def workbook_sheets(path: Path, name: str) -> Iterator[Iterator[Sheet]]:
    """The worksheets of an XLSX file that hold something.

    Raises:
        InvalidArgument: It is no workbook.
        TooLarge: It unpacks to more than anybody types.
    """
    import openpyxl  # here: only uploads need it
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > MAX_UNPACKED:
                raise TooLarge(f"{name} unpacks to more than {MAX_UNPACKED} bytes.")
        # A file, not its path: openpyxl judges a path by its ending.
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
        raise InvalidArgument("file", f"{name} is no XLSX workbook, or is damaged.") from error
    try:
        stem = name.rpartition(".")[0] or name
        several = len(book.worksheets) > 1
        yield (
            _sheet(
                sheet.title if several else stem,
                ([_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)),
            )
            for sheet in book.worksheets[:MAX_SHEETS]
        )
    finally:
        book.close()


def _encoding(path: Path) -> str:
    """UTF-8 where all of it is; what its first bytes say; else the code page that Windows writes."""
    with path.open("rb") as file:
        start = file.read(4)
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                return encoding
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for piece in iter(lambda: file.read(1 << 20), b""):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "windows-1252"
    return "utf-8"


def _delimiter(sample: str) -> str:
    """The delimiter that makes the most rows of the same width, of more than one column."""

    def score(delimiter: str) -> tuple[float, int]:
        rows = list(itertools.islice(csv.reader(io.StringIO(sample), delimiter=delimiter), SAMPLE_ROWS))
        widths = Counter(len(row) for row in rows if any(row))
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        return (count / max(1, sum(widths.values())) if width > 1 else 0.0, width)

    return max(DELIMITERS, key=score)


def _rows(reader: Iterator[list[str]], name: str) -> Iterator[list[str]]:
    """The reader's rows. Raises InvalidArgument where the file is broken."""
    try:
        yield from reader
    except csv.Error as error:
        raise InvalidArgument("file", f"{name} is no well-formed CSV file: {error}.") from None


def _cell(value: object) -> str:
    """A worksheet's value as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, dt.datetime):
        return str(value.date() if value.time() == dt.time() else value)
    return str(value)


def _sheet(name: str, rows: Iterator[list[str]]) -> Sheet:
    """Finds the header: the first row that is as wide as the table, and reads like names."""
    head = list(itertools.islice(rows, SAMPLE_ROWS))
    widths = Counter(_filled(row) for row in head if _filled(row))
    width = max(widths, key=lambda count: (widths[count] * count, count)) if widths else 0
    first = next((index for index, row in enumerate(head) if _filled(row) and _filled(row) * 2 >= width), len(head))
    skipped = sum(1 for row in head[:first] if _filled(row))
    notes = (f"{name}: {skipped} lines above the table were left out.",) if skipped else ()
    table = head[first:]
    named = bool(table) and _is_header(table[0], table[1:])
    header = tuple(cell.strip() for cell in table[0]) if named else ()
    if table and not named:
        notes = (*notes, f"{name}: its first row holds values, not names; the columns are numbered.")
    return Sheet(name, header, itertools.chain(table[1 if named else 0 :], rows), notes)


def _filled(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether a row reads like names: no numbers among them, most of them different."""
    cells = [cell.strip() for cell in first if cell.strip()]
    if not cells or any(_NUMBER.fullmatch(cell) and not re.fullmatch(r"\d{4}", cell) for cell in cells):
        return False
    # Years may be names of columns, when other names stand beside them.
    return not all(_NUMBER.fullmatch(cell) for cell in cells) and (len(set(cells)) * 2 > len(cells) or not rest)
