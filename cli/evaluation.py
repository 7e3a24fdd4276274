"""How often a deployment answers a person's own questions right: by comparing results, not statements."""

from __future__ import annotations

import itertools
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.errors import CommandError, ServerError, UsageError
from cli.gateway import Gateway

# Rows that are compared; a statement with more is compared by the first so many.
MAX_ROWS = 10_000
# Columns are matched in any order up to so many.
MAX_PERMUTED = 6
_TEXTS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Question:
    """A question with the statement that answers it."""

    question: str
    sql: str


@dataclass
class Tally:
    """What an engine made of the questions."""

    engine: str
    right: int = 0
    wrong: int = 0
    refused: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    misses: list[tuple[Question, str]] = field(default_factory=list)
    """Questions that were not answered right, with the statement or what was said."""

    @property
    def asked(self) -> int:
        """How many questions were asked."""
        return self.right + self.wrong + self.refused + self.failed

    def row(self) -> tuple[str, ...]:
        """The figures as text."""
        answered = self.asked - self.refused
        return (
            self.engine or "default",
            str(self.asked),
            f"{_share(self.right, self.asked)}",
            f"{_share(answered, self.asked)}",
            f"{_share(self.right, answered)}",
            str(self.failed),
            f"{statistics.median(self.seconds) * 1000:.0f} ms" if self.seconds else "",
        )


HEADINGS = ("engine", "questions", "right", "answered", "right of answered", "failed", "median")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def read(file: Path) -> list[Question]:
    """The questions of a file of JSON lines. Raises UsageError, which names the line."""
    found = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: it cannot be read: {error}.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            found.append(Question(str(data["question"]), str(data["sql"])))
        except (ValueError, KeyError, TypeError):
            raise UsageError(f'{file}:{number}: write {{"question": "…", "sql": "…"}} on each line.') from None
    if not found:
        raise UsageError(f"{file}: it holds no question.")
    return found


class Evaluation:
    """Asks a database's questions and compares what comes.

    Args:
        client: The gateway.
        database: databases/{database}.
    """

    def __init__(self, client: Gateway, database: str) -> None:
        self._client = client
        self._database = database
        self._gold: dict[str, Rows] = {}

    def run(self, questions: Sequence[Question], engine: str) -> Iterator[Tally]:
        """The tally after each question. Raises CommandError where a gold statement does not run."""
        tally = Tally(engine)
        for number, question in enumerate(questions, 1):
            if question.sql not in self._gold:
                try:
                    self._gold[question.sql] = self._rows(question.sql)
                except ServerError as error:
                    raise CommandError(f"question {number}: its own statement does not run: {error}") from None
            self._ask(question, tally)
            yield tally

    def _ask(self, question: Question, tally: Tally) -> None:
        started = time.perf_counter()
        body = {"question": question.question, "engine": tally.engine}
        try:
            query = self._client.post(f"/api/v1/{self._database}:generateQuery", body).get("query", {})
        except ServerError as error:
            if error.reason != "QUESTION_NOT_UNDERSTOOD":
                raise
            tally.refused += 1
            tally.misses.append((question, str(error)))
            return
        finally:
            tally.seconds.append(time.perf_counter() - started)
        sql = query.get("sql", "")
        try:
            good = same(self._gold[question.sql], self._rows(sql), is_ordered(question.sql))
        except ServerError as error:
            tally.failed += 1
            tally.misses.append((question, f"{sql}: {error}"))
            return
        tally.right += good
        tally.wrong += not good
        if not good:
            tally.misses.append((question, sql))

    def _rows(self, sql: str) -> Rows:
        body = {"sql": sql, "maxRows": MAX_ROWS}
        events = self._client.events(f"/api/v1/{self._database}:executeQuery", body, last="summary")
        return [tuple(row) for event in events if "rows" in event for row in event["rows"].get("rows", [])]


def is_ordered(sql: str) -> bool:
    """Whether a statement orders its result: ORDER BY outside of parentheses."""
    depth, outer = 0, []
    for char in _TEXTS.sub("''", sql):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0:
            outer.append(char)
    return re.search(r"\border\s+by\b", "".join(outer), re.IGNORECASE) is not None


def same(gold: Rows, found: Rows, ordered: bool) -> bool:
    """Whether two results say the same: the same rows, in the same order where `ordered`, columns in any order."""
    if len(gold) != len(found):
        return False
    if not gold:
        return True
    if len(gold[0]) != len(found[0]):
        return False
    left = [tuple(map(_plain, row)) for row in gold]
    right = [tuple(map(_plain, row)) for row in found]
    width = len(left[0])
    orders = itertools.permutations(range(width)) if width <= MAX_PERMUTED else iter([tuple(range(width))])
    columns = [Counter(row[at] for row in left) for at in range(width)]
    others = [Counter(row[at] for row in right) for at in range(width)]
    for order in orders:
        if any(columns[at] != others[place] for at, place in enumerate(order)):
            continue
        turned = [tuple(row[place] for place in order) for row in right]
        if turned == left or (not ordered and Counter(turned) == Counter(left)):
            return True
    return False


def _plain(value: Any) -> str:
    """A value as it is compared: numbers by six digits, also where they came as text; texts without outer spaces."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    try:
        return f"{float(value):.6g}"
    except ValueError:
        return " ".join(str(value).split())
