"""The sample shop in every kind of database, with the same rows."""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import sqlglot

from tests.sql.conftest import mariadb_connection

_CHDB = """
import chdb, json, sys
connection = chdb.connect(sys.argv[1])
for statement in json.load(sys.stdin):
    connection.query(statement)
"""


def statements(dialect: str, shop: Path) -> list[str]:
    """The shop's tables, in the words of a database."""
    with closing(sqlite3.connect(shop)) as connection:
        tables = [
            row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
        ]
    if dialect == "clickhouse":
        # No keys, and an order instead.
        plain = [
            re.sub(r" (PRIMARY KEY|UNIQUE|REFERENCES \w+ \(id\)|CHECK \([^()]*(\([^()]*\))?[^()]*\))", "", text)
            for text in tables
        ]
        plain = [
            re.sub(r"(\w+) TEXT NOT", r"\1 String NOT", text).replace(" phone TEXT", " phone Nullable(String)")
            for text in plain
        ]
        return [text + " ENGINE = MergeTree ORDER BY id" for text in plain]
    if dialect == "mysql":
        tables = [text.replace("TEXT NOT NULL UNIQUE", "VARCHAR(200) NOT NULL UNIQUE") for text in tables]
        # MySQL parses a column's REFERENCES, and forgets it.
        tables = [
            re.sub(
                r"(\w+)( INTEGER NOT NULL) REFERENCES (\w+) \(id\)", r"\1\2, FOREIGN KEY (\1) REFERENCES \3 (id)", text
            )
            for text in tables
        ]
    return tables


def rows(shop: Path) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    """Each table's columns and rows; tables that others refer to come first."""
    found = {}
    with closing(sqlite3.connect(shop)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
        for (table,) in names:
            cursor = connection.execute(f"SELECT * FROM {table}")
            found[table] = ([item[0] for item in cursor.description], cursor.fetchall())
    return found


def fill_postgres(url: str, shop: Path) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        _fill(cursor, statements("postgres", shop), shop, "%s")


def fill_mariadb(url: str, shop: Path) -> None:
    with mariadb_connection(url) as connection, connection.cursor() as cursor:
        _fill(cursor, statements("mysql", shop), shop, "%s")


def fill_duckdb(path: Path, shop: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        for statement in [*statements("duckdb", shop), *_inserts(shop)]:
            connection.execute(statement)


def _fill(cursor: Any, tables: list[str], shop: Path, mark: str) -> None:
    for statement in tables:
        cursor.execute(statement)
    for table, (names, values) in rows(shop).items():
        cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join([mark] * len(names))})", values)


def fill_chdb(folder: Path, shop: Path) -> None:
    """In a process of its own: chDB opens one folder in a process, and nobody else may have it open."""
    folder.mkdir()
    run_chdb(folder, [*statements("clickhouse", shop), *_inserts(shop)])


def run_chdb(folder: Path, commands: list[str]) -> None:
    subprocess.run([sys.executable, "-c", _CHDB, str(folder)], input=json.dumps(commands), text=True, check=True)


def _inserts(shop: Path) -> list[str]:
    return [
        f"INSERT INTO {table} VALUES {', '.join(f'({_listed(row)})' for row in values)}"
        for table, (_names, values) in rows(shop).items()
    ]


def _listed(row: tuple[Any, ...]) -> str:
    return ", ".join(
        "NULL"
        if value is None
        else repr(value)
        if not isinstance(value, str)
        else sqlglot.exp.Literal.string(value).sql("clickhouse")
        for value in row
    )


def fill_mongodb(database: Any, shop: Path) -> None:
    for table, (names, values) in rows(shop).items():
        documents = [
            {("_id" if name == "id" else name): _bson(name, value) for name, value in zip(names, row, strict=True)}
            for row in values
        ]
        database[table].insert_many(documents)


def _bson(name: str, value: Any) -> Any:
    if name.endswith(("_on", "_date")):
        return dt.datetime.fromisoformat(value)
    return float(value) if isinstance(value, Decimal) else value
