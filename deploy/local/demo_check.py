"""What the demo's answers are checked against: the sample shop, asked directly."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple


class Question(NamedTuple):
    """A question, and the statement that gives its answer."""

    text: str
    sql: str


class DemoFailedError(Exception):
    """An exchange did not give what it should; the message says which and what."""


class Shop:
    """The sample shop, asked directly: what the answers are checked against.

    Args:
        path: Its SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, sql: str) -> list[list[Any]]:
        """The rows of a statement."""
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
            return [list(row) for row in connection.execute(sql)]

    def check(self, table: dict[str, Any], question: Question | None) -> str:
        """Says how a table was checked. Raises DemoFailedError when it is not what the database says.

        Args:
            table: A ResultTable in JSON.
            question: What was asked; None for a person's own recording, whose answer only has to be what its SQL gives.
        """
        sql = question.sql if question else table.get("sql", "")
        expected, got = self.rows(sql), table.get("rows", [])
        if not _contains(got, expected):
            raise DemoFailedError(f"the rows differ from {sql!r}: expected {expected[:5]}, got {got[:5]}")
        count = len(expected)
        return f"{count} row{'' if count == 1 else 's'}, the same as asked directly of the database: {sql}"

    def check_text(self, text: str, question: Question) -> str:
        """Says how a sentence was checked. Raises DemoFailedError when it lacks the figure."""
        figure = str(self.rows(question.sql)[0][0])
        if figure not in {re.sub(r"\D", "", number) for number in re.findall(r"\d[\d.,]*", text)}:
            raise DemoFailedError(f"the answer lacks the figure {figure}: {text!r}")
        return f"says {figure}, as the database does: {question.sql}"


def _contains(got: Sequence[Sequence[Any]], expected: Sequence[Sequence[Any]]) -> bool:
    """Whether there are as many rows as expected, each with the expected values; further columns do no harm."""
    left = list(got)
    for row in expected:
        match = next((one for one in left if all(any(_same(a, b) for b in one) for a in row)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same without their notation: 3, 3.0 and "3.00"; sums differ in their last digits."""
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-9)
    except (TypeError, ValueError):
        return str(one) == str(other)
