"""The guard: how it bounds what passes, and that no text makes it crash or lets anything but a query through."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import psycopg2
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from services.mesh.errors import InvalidArgument
from services.sql.errors import Rule, SqlRejected
from services.sql.guard.guard import check
from services.sql.language.words import listed
from services.sql.schema import Dialect
from tests.sql import statements


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a, count(*) AS n FROM t WHERE b LIKE '%x%' GROUP BY a HAVING count(*) > 1 ORDER BY n DESC",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "SELECT 1 UNION ALL SELECT 2",
        "(SELECT 1)",
        "SELECT 'DROP TABLE t; --' AS text",
        "SELECT /* DELETE */ 1 -- DROP",
        "SELECT rank() OVER (PARTITION BY a ORDER BY b) FROM t",
    ],
)
def test_what_passes_is_bounded_and_without_comments(dialect: Dialect, sql: str) -> None:
    checked = check(sql, dialect, 10)
    tree = sqlglot.parse_one(checked.sql, dialect=dialect.grammar)
    assert tree.args["limit"].expression.name == "11"
    assert "--" not in re.sub(r"'[^']*'", "", checked.sql)
    assert "/*" not in checked.sql


@pytest.mark.parametrize(("asked", "limit"), [("LIMIT 5", "5"), ("LIMIT 5000", "11"), ("", "11")])
def test_a_limit_stays_unless_it_is_larger(asked: str, limit: str) -> None:
    tree = sqlglot.parse_one(check(f"SELECT a FROM t {asked}", Dialect.SQLITE, 10).sql)
    assert tree.args["limit"].expression.name == limit


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a LIMIT 11 OFFSET 20"),
        ("SELECT a FROM t ORDER BY a LIMIT 25", "SELECT a FROM t ORDER BY a LIMIT 5 OFFSET 20"),
        ("SELECT a FROM t ORDER BY a LIMIT 5", "SELECT a FROM t ORDER BY a LIMIT 0 OFFSET 20"),
        ("SELECT a FROM t ORDER BY a LIMIT 90 OFFSET 3", "SELECT a FROM t ORDER BY a LIMIT 11 OFFSET 23"),
        ("SELECT 1 UNION ALL SELECT 2", "SELECT 1 UNION ALL SELECT 2 LIMIT 11 OFFSET 20"),
    ],
)
def test_rows_are_skipped_in_the_database(sql: str, expected: str) -> None:
    assert check(sql, Dialect.SQLITE, 10, skip=20).sql == expected


@pytest.mark.parametrize("sql", ["SELECT a FROM t LIMIT (SELECT 5)", "SELECT a FROM t LIMIT 5 + 5"])
def test_rows_of_a_computed_limit_are_not_skipped(sql: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(sql, Dialect.SQLITE, 10, skip=5)
    assert caught.value.violations[0].field == "skip"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 500 + "1" + ")" * 500,
        "SELECT " + "CASE WHEN 1 THEN " * 400 + "1" + " END" * 400,
        "SELECT " + ", ".join(["1"] * 30_000),
        "SELECT " + "- " * 20_000 + "1",
        "SELECT " + "NOT " * 15_000 + "1",
        "SELECT a FROM t WHERE a IN (" + ", ".join(["1"] * 6_000) + ")",
        " UNION ALL ".join(["SELECT 1"] * 150),
        "SELECT * FROM t" + "".join(f" JOIN t AS t{n} ON t{n}.a = t.a" for n in range(80)),
        "SELECT " + "(SELECT " * 100 + "1" + ")" * 100,
    ],
    ids=["parentheses", "cases", "columns", "signs", "nots", "list", "unions", "joins", "subqueries"],
)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_it_bounds_size_and_depth(sql: str, dialect: Dialect) -> None:
    with pytest.raises(SqlRejected) as caught:
        check(sql, dialect, 10)
    assert caught.value.rule is Rule.SIZE


# Whatever the text: it is refused, or runs without changing anything.

_WORDS = listed(
    """SELECT FROM WHERE t a 1 'x' ; ( ) , * -- /* */ DELETE INSERT UPDATE DROP INTO WITH AS UNION ALL pg_sleep
    load_extension LIMIT FOR $$ VALUES RETURNING PRAGMA SET COPY ATTACH JOIN ON = " ' ` [ ] E' \\ # /*! := @ ? RECURSIVE
    SHARE OUTFILE t.a count( read_csv( set_config( nextval( GROUP BY ORDER || :: CREATE TABLE EXPLAIN ANALYZE"""
)
# A busy machine is no failure.
UNHURRIED = settings(deadline=None)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from([*_WORDS, "\n", "\u200b", "\x00"]), max_size=16).map(" ".join),
)


@st.composite
def mutated(draw: st.DrawFn, dialect: Dialect) -> str:
    """A hostile or honest statement with a piece of another one in it, or a piece less."""
    pool = POOLS[dialect]
    text = draw(st.sampled_from(pool))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        other = draw(st.one_of(st.sampled_from(pool), st.sampled_from(_WORDS)))
        first = draw(st.integers(0, len(other)))
        text = text[:start] + other[first : draw(st.integers(first, len(other)))] + text[end:]
    return text


@st.composite
def grown(draw: st.DrawFn) -> str:
    """A statement of a small grammar that knows how to write as well as to read."""
    name = st.sampled_from(["a", "b", "t", "customers", '"x y"', "pg_sleep", "d"])
    value = st.sampled_from(
        ["1", "'x'", "NULL", "a", "t.b", "count(*)", "pg_sleep(0)", "nextval('s')", "set_config('a.b', 'c', false)"]
    )
    source = draw(
        st.sampled_from(
            ["t", "t AS x", "(SELECT 1 AS a) AS x", "generate_series(1, 3) AS g(a)", "'x.csv'", "read_csv('x')"]
        )
    )
    start = draw(
        st.sampled_from(
            [
                "", "WITH d AS (DELETE FROM t RETURNING *) ", "WITH d AS (SELECT 1 AS a) ", "EXPLAIN ANALYZE ",
                "CREATE TABLE made AS ", "INSERT INTO t ", "COPY (",
            ]
        )
    )  # fmt: skip
    middle = draw(st.sampled_from(["", " INTO made", f" AS {draw(name)}"]))
    condition = draw(st.sampled_from(["", f" WHERE a = {draw(value)}", f" WHERE a IN (SELECT {draw(value)})"]))
    end = draw(st.sampled_from(["", " LIMIT 3", " FOR UPDATE", "; DROP TABLE t", " -- x", " /* ; */", ") TO STDOUT"]))
    return f"{start}SELECT {draw(value)}{middle} FROM {source}{condition}{end}"


POOLS = {
    dialect: [sql for kind in ("hostile", "honest") for _heading, sql in statements.for_dialect(kind, dialect)]
    for dialect in Dialect
}


@UNHURRIED
@given(TEXTS, st.sampled_from(list(Dialect)))
def test_any_text_passes_as_a_query_or_is_refused(text: str, dialect: Dialect) -> None:
    passes_as_a_query_or_is_refused(text, dialect)


@UNHURRIED
@given(st.data(), st.sampled_from(list(Dialect)))
def test_any_mutation_passes_as_a_query_or_is_refused(data: st.DataObject, dialect: Dialect) -> None:
    passes_as_a_query_or_is_refused(data.draw(mutated(dialect)), dialect)


def passes_as_a_query_or_is_refused(text: str, dialect: Dialect) -> None:
    try:
        checked = check(text, dialect, 10)
    except SqlRejected:
        return
    (tree,) = sqlglot.parse(checked.sql, dialect.grammar)
    assert isinstance(tree, exp.Query)
    assert not list(
        tree.find_all(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Command, exp.Into, exp.Lock, exp.Drop)
    )
    # What passed passes again, as it is: there is nothing left to read differently.
    assert check(checked.sql, dialect, 10).sql == checked.sql


# More are worth a night now and then.
EXAMPLES = int(os.environ.get("PARLEY_TEST_EXAMPLES", "150"))
Unchanged = Callable[[str], None]
# The databases are slow to set up, so that all examples of a test share one: each leaves it as it was.
SHARED = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def sqlite_unchanged() -> Iterator[Unchanged]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'); CREATE TABLE customers (a)")
    before = list(connection.iterdump())

    def run(sql: str) -> None:
        connection.set_progress_handler(lambda: 1, 200_000)
        # Not every statement that passes fits the tables.
        with contextlib.suppress(sqlite3.Error):
            connection.execute(sql).fetchall()
        connection.set_progress_handler(None, 0)
        assert connection.total_changes == 1
        assert list(connection.iterdump()) == before

    yield run
    connection.close()


@pytest.fixture
def duckdb_unchanged() -> Iterator[Unchanged]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x'); CREATE SEQUENCE s")

        def state() -> Any:
            tables = connection.execute("SELECT table_name, column_count FROM duckdb_tables() ORDER BY 1").fetchall()
            sequences = connection.execute("SELECT last_value FROM duckdb_sequences()").fetchall()
            options = connection.execute("SELECT name, value FROM duckdb_settings()").fetchall()
            return tables, sequences, options, connection.execute("SELECT * FROM t").fetchall()

        before = state()

        def run(sql: str) -> None:
            try:
                # An independent parser's opinion: DuckDB's own.
                assert [item.type.name for item in connection.extract_statements(sql)] in (
                    ["SELECT"],
                    ["SELECT_STATEMENT"],
                )
                connection.execute(sql).fetchall()
            except duckdb.Error:
                pass
            assert state() == before

        yield run


@pytest.fixture
def postgres_unchanged(postgres: str) -> Iterator[Unchanged]:
    connection = psycopg2.connect(postgres)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'); CREATE SEQUENCE s")
        cursor.execute("SET statement_timeout = '2s'")

        def state() -> Any:
            cursor.execute("SELECT txid_current_if_assigned()")
            cursor.execute(
                "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class "
                "WHERE relnamespace = 'public'::regnamespace"
            )
            relations = cursor.fetchall()
            cursor.execute("SELECT (SELECT json_agg(t) FROM t)::text, (SELECT last_value || '' || is_called FROM s)")
            values = cursor.fetchall()
            cursor.execute(
                "SELECT name, setting FROM pg_settings UNION ALL "
                "SELECT 'locks', count(*)::text FROM pg_locks WHERE locktype = 'advisory'"
            )
            return relations, values, sorted(cursor.fetchall())

        before = state()

        def run(sql: str) -> None:
            cursor.execute("BEGIN")
            try:
                cursor.execute(sql)
                # A statement that writes or locks rows gets a transaction id.
                cursor.execute("SELECT txid_current_if_assigned()")
                assert cursor.fetchone() == (None,), sql
            except psycopg2.Error:
                pass
            cursor.execute("COMMIT")
            assert state() == before, sql

        yield run
    connection.close()


def runs_without_a_trace(text: str, dialect: Dialect, unchanged: Unchanged) -> None:
    try:
        checked = check(text, dialect, 10)
    except SqlRejected:
        return
    unchanged(checked.sql)


@SHARED
@given(st.data())
def test_what_passes_changes_nothing_in_sqlite(sqlite_unchanged: Unchanged, data: st.DataObject) -> None:
    text = data.draw(st.one_of(TEXTS, mutated(Dialect.SQLITE), grown()))
    runs_without_a_trace(text, Dialect.SQLITE, sqlite_unchanged)


@SHARED
@given(st.data())
def test_what_passes_changes_nothing_in_duckdb(duckdb_unchanged: Unchanged, data: st.DataObject) -> None:
    text = data.draw(st.one_of(TEXTS, mutated(Dialect.DUCKDB), grown()))
    runs_without_a_trace(text, Dialect.DUCKDB, duckdb_unchanged)


@SHARED
@given(st.data())
def test_what_passes_changes_nothing_in_postgresql(postgres_unchanged: Unchanged, data: st.DataObject) -> None:
    text = data.draw(st.one_of(TEXTS, mutated(Dialect.POSTGRESQL), grown()))
    runs_without_a_trace(text, Dialect.POSTGRESQL, postgres_unchanged)
