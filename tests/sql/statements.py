r"""The statements in tests/sql/data: one a line, under headings; `\x{200B}` stands for a character nobody sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from services.sql.schema import Dialect

FOLDER = Path(__file__).parent / "data"


def read(kind: str, name: str) -> Iterator[tuple[str, str]]:
    """The headings and statements of a file, e.g. `hostile`, `postgres`."""
    heading = ""
    for line in (FOLDER / kind / f"{name}.txt").read_text().splitlines():
        if line.startswith("== "):
            heading = line[3:]
        elif line:
            yield heading, re.sub(r"\\x\{([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), line)


def for_dialect(kind: str, dialect: Dialect) -> list[tuple[str, str]]:
    """Those for every dialect and those for this one."""
    return [*read(kind, "any"), *read(kind, dialect.value)]


def distinct(kind: str) -> set[str]:
    """All statements of a kind."""
    return {sql for path in (FOLDER / kind).glob("*.txt") for _heading, sql in read(kind, path.stem)}
