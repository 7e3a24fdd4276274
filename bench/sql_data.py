"""The development questions and databases in ../shared/data/sql, and how statements are run on them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sqlite3
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import make_url

from services.sql.query import PROBED_ROWS
from services.sql.schema import Schema
from services.sql.schemas.introspect import read_schema
from services.sql.target import Target

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "sql"
# Rows that are compared when meanings are labelled.
MOST_ROWS = 3000
Rows = list[tuple[Any, ...]]


class Reader:
    """Runs statements on one SQLite file, which it only reads; each only once."""

    def __init__(self, database: str) -> None:
        self._connection = sqlite3.connect(f"file:{DATA / 'db' / database}.sqlite?mode=ro", uri=True)
        self._connection.text_factory = lambda data: data.decode("utf8", "replace")
        self._known: dict[str, Rows | None] = {}

    def rows(self, sql: str, seconds: float = 0.5, most: int = MOST_ROWS) -> Rows | None:
        """The rows; None where the statement fails or takes too long."""
        if sql not in self._known:
            self._known[sql] = self._run(sql, seconds, most)
        return self._known[sql]

    def probe(self, sql: str) -> Rows | None:
        """As services.sql.query.Probe has it: nothing is remembered, so that it may be timed."""
        return self._run(sql, 0.05, PROBED_ROWS)

    def _run(self, sql: str, seconds: float, most: int) -> Rows | None:
        end = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > end, 5000)
        try:
            return self._connection.execute(sql).fetchmany(most)
        except sqlite3.Error:
            return None

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def scorer() -> ModuleType:
    """The data's own scorer."""
    spec = importlib.util.spec_from_file_location("score", DATA / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name: str, limit: int | None) -> list[dict[str, Any]]:
    """The questions of a set; with a limit, so many spread evenly over it."""
    rows = [json.loads(line) for line in (DATA / name).read_text().splitlines() if line.strip()]
    return rows if limit is None or limit >= len(rows) else [rows[len(rows) * n // limit] for n in range(limit)]


def half(database: str) -> str:
    """Which half of the databases one is in: by a hash, the same every day."""
    return "tuned" if hashlib.sha256(database.encode()).digest()[0] % 2 else "untouched"


def schema_of(database: str) -> Schema:
    """The schema of a development database."""
    return read_schema(Target(make_url(f"sqlite:///{DATA / 'db' / database}.sqlite")))
