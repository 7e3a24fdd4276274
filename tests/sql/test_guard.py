"""The guard: what passes, what does not, and that nothing else happens to any text."""

from __future__ import annotations

import re

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from services.sql.errors import SqlRejected
from services.sql.guard import check
from services.sql.schema import Dialect

BOTH = [
    "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "DROP TABLE t", "CREATE TABLE t (a int)",
    "CREATE TABLE t AS SELECT 1", "ALTER TABLE t ADD a int", "SELECT 1; DROP TABLE t", "SELECT 1; SELECT 2",
    "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "SELECT 1 /* */; /* */ DELETE FROM t -- x",
    "", ";", "-- only a comment", "/* SELECT 1 */", "VACUUM", "BEGIN", "COMMIT", "EXPLAIN SELECT 1", "ANALYZE",
    "GRANT ALL ON t TO x",
    "SELECT * FROM t WHERE a = ?", "SELECT :name", "nonsense", "SELECT * FROM (UPDATE t SET a = 1) x", "SELECT (",
    "REPLACE INTO t VALUES (1)", "TRUNCATE TABLE t", "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
]  # fmt: skip
SQLITE = [
    "PRAGMA table_info(t)", "ATTACH 'x' AS y", "DETACH y", "SELECT load_extension('x')", "SELECT "
    "readfile('/etc/passwd')",
    "SELECT writefile('a', 'b')", "SELECT * FROM pragma_database_list", "SELECT * FROM pragma_table_info('t')",
    "SELECT zeroblob(1000000000)", "SELECT randomblob(1000000000)", "SELECT * FROM sqlite_master", "SELECT "
    "fts3_tokenizer('x')",
    "SELECT edit('x')", "VACUUM INTO 'x'", "SELECT * FROM dbstat", 'SELECT "load_extension"(1)', "SELECT * FROM "
    "generate_series(1, 9)",
    "SELECT printf('%.*c', 2000000000, 'x')", "SELECT format('%1000000000d', 1)", "SELECT * FROM json_each('[1]')",
]  # fmt: skip
POSTGRES = [
    "SELECT pg_sleep(10)", 'SELECT "pg_sleep"(10)', "SELECT pg_catalog.pg_sleep(10)", "SELECT * FROM pg_sleep(10)",
    "SELECT PG_SLEEP(10)", "SELECT pg_sleep_for('1 s')", "SELECT pg_read_file('/etc/passwd')", "SELECT pg_ls_dir('.')",
    "SELECT lo_import('x')", "SELECT lo_export(1, 'x')", "SELECT * FROM dblink('x', 'SELECT 1') AS t(a int)",
    "SELECT query_to_xml('DELETE FROM t', true, true, '')", "SELECT set_config('a', 'b', false)", "SELECT nextval('s')",
    "SELECT pg_terminate_backend(1)", "SELECT pg_cancel_backend(1)", "COPY t TO PROGRAM 'sh'", "COPY t TO STDOUT",
    "SELECT 1 INTO x", "SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR SHARE", "SET ROLE postgres", "CALL p()",
    "DO $$ BEGIN END $$", "SELECT * FROM pg_shadow", "SELECT * FROM pg_catalog.pg_authid", "TABLE pg_user", "LISTEN x",
    "SELECT current_setting('data_directory')", "SELECT pg_advisory_lock(1)", "SELECT pg_notify('a', 'b')", "SHOW all",
    "SELECT * FROM information_schema.tables", "SELECT repeat('x', 1000000000)", "PREPARE x AS SELECT 1",
    "LOCK TABLE t",
    "SELECT version()", "SELECT txid_current()", "SELECT * FROM t WHERE a = (SELECT pg_sleep(1)::text)",
    "SELECT CASE WHEN true THEN pg_sleep(1) END", "SELECT 1 UNION SELECT pg_sleep(1)", "SELECT $1",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", "SELECT U&\"pg\\005fsleep\"(1)",
]  # fmt: skip
ATTACKS = [
    *((Dialect.SQLITE, sql) for sql in (*BOTH, *SQLITE)),
    *((Dialect.POSTGRESQL, sql) for sql in (*BOTH, *POSTGRES)),
]


@pytest.mark.parametrize(("dialect", "sql"), ATTACKS)
def test_it_rejects(dialect: Dialect, sql: str) -> None:
    with pytest.raises(SqlRejected) as caught:
        check(sql, dialect, 10)
    assert caught.value.violations[0].field == "sql"


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a, count(*) AS n FROM t WHERE b LIKE '%x%' GROUP BY a HAVING count(*) > 1 ORDER BY n DESC",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "SELECT 1 UNION ALL SELECT 2",
        "SELECT a FROM t EXCEPT SELECT a FROM s",
        "(SELECT 1)",
        "SELECT 'DROP TABLE t; --' AS text",
        "SELECT 1;",
        "SELECT /* DELETE */ 1 -- DROP",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
        "SELECT rank() OVER (PARTITION BY a ORDER BY b) FROM t",
        "SELECT coalesce(max(a), 0), round(avg(b), 2), CAST(c AS int) FROM t",
        "SELECT * FROM t WHERE a NOT IN (SELECT b FROM s WHERE b IS NOT NULL)",
    ],
)
def test_it_passes_and_bounds(dialect: Dialect, sql: str) -> None:
    checked = check(sql, dialect, 10)
    tree = sqlglot.parse_one(checked.sql, dialect.value)
    assert tree.args["limit"].expression.name == "11"
    assert "--" not in re.sub(r"'[^']*'", "", checked.sql)
    assert "/*" not in checked.sql


@pytest.mark.parametrize(("asked", "limit"), [("LIMIT 5", "5"), ("LIMIT 5000", "11"), ("", "11")])
def test_a_limit_stays_unless_it_is_larger(asked: str, limit: str) -> None:
    tree = sqlglot.parse_one(check(f"SELECT a FROM t {asked}", Dialect.SQLITE, 10).sql)
    assert tree.args["limit"].expression.name == limit


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 500 + "1" + ")" * 500,
        "SELECT " + "CASE WHEN 1 THEN " * 400 + "1" + " END" * 400,
        "SELECT " + ", ".join(["1"] * 30_000),
        "SELECT " + "- " * 20_000 + "1",
        "SELECT " + "NOT " * 15_000 + "1",
    ],
    ids=["parentheses", "cases", "columns", "signs", "nots"],
)
def test_it_bounds_size_and_depth(sql: str) -> None:
    with pytest.raises(SqlRejected):
        check(sql, Dialect.SQLITE, 10)


@given(st.text(max_size=60), st.sampled_from(list(Dialect)))
def test_any_text_passes_or_is_rejected(text: str, dialect: Dialect) -> None:
    _passes_as_query_or_is_rejected(text, dialect)


_WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "t",
    "a",
    "1",
    "'x'",
    ";",
    "(",
    ")",
    ",",
    "*",
    "--",
    "/*",
    "*/",
    "DELETE",
    "INSERT",
    "UPDATE",
    "DROP",
    "INTO",
    "WITH",
    "AS",
    "UNION",
    "pg_sleep",
    "load_extension",
    "LIMIT",
    "FOR",
    "$$",
    "VALUES",
    "RETURNING",
    "PRAGMA",
    "SET",
    "COPY",
    "ATTACH",
    "JOIN",
    "ON",
    "=",
    '"',
    "'",
    "\n",
]


@given(st.lists(st.sampled_from(_WORDS), max_size=14), st.sampled_from(list(Dialect)))
def test_any_mix_of_words_passes_as_a_query_or_is_rejected(words: list[str], dialect: Dialect) -> None:
    _passes_as_query_or_is_rejected(" ".join(words), dialect)


def _passes_as_query_or_is_rejected(text: str, dialect: Dialect) -> None:
    try:
        checked = check(text, dialect, 10)
    except SqlRejected:
        return
    statements = sqlglot.parse(checked.sql, dialect.value)
    assert len(statements) == 1
    (tree,) = statements
    assert isinstance(tree, exp.Query)
    assert not list(tree.find_all(exp.DML, exp.DDL, exp.Command, exp.Into, exp.Lock, exp.Drop)) or all(
        isinstance(node, exp.Query) for node in tree.find_all(exp.DML, exp.DDL)
    )
