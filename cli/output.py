"""How results are shown: rich on a terminal, plain text when piped, JSON when asked for.

Results go to standard output, everything about them (progress, notes, errors) to standard error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON: one object, or one for each event of a stream.")]

NUMERIC = {"COLUMN_TYPE_INTEGER", "COLUMN_TYPE_NUMBER", "COLUMN_TYPE_DECIMAL"}
# What a terminal would take for commands: control characters of both sets, line feed and tab excepted.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def safe(text: str) -> str:
    """Text without control characters: what a model or a database says must not drive the terminal."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def console() -> Console:
    """Rich on standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def error_console() -> Console:
    """Rich on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def write(text: str) -> None:
    """Writes text to standard output at once, cleaned when that is a terminal."""
    sys.stdout.write(safe(text) if on_terminal() else text)
    sys.stdout.flush()


def line(value: Any) -> None:
    """Writes a value as one line of JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def document(value: Any) -> None:
    """Writes a value as JSON: indented on a terminal, one line when piped."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2 if on_terminal() else None) + "\n")


def note(text: str) -> None:
    """A remark on standard error: dim on a terminal."""
    shown = safe(text)
    if sys.stderr.isatty():
        error_console().print(shown, style="dim", markup=False)
    else:
        sys.stderr.write(shown + "\n")


def failure(text: str) -> None:
    """An error in one line on standard error."""
    shown = " ".join(safe(text).split())
    if sys.stderr.isatty():
        from rich.text import Text

        # Never wrapped: one error is one line, also for grep.
        error_console().print(Text.assemble(("parley: ", "bold red"), shown), soft_wrap=True)
    else:
        sys.stderr.write(f"parley: {shown}\n")


def listing(headings: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Shows resources: a table on a terminal, tab-separated lines without headings when piped.

    Args:
        headings: One for each column.
        rows: The resources.
        empty: What to say on standard error when there are none.
    """
    shown = list(rows)
    if not shown:
        note(empty)
    elif on_terminal():
        grid = _grid()
        for index, heading in enumerate(headings):
            grid.add_column(heading, style="bold" if index == 0 else "", overflow="fold")
        for row in shown:
            grid.add_row(*map(_plain, row))
        console().print(grid)
    else:
        for row in shown:
            sys.stdout.write("\t".join(map(flat, row)) + "\n")


def table(columns: Sequence[dict[str, Any]], rows: Iterable[Sequence[Any]]) -> None:
    """Shows rows of a database: a table on a terminal, tab-separated lines under a line of names when piped.

    Args:
        columns: ResultColumn messages in JSON.
        rows: One value for each column in each.
    """
    if on_terminal():
        console().print(result_grid(columns, rows))
        return
    sys.stdout.write("\t".join(flat(str(column.get("name", ""))) for column in columns) + "\n")
    for row in rows:
        sys.stdout.write("\t".join(flat(cell(value)) for value in row) + "\n")
    sys.stdout.flush()


def result_grid(columns: Sequence[dict[str, Any]], rows: Iterable[Sequence[Any]]) -> RenderableType:
    """Rows of a database as a rich table: numbers to the right, NULL dim."""
    from rich.text import Text

    grid = _grid()
    for column in columns:
        numeric = column.get("type") in NUMERIC
        grid.add_column(_plain(str(column.get("name", ""))), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text("NULL", style="dim") if value is None else _plain(readable(value)) for value in row))
    return grid


def readable(value: Any) -> str:
    """A value for people: as `cell`, without the digits that binary fractions trail."""
    return f"{value:.10g}" if isinstance(value, float) and not value.is_integer() else cell(value)


def cell(value: Any) -> str:
    """A JSON value of a row as text; whole numbers without a fraction, NULL as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def flat(text: str) -> str:
    """Text for one cell of a tab-separated line: what would end the cell is escaped."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _plain(text: str) -> Any:
    """Text that rich shows as it is, without markup."""
    from rich.text import Text

    return Text(safe(text))


def _grid() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.ROUNDED, border_style="dim", header_style="bold", pad_edge=True)


def seconds(duration: Any) -> float:
    """A google.protobuf.Duration in JSON ("0.25s") as seconds; 0 when it is absent."""
    return float(str(duration).removesuffix("s")) if duration else 0.0


def milliseconds(duration: Any) -> str:
    """A google.protobuf.Duration in JSON as text: "250 ms"."""
    return f"{seconds(duration) * 1000:,.0f} ms"
