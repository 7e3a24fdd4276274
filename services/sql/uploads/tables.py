"""Uploaded files as tables of a new DuckDB file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import duckdb

from services.mesh.errors import InvalidArgument
from services.sql.uploads import casts
from services.sql.uploads.receive import UploadedFile
from services.sql.uploads.rows import Sheet, csv_sheet, workbook_sheets

MAX_COLUMNS = 2000
MAX_NAME = 60
_TEXT_FILES = (".csv", ".tsv", ".txt")
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


class _Writer(Protocol):
    """What csv.writer gives: its class has no public name."""

    def writerow(self, row: list[str], /) -> object:
        """Writes a row."""


@dataclass
class Builder:
    """Makes a DuckDB file.

    Args:
        file: The file; it must not be there yet.
        folder: Where it may write what it needs for a while; the uploaded files lie there too.
        max_rows: Of a table; the rest is left out, and said.
    """

    file: Path
    folder: Path
    max_rows: int
    notes: list[str] = field(default_factory=list)

    def build(self, files: Sequence[UploadedFile]) -> list[str]:
        """Makes the tables. Blocks: call it in a worker thread.

        Returns:
            What was done to fit.

        Raises:
            InvalidArgument: A file is none of the kinds, is damaged or empty; it is named. No file is left.
            TooLarge: A workbook unpacks to too much.
        """
        self._names: set[str] = set()
        try:
            with duckdb.connect(str(self.file)) as self._connection:
                # Only what lies in the folder of this upload can be read.
                self._connection.execute(f"SET allowed_directories = [{_text(self.folder)}]")
                self._connection.execute("SET enable_external_access = false")
                self._connection.execute("SET lock_configuration = true")
                for uploaded in files:
                    self._file(uploaded)
                if not self._names:
                    raise InvalidArgument("file", "there is no table in it.")
        except duckdb.Error as error:
            self.file.unlink(missing_ok=True)
            said = str(error).splitlines()[0].replace(str(self.folder), "…")[:300]
            raise InvalidArgument("file", f"it cannot be read: {said}") from None
        except BaseException:
            self.file.unlink(missing_ok=True)
            raise
        return self.notes

    def _file(self, uploaded: UploadedFile) -> None:
        """One file, by what it holds, not by what it is called."""
        with uploaded.path.open("rb") as file:
            start = file.read(4)
        name = uploaded.name
        if start == b"PAR1":
            self._parquet(uploaded)
        elif start == b"PK\x03\x04":
            with workbook_sheets(uploaded.path, name) as sheets:
                for sheet in sheets:
                    self._sheet(sheet, name)
        elif start == _OLD_EXCEL:
            raise InvalidArgument("file", f"{name} is a workbook of Excel 2003 or older. Save it as XLSX.")
        elif name.lower().endswith(_TEXT_FILES) or "." not in name:
            with csv_sheet(uploaded.path, name) as sheet:
                self._sheet(sheet, name)
        else:
            raise InvalidArgument("file", f"{name} is neither CSV (.csv, .tsv, .txt) nor Parquet nor XLSX.")

    def _parquet(self, uploaded: UploadedFile) -> None:
        table = self._table_name(uploaded.name)
        read = f"SELECT * FROM read_parquet({_text(uploaded.path)}) LIMIT {self.max_rows + 1}"  # noqa: S608  quoted
        self._connection.execute(f"CREATE TABLE {_quoted(table)} AS {read}")
        self._cut(table, uploaded.name)
        self._comment(table, uploaded.name)

    def _sheet(self, sheet: Sheet, file_name: str) -> None:
        """A sheet: its rows as text first, then each column as the type that fits."""
        path = self.folder / "rows.csv"
        columns = _Columns(sheet.header)
        with path.open("w", encoding="utf-8", newline="") as out:
            count = columns.write(
                sheet.rows, csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n"), self.max_rows
            )
        if not columns.names:
            if file_name.lower().endswith(_TEXT_FILES):
                raise InvalidArgument("file", f"{file_name} is empty.")
            return
        table = self._table_name(sheet.name)
        self.notes += [*sheet.notes, *(f"{sheet.name}: {note}" for note in columns.notes)]
        if count > self.max_rows:
            self.notes.append(f"{sheet.name}: only its first {self.max_rows} rows were taken.")
        self._load(path, table, columns.names, comma=sheet.comma)
        self._comment(table, file_name)

    def _load(self, path: Path, table: str, names: Sequence[str], *, comma: bool) -> None:
        listed = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in names)
        options = f"columns = {{{listed}}}, header = false, delim = ',', quote = '\"', escape = '\"', nullstr = '\\N'"
        options += ", auto_detect = false, parallel = false, max_line_size = 100000000"
        read = f"SELECT * FROM read_csv({_text(path)}, {options})"  # noqa: S608  quoted names and texts
        self._connection.execute(f"CREATE TEMP TABLE rows_as_text AS {read}")
        parts = []
        for name in names:
            cast = casts.chosen(self._connection, "rows_as_text", _quoted(name), comma=comma)
            if cast.note:
                self.notes.append(f"{table}.{name}: {cast.note}.")
            parts.append(f"(SELECT {cast.expression} FROM (SELECT {_quoted(name)} AS v)) AS {_quoted(name)}")  # noqa: S608  quoted names
        typed = f"SELECT {', '.join(parts)} FROM rows_as_text"  # noqa: S608  quoted names
        self._connection.execute(f"CREATE TABLE {_quoted(table)} AS {typed}")
        self._connection.execute("DROP TABLE rows_as_text")

    def _cut(self, table: str, name: str) -> None:
        """Leaves out the row beyond the limit."""
        found = self._connection.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()  # noqa: S608  a quoted name
        if found is not None and found[0] > self.max_rows:
            self._connection.execute(f"DELETE FROM {_quoted(table)} WHERE rowid >= {self.max_rows}")  # noqa: S608  as above
            self.notes.append(f"{name}: only its first {self.max_rows} rows were taken.")

    def _comment(self, table: str, file_name: str) -> None:
        self._connection.execute(f"COMMENT ON TABLE {_quoted(table)} IS {_text(f'From the file {file_name}')}")

    def _table_name(self, name: str) -> str:
        stem = name.rpartition(".")[0] if name.lower().endswith((*_TEXT_FILES, ".parquet", ".xlsx", ".xlsm")) else name
        table = _free(_plain(stem) or "table", self._names)
        self._names.add(table.lower())
        return table


class _Columns:
    """The columns of a sheet: their names, made to fit, and their rows, made as wide.

    Args:
        header: Names as they stand in the file; there may be none.
    """

    def __init__(self, header: Sequence[str]) -> None:
        self.names: list[str] = []
        self.notes: list[str] = []
        self._long = 0
        taken: set[str] = set()
        for index, cell in enumerate(header):
            name = _free(_plain(cell) or f"column_{index + 1}", taken)
            taken.add(name.lower())
            self.names.append(name)
        renamed = [f"{old or 'nothing'} → {new}" for old, new in zip(header, self.names, strict=True) if old != new]
        if renamed:
            self.notes.append(f"columns were renamed: {', '.join(renamed[:20])}{' …' if len(renamed) > 20 else ''}.")

    def write(self, rows: Iterator[Sequence[str]], out: _Writer, limit: int) -> int:
        """Writes rows that hold something, up to `limit`; returns how many there were, at most one more than that."""
        count = 0
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            count += 1
            if count > limit:
                break
            if not self.names:
                self.names = [f"column_{index + 1}" for index in range(len(row))]
            out.writerow(self._fitted(row))
        if len(self.names) > MAX_COLUMNS:
            raise InvalidArgument("file", f"it has {len(self.names)} columns; at most {MAX_COLUMNS} are taken.")
        if self._long:
            self.notes.append(f"{self._long} rows are longer than the header; what stands beyond it was left out.")
        return count

    def _fitted(self, row: Sequence[str]) -> list[str]:
        width = len(self.names)
        if any(cell.strip() for cell in row[width:]):
            self._long += 1
        # What csv reads is text; a NUL in it would end DuckDB's.
        return [cell.replace("\x00", "").replace("\r\n", "\n") for cell in row[:width]] + [""] * (width - len(row))


def _plain(name: str) -> str:
    """A name of letters, digits and underscores, in any script."""
    return re.sub(r"\W+", "_", name.strip()).strip("_")[:MAX_NAME]


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken."""
    found, number = name, 1
    while found.lower() in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
