"""Hundreds of hostile and of honest statements: what the guard refuses and why, what passes, and that it then runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import duckdb
import psycopg2
import pymysql
import pytest

from services.sql.drivers import driver
from services.sql.errors import Rule, SqlRejected
from services.sql.guard.guard import check
from services.sql.schema import Dialect
from services.sql.target import parse
from tests.sql import statements
from tests.sql.conftest import LOCAL_HOSTS, mariadb_connection

_TABLES = """
CREATE TABLE customers (id {int} PRIMARY KEY, name {text}, city {text}, country {text}, email {text}, vip {bool});
CREATE TABLE products (
    id {int} PRIMARY KEY, name {text}, category_id {int}, price {num}, stock {int}, attributes {json}, tags {tags}
);
CREATE TABLE orders (id {int} PRIMARY KEY, customer_id {int}, status {text}, order_date {time}, total {num});
CREATE TABLE order_items (order_id {int}, product_id {int}, quantity {int}, unit_price {num});
CREATE TABLE employees (
    id {int} PRIMARY KEY, name {text}, manager_id {int}, salary {num}, hired_on {date}, dept {text}
);
CREATE TABLE readings (id {int}, taken {time}, value {num});
CREATE TABLE events (id {int}, kind {text}, taken {time});
INSERT INTO customers VALUES (1, 'An', 'Huế', 'Vietnam', 'an@example.org', {true});
INSERT INTO products VALUES (1, 'Tea', 1, 9.5, 3, '{{"color": "red", "tags": ["a"], "size": {{"width": 2}}}}', {tag});
INSERT INTO orders VALUES (1, 1, 'paid', '2025-01-05 10:00:00', 20), (2, 1, 'new', '2025-01-06 10:00:00', 30);
INSERT INTO order_items VALUES (1, 1, 2, 9.5);
INSERT INTO employees VALUES (1, 'Bo', NULL, 10, '2020-01-01', 'a'), (2, 'Cy', 1, 20, '2021-01-01', 'a');
INSERT INTO readings VALUES (1, '2025-01-05 10:00:00', 1.5);
INSERT INTO events VALUES (1, 'a', '2025-01-05 10:00:00');
"""
_WORDS = {
    Dialect.SQLITE: {"text": "text", "bool": "boolean", "json": "text", "tags": "text", "true": "1", "tag": "'x'"},
    Dialect.POSTGRESQL: {
        "text": "text",
        "bool": "boolean",
        "json": "jsonb",
        "tags": "text[]",
        "true": "true",
        "tag": "'{new}'",
    },
    Dialect.MYSQL: {
        "text": "varchar(60)",
        "bool": "boolean",
        "json": "json",
        "tags": "text",
        "true": "1",
        "tag": "'x'",
    },
    Dialect.DUCKDB: {
        "text": "text",
        "bool": "boolean",
        "json": "json",
        "tags": "text[]",
        "true": "true",
        "tag": "['new']",
    },
}


def tables(dialect: Dialect) -> list[str]:
    """The statements that make the tables of the honest statements."""
    time_type = "datetime" if dialect is Dialect.MYSQL else "timestamp"
    words = {"int": "int", "num": "numeric(10,2)", "date": "date", "time": time_type, **_WORDS[dialect]}
    return [part for part in _TABLES.format(**words).split(";\n") if part.strip()]


def hostile() -> Iterator[tuple[Dialect, str, str]]:
    for dialect in Dialect:
        for rule, sql in statements.for_dialect("hostile", dialect):
            yield dialect, rule, sql


def test_there_are_hundreds_of_each() -> None:
    assert len(statements.distinct("hostile")) >= 300
    assert len(statements.distinct("honest")) >= 300
    assert {rule for _dialect, rule, _sql in hostile()} == {rule.value for rule in Rule} - {"size"}


@pytest.mark.parametrize(("dialect", "rule", "sql"), list(hostile()))
def test_a_hostile_statement_is_refused_with_its_rule(dialect: Dialect, rule: str, sql: str) -> None:
    with pytest.raises(SqlRejected) as caught:
        check(sql, dialect, 10)
    assert (caught.value.rule.value, caught.value.metadata["rule"]) == (rule, rule)
    assert caught.value.violations[0].field == "sql"
    # A sentence that names what: more than the rule.
    assert len(caught.value.violations[0].description.split()) > 3


@pytest.mark.parametrize("dialect", list(Dialect))
def test_honest_statements_pass(dialect: Dialect) -> None:
    refused = {}
    for _heading, sql in statements.for_dialect("honest", dialect):
        try:
            check(sql, dialect, 10)
        except SqlRejected as error:
            refused[sql] = error.message
    assert refused == {}


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT pg_sleep(1)", "pg_sleep"),
        ("SELECT * FROM pg_shadow", "pg_shadow"),
        ("DROP TABLE t", "DROP"),
        ("SELECT 1; SELECT 2", "2"),
        ("SELECT * FROM t FOR UPDATE", "locking"),
        ("SELECT a\u200bb FROM t", "U+200B"),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n", "recursion of n"),
        ("SELECT * FROM generate_series(1, 1000000000)", "10,000,000"),
    ],
)
def test_the_reason_names_what_is_refused(sql: str, named: str) -> None:
    with pytest.raises(SqlRejected) as caught:
        check(sql, Dialect.POSTGRESQL, 10)
    assert named in caught.value.message


@pytest.mark.parametrize(("rows", "passes"), [(1_000, True), (1_000_000, False)])
def test_a_product_of_tables_depends_on_their_sizes(rows: int, passes: bool) -> None:
    sql = "SELECT count(*) FROM orders CROSS JOIN products"
    sizes = {"orders": rows, "products": rows}
    if passes:
        assert check(sql, Dialect.SQLITE, 10, sizes=sizes).sql.startswith("SELECT COUNT(*)")
    else:
        with pytest.raises(SqlRejected) as caught:
            check(sql, Dialect.SQLITE, 10, sizes=sizes)
        assert caught.value.rule is Rule.COST


def failures(dialect: Dialect, run: Callable[[str], Any], names: type[Exception]) -> dict[str, str]:
    """What a database refuses of the honest statements that the guard passed."""
    found = {}
    for _heading, sql in statements.for_dialect("honest", dialect):
        checked = check(sql, dialect, 10).sql
        try:
            run(checked)
        except names as error:
            found[checked] = str(error).splitlines()[0]
    return found


def test_honest_statements_run_in_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(";\n".join(tables(Dialect.SQLITE)))
    try:
        assert failures(Dialect.SQLITE, lambda sql: connection.execute(sql).fetchall(), sqlite3.Error) == {}
    finally:
        connection.close()


def test_honest_statements_run_in_duckdb() -> None:
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        for sql in tables(Dialect.DUCKDB):
            connection.execute(sql)
        assert failures(Dialect.DUCKDB, lambda sql: connection.execute(sql).fetchall(), duckdb.Error) == {}


def test_honest_statements_run_in_postgresql(postgres: str) -> None:
    connection = psycopg2.connect(postgres)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for sql in tables(Dialect.POSTGRESQL):
                cursor.execute(sql)
            assert failures(Dialect.POSTGRESQL, cursor.execute, psycopg2.Error) == {}
    finally:
        connection.close()


def test_honest_statements_run_in_mariadb(mariadb: str) -> None:
    with mariadb_connection(mariadb) as connection, connection.cursor() as cursor:
        for sql in tables(Dialect.MYSQL):
            cursor.execute(sql)
        assert failures(Dialect.MYSQL, cursor.execute, pymysql.Error) == {}


# Servers may be told to read texts otherwise than the guard does: the sessions have to undo that.
SWALLOWED = "SELECT 'a\\' AS first, ' OR 1 = 1 -- ' AS second"


def test_postgresql_reads_strings_as_the_guard_did(postgres: str) -> None:
    with closing(psycopg2.connect(postgres)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            name = (cursor.fetchone() or ("",))[0]
            cursor.execute(f"ALTER DATABASE {name} SET standard_conforming_strings = off")
    assert answered(postgres, SWALLOWED) == [("a\\", " OR 1 = 1 -- ")]


def test_mariadb_reads_strings_as_the_guard_did(mariadb: str) -> None:
    modes = "NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT,HIGH_NOT_PRECEDENCE,STRICT_TRANS_TABLES"
    with mariadb_connection(mariadb) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@global.sql_mode")
        before = (cursor.fetchone() or ("",))[0]
        cursor.execute(f"SET GLOBAL sql_mode = '{modes}'")
    try:
        assert answered(mariadb, r"SELECT 'a\\' AS first, 'it''s' AS second") == [("a\\", "it's")]
    finally:
        with mariadb_connection(mariadb) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET GLOBAL sql_mode = '{before}'")


def answered(url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows that a session gives for a statement that passed the guard."""
    target = parse(url, None)
    session = driver.connect(target, LOCAL_HOSTS)
    try:
        return driver.rows(session, check(sql, target.dialect, 10).sql, 5, 10)
    finally:
        session.close()
