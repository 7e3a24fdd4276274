"""Rewrites keep results: every one of every honest statement is run beside it, on rows with NULLs and duplicates."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from services.sql.advice.rewrites import candidates
from services.sql.guard.guard import check
from services.sql.schema import Dialect, Schema
from services.sql.schemas.introspect import read_schema
from services.sql.target import parse
from tests.sql import statements
from tests.sql.test_guard_statements import tables

# NULLs, duplicates, and values on both sides of what the statements compare with.
_MORE = """
INSERT INTO customers SELECT i, CASE WHEN i % 7 = 0 THEN 'An' ELSE 'Bo' END,
    CASE WHEN i % 5 = 0 THEN NULL ELSE 'Huế' END,
    CASE WHEN i % 3 = 0 THEN 'Laos' ELSE 'Vietnam' END, NULL, i % 2 = 0 FROM n;
INSERT INTO products (id, name, category_id, price, stock)
    SELECT i, CASE WHEN i % 2 = 0 THEN 'Tea' ELSE 'Cup' END, i % 3, CASE WHEN i % 6 = 0 THEN NULL ELSE i END, i % 4
    FROM n;
INSERT INTO orders SELECT i, CASE WHEN i % 4 = 0 THEN NULL ELSE i % 9 END,
    CASE WHEN i % 2 = 0 THEN 'paid' ELSE 'new' END,
    CASE WHEN i % 3 = 0 THEN '2024-12-31 23:59:59' ELSE '2025-01-01 00:00:00' END, i * 3 FROM n;
INSERT INTO order_items SELECT i % 11, i % 5, i % 3, i FROM n;
INSERT INTO employees SELECT i, 'Cy', i % 4 + 1, i, '2020-01-01', NULL FROM n
"""
NUMBERS = "(WITH RECURSIVE c(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM c WHERE i < 40) SELECT i FROM c) AS n"
# Their results differ from run to run, or with the order of rows that nothing orders.
_UNSTABLE = (
    "random(",
    "now",
    "sample",
    "current_",
    "today(",
    "approx_",
    "any_value(",
    "first(",
    "last(",
    "_agg(",
    "_concat(",
)


def other_rows(schema: Schema, run: Callable[[str], list[tuple[Any, ...]]]) -> tuple[int, dict[str, str]]:
    """How many rewrites were run, and those that gave other rows, with the statement they are of."""
    dialect = schema.dialect
    ran, wrong = 0, {}
    for _heading, sql in statements.for_dialect("honest", dialect):
        if any(word in sql.lower() for word in _UNSTABLE):
            continue
        text = check(sql, dialect, 100_000).sql
        tree = sqlglot.parse_one(text, dialect=dialect.grammar)
        assert isinstance(tree, exp.Query)
        before = run(text)
        # A LIMIT of the statement's own keeps any of its rows where nothing orders them all.
        limited = tree.args["limit"].expression.name != "100001"
        for candidate in candidates(tree, schema):
            changed = candidate.tree.sql(dialect.grammar)
            try:
                rows = run(changed)
            except (sqlite3.Error, duckdb.Error):
                continue  # the plan would have said so: it is not offered
            ran += 1
            if len(rows) != len(before) or not (limited or Counter(map(repr, rows)) == Counter(map(repr, before))):
                wrong[changed] = text
    return ran, wrong


def test_rewrites_keep_results_in_sqlite(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection:
        connection.executescript(";\n".join(tables(Dialect.SQLITE)) + ";" + _MORE.replace("FROM n", f"FROM {NUMBERS}"))
        schema = read_schema(parse("sqlite:///x.sqlite", tmp_path))
        ran, wrong = other_rows(schema, lambda sql: connection.execute(sql).fetchall())
    assert wrong == {}
    assert ran > 50


def test_rewrites_keep_results_in_duckdb(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "x.duckdb") as connection:
        # DuckDB wants a text that becomes a timestamp to say so.
        more = re.sub(r"('20[\d-]+ [\d:]+')", r"TIMESTAMP \1", _MORE.replace("FROM n", f"FROM {NUMBERS}"))
        for sql in [*tables(Dialect.DUCKDB), *more.replace("'2020-01-01'", "DATE '2020-01-01'").split(";\n")]:
            connection.execute(sql)
    schema = read_schema(parse("duckdb:///x.duckdb", tmp_path))
    with duckdb.connect(tmp_path / "x.duckdb") as connection:
        ran, wrong = other_rows(schema, lambda sql: connection.execute(sql).fetchall())
    assert wrong == {}
    assert ran > 50
