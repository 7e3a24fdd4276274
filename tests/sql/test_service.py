"""The real server through its stub: databases, schemas, statements, questions, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import grpc
import psycopg2
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2
from services.sql.execution.execute import live_queries

Serve = Callable[..., AbstractAsyncContextManager[Any]]
Register = Callable[..., Awaitable[sql_pb2.Database]]
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT count(*) FROM n"
MILLIONS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT i FROM n"


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, str]:
    """The code, the reason and the message that a call fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return said(caught.value)


def said(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, str]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stubs know the synchronous call only
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    info.reason = info.reason.removeprefix("ERROR_REASON_")
    return error.code(), info, status.message


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    return [part async for part in stream]


def execute(stub: Any, sql: str, database: str = "shop", **fields: Any) -> Any:
    return stub.ExecuteQuery(sql_pb2.ExecuteQueryRequest(database=f"databases/{database}", sql=sql, **fields))


def ask(stub: Any, question: str, database: str = "shop", **fields: Any) -> Any:
    return stub.Ask(sql_pb2.AskRequest(database=f"databases/{database}", question=question, **fields))


def values(parts: list[Any]) -> list[list[Any]]:
    return [list(MessageToDict(row)) for part in parts for row in part.rows.rows]


async def no_live_queries() -> None:
    for _attempt in range(100):
        if live_queries() == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a query still runs")


# Databases.


async def test_databases_are_registered_listed_and_forgotten(stub: Any, tmp_path: Path, register: Register) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    for identifier in ("c", "a", "b"):
        created = await register(stub, identifier, "sqlite:///shop.sqlite")
        assert (created.name, created.url, created.display_name) == (f"databases/{identifier}", "", identifier)
        assert created.dialect == sql_pb2.DIALECT_SQLITE
    first = await stub.ListDatabases(sql_pb2.ListDatabasesRequest(page_size=2))
    assert [item.name for item in first.databases] == ["databases/a", "databases/b"]
    rest = await stub.ListDatabases(sql_pb2.ListDatabasesRequest(page_size=2, page_token=first.next_page_token))
    assert ([item.name for item in rest.databases], rest.next_page_token) == (["databases/c"], "")
    await stub.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name="databases/a"))
    code, info, _ = await refused(stub.GetDatabase(sql_pb2.GetDatabaseRequest(name="databases/a")))
    assert (code, info.reason, info.metadata["resource"]) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "databases/a")
    assert (tmp_path / "shop.sqlite").exists()


async def test_an_id_is_taken_once(shop_stub: Any, register: Register) -> None:
    code, info, _ = await refused(register(shop_stub, "shop", "sqlite:///shop.sqlite"))
    assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    "url",
    [
        "", "shop", "oracle://a/b", "mysql://a", "duckdb:///missing.duckdb", "upload:///x.duckdb",
        "sqlite://", "sqlite:///:memory:", "sqlite:///../outside.sqlite", "sqlite:////etc/passwd",
        "sqlite:///link.sqlite", "sqlite:///missing.sqlite", "sqlite:///file:shop.sqlite?mode=rw", "postgresql://host",
        "sqlite:///shop.sqlite\x00", "postgresql://a:b@[::1/x",
    ],
)  # fmt: skip
async def test_a_url_that_may_not_be_registered_is_named(
    stub: Any, tmp_path: Path, url: str, register: Register
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.sqlite"
    sample_shop.build(outside)
    (tmp_path / "link.sqlite").symlink_to(outside)
    code, info, message = await refused(register(stub, "x", url))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert "database.url" in message
    assert not (await stub.ListDatabases(sql_pb2.ListDatabasesRequest())).databases


async def test_a_database_that_cannot_be_reached_is_not_registered(
    stub: Any, tmp_path: Path, register: Register, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.sqlite").write_text("this is no database " * 100)
    for url in ("sqlite:///text.sqlite", "postgresql://someone:hunter2@127.0.0.1:1/secretdb"):
        code, info, message = await refused(register(stub, "x", url))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert "hunter2" not in message + "".join(capfd.readouterr())
    assert not (await stub.ListDatabases(sql_pb2.ListDatabasesRequest())).databases


async def test_credentials_are_stored_encrypted(
    serve: Serve, tmp_path: Path, register: Register, postgres: str
) -> None:
    url = re.sub(r"//parley@", "//parley:hunter2@", postgres)
    async with serve() as stub:
        await register(stub, "x", url)
        found = await stub.GetDatabase(sql_pb2.GetDatabaseRequest(name="databases/x"))
        assert found.database.dialect == sql_pb2.DIALECT_POSTGRESQL
        assert "hunter2" not in str(found)
    with closing(sqlite3.connect(tmp_path / "sql.db")) as connection:
        assert "hunter2" not in "".join(connection.iterdump())
    async with serve() as stub:
        code, info, message = await refused(collect(execute(stub, "SELECT 1", "x")))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
        assert "encryption key" in message


async def test_a_locked_storage_says_so_and_keeps_nothing_half(
    serve: Serve, tmp_path: Path, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    monkeypatch.setattr("services.mesh.database.LOCK_SECONDS", 0.1)
    async with serve() as stub:
        with closing(sqlite3.connect(tmp_path / "sql.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            code, info, _ = await refused(register(stub, "shop", "sqlite:///shop.sqlite"))
            assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
            writer.rollback()
        assert not (await stub.ListDatabases(sql_pb2.ListDatabasesRequest())).databases
        await register(stub, "shop", "sqlite:///shop.sqlite")


@pytest.mark.parametrize(
    "request_",
    [
        sql_pb2.ListDatabasesRequest(page_token="no token"),
        sql_pb2.ListDatabasesRequest(page_token="////"),
        sql_pb2.ListDatabasesRequest(page_size=-1),
    ],
)
async def test_a_bad_page_is_named(stub: Any, request_: sql_pb2.ListDatabasesRequest) -> None:
    code, _, message = await refused(stub.ListDatabases(request_))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "page_" in message


# Schemas.


async def test_the_schema_has_keys_types_counts_and_samples(shop_stub: Any) -> None:
    schema = (await shop_stub.GetSchema(sql_pb2.GetSchemaRequest(name="databases/shop"))).schema
    orders = next(table for table in schema.tables if table.name == "orders")
    assert (list(orders.primary_key), orders.row_count) == (["id"], sample_shop.ORDERS)
    assert {(tuple(k.columns), k.referred_table, tuple(k.referred_columns)) for k in orders.foreign_keys} == {
        (("customer_id",), "customers", ("id",)),
        (("employee_id",), "employees", ("id",)),
    }
    status = next(column for column in orders.columns if column.name == "status")
    assert (status.type, status.nullable, "cancelled" in status.sample_values) == ("TEXT", False, True)


async def test_a_changed_schema_is_read_again_by_itself(shop_stub: Any, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        connection.execute("ALTER TABLE customers RENAME COLUMN city TO town")
    parts = await collect(ask(shop_stub, "how many customers are in Hanoi"))
    assert "town" in parts[1].query.sql
    assert parts[-1].answer.text == "There are 33 customers in Hanoi."
    request = sql_pb2.GenerateQueryRequest(database="databases/shop", question="how many customers are in Hanoi")
    assert "town" in (await shop_stub.GenerateQuery(request)).query.sql


async def test_a_part_that_is_gone_is_said(stub: Any, register: Register, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "zoo.sqlite")) as connection:
        connection.executescript("CREATE TABLE keepers (name TEXT); CREATE TABLE lions (name TEXT, weight REAL)")
        await register(stub, "zoo", "sqlite:///zoo.sqlite")
        connection.execute("ALTER TABLE lions RENAME TO vehicles")
    code, info, message = await refused(collect(ask(stub, "how many lions are there", "zoo")))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "QUESTION_NOT_UNDERSTOOD")
    assert "lions" in message
    assert "vehicles" in message


async def test_a_statement_on_a_part_that_is_gone_says_what_helps(shop_stub: Any) -> None:
    code, info, message = await refused(collect(execute(shop_stub, "SELECT missing FROM orders")))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SQL_FAILED")
    assert "refresh the schema" in message


async def test_the_vocabulary_holds_question_forms_and_values(shop_stub: Any) -> None:
    request = sql_pb2.GetVocabularyRequest(name="databases/shop")
    phrases = (await shop_stub.GetVocabulary(request)).phrases
    assert {"how many customers are there", "how many customers are in hanoi"} <= set(phrases)
    assert all(phrase == phrase.lower() and re.fullmatch(r"[\w' -]+", phrase) for phrase in phrases)
    assert len(phrases) == len(set(phrases)) <= 6000


# Statements.


async def test_rows_come_typed_in_batches_with_a_summary(shop_stub: Any) -> None:
    first, *rest, last = await collect(
        execute(shop_stub, "SELECT id, name, joined_on, phone FROM customers ORDER BY id")
    )
    assert [(c.name, c.type) for c in first.columns.columns] == [
        ("id", sql_pb2.COLUMN_TYPE_INTEGER),
        ("name", sql_pb2.COLUMN_TYPE_TEXT),
        ("joined_on", sql_pb2.COLUMN_TYPE_DATE),
        ("phone", sql_pb2.COLUMN_TYPE_TEXT),
    ]
    assert len(rest) == 2
    assert len(values(rest)) == last.summary.row_count == sample_shop.CUSTOMERS
    assert not last.summary.truncated


@pytest.mark.parametrize(("rows", "limit", "count", "cut"), [(10, 10, 10, False), (11, 10, 10, True), (0, 5, 0, False)])
async def test_the_row_limit_is_exact(shop_stub: Any, rows: int, limit: int, count: int, cut: bool) -> None:
    sql = f"SELECT id FROM customers WHERE id <= {rows}"
    *_, last = await collect(execute(shop_stub, sql, max_rows=limit))
    assert (last.summary.row_count, last.summary.truncated) == (count, cut)


async def test_millions_of_rows_are_cut_off_in_flat_memory(serve: Serve, tmp_path: Path, register: Register) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    async with serve(max_rows_limit=200_000) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count = 0
        async for part in execute(stub, MILLIONS, max_rows=1_000_000):
            count += len(part.rows.rows)
            last = part
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (count, last.summary.row_count, last.summary.truncated) == (200_000, 200_000, True)
    assert grown < 60_000, f"{grown} KiB"


async def test_a_slow_statement_is_stopped(shop_stub: Any) -> None:
    started = time.monotonic()
    code, info, _ = await refused(collect(execute(shop_stub, ENDLESS, timeout=Duration(nanos=300_000_000))))
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SQL_TIMEOUT")
    assert time.monotonic() - started < 3
    await no_live_queries()


async def test_hanging_up_stops_the_statement(shop_stub: Any) -> None:
    call = execute(shop_stub, ENDLESS)
    reading = asyncio.create_task(collect(call))
    for _attempt in range(100):
        if live_queries():
            break
        await asyncio.sleep(0.02)
    assert live_queries() == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await no_live_queries()


@pytest.mark.parametrize("sql", ["DELETE FROM orders", "SELECT 1; DROP TABLE orders", "SELECT load_extension('x')"])
async def test_what_is_no_reading_statement_is_rejected(shop_stub: Any, sql: str) -> None:
    code, info, message = await refused(collect(execute(shop_stub, sql)))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SQL_REJECTED")
    assert "sql" in message


async def test_a_failure_after_the_first_rows_is_in_the_stream_too(shop_stub: Any) -> None:
    # abs() of the smallest integer overflows: SQLite finds out when it comes to that row.
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) "
        "SELECT abs(CASE WHEN i = 800 THEN -9223372036854775807 - 1 ELSE i END) FROM n"
    )
    parts = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for part in execute(shop_stub, sql):
            parts.append(part)  # noqa: PERF401  the parts before the error matter
    code, info, _ = said(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SQL_FAILED")
    assert parts[0].WhichOneof("part") == "columns"
    assert (parts[-1].WhichOneof("part"), parts[-1].error.code) == ("error", code.value[0])


async def test_a_file_that_goes_away_is_unavailable(shop_stub: Any, tmp_path: Path) -> None:
    (tmp_path / "shop.sqlite").write_bytes(os.urandom(8192))
    code, info, _ = await refused(collect(execute(shop_stub, "SELECT count(*) FROM orders")))
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")


async def test_a_file_that_was_deleted_is_unavailable(shop_stub: Any, tmp_path: Path) -> None:
    (tmp_path / "shop.sqlite").unlink()
    code, info, message = await refused(collect(ask(shop_stub, "how many orders are there")))
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert str(tmp_path) not in message


# Questions.


async def test_a_question_becomes_a_query(shop_stub: Any) -> None:
    request = sql_pb2.GenerateQueryRequest(database="databases/shop", question="How many customers are in Hanoi?")
    query = (await shop_stub.GenerateQuery(request)).query
    assert (query.engine, query.dialect) == ("embedded", sql_pb2.DIALECT_SQLITE)
    assert query.sql == "SELECT COUNT(*) AS count FROM customers WHERE city = 'Hanoi'"
    assert [link.value for link in query.links] == ["", "Hanoi"]


async def test_a_question_is_answered_in_its_language(shop_stub: Any) -> None:
    for question, start in (
        ("How many orders are there?", "There are 1,500 orders."),
        ("Có bao nhiêu đơn hàng?", "Có 1.500 đơn hàng."),
    ):
        parts = await collect(ask(shop_stub, question))
        assert [part.WhichOneof("part") for part in parts] == ["linked_schema", "query", "columns", "rows", "answer"]
        assert parts[-1].answer.text.startswith(start)
        assert parts[-1].answer.summary.row_count == 1
        assert [table.name for table in parts[0].linked_schema.tables] == ["orders"]


async def test_what_is_not_understood_is_named(shop_stub: Any) -> None:
    code, info, _ = await refused(collect(ask(shop_stub, "who wrote Hamlet")))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "QUESTION_NOT_UNDERSTOOD")
    assert info.metadata["unknown_words"] == "Hamlet"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"question": ""}, "question"),
        ({"question": "x" * 4001}, "question"),
        ({"engine": "gpt"}, "engine"),
        ({"max_rows": -1}, "max_rows"),
    ],
)
async def test_a_bad_question_is_named(shop_stub: Any, fields: dict[str, Any], field: str) -> None:
    code, info, message = await refused(collect(ask(shop_stub, **{"question": "how many orders", **fields})))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert field in message


# PostgreSQL.


@pytest.fixture
def postgres_shop(postgres: str) -> str:
    """A small shop in PostgreSQL."""
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, city text, joined date, extra jsonb);"
            "CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id int REFERENCES customers (id), total "
            "numeric(9,2),"
            " placed timestamptz, paid boolean, raw bytea, tags text[]);"
            "INSERT INTO customers (name, city, joined, extra) SELECT 'Customer ' || i, CASE WHEN i % 2 = 0 "
            "THEN 'Hanoi'"
            " ELSE 'Hue' END, date '2025-01-01' + i, '{\"a\": 1}' FROM generate_series(1, 20) i;"
            "INSERT INTO orders (customer_id, total, placed, paid, raw, tags) SELECT 1 + i % 10, i * 1.5,"
            " timestamptz '2025-03-01 10:00:00+00' + i * interval '1 day', i % 3 = 0, '\\x0102', '{x,y}'"
            " FROM generate_series(1, 60) i"
        )
    return postgres


async def test_postgresql_questions_and_types(stub: Any, register: Register, postgres_shop: str) -> None:
    await register(stub, "pg", postgres_shop)
    for question, gold in (
        ("how many customers are in Hanoi", [[10.0]]),
        ("how many customers have no orders", [[10.0]]),
        ("how many orders were there in March 2025", [[30.0]]),
        ("which customer has the highest total", [["Customer 1"]]),
    ):
        parts = await collect(ask(stub, question, "pg"))
        assert values(parts) == gold, parts[1].query.sql
    sql = (
        "SELECT o.id, total, placed, paid, raw, tags, extra, joined, 9007199254740993 AS big, NULL AS none "
        "FROM orders o JOIN customers c ON c.id = customer_id ORDER BY o.id LIMIT 1"
    )
    first, rows, last = await collect(execute(stub, sql, "pg"))
    types = [sql_pb2.ColumnType.Name(c.type).removeprefix("COLUMN_TYPE_") for c in first.columns.columns]
    assert types == ["INTEGER", "DECIMAL", "TIMESTAMP", "BOOLEAN", "BYTES", "JSON", "JSON", "DATE", "INTEGER", "TEXT"]
    assert values([rows]) == [
        [
            1.0,
            "1.50",
            "2025-03-02T10:00:00+00:00",
            False,
            "AQI=",
            ["x", "y"],
            {"a": 1.0},
            "2025-01-03",
            "9007199254740993",
            None,
        ]
    ]
    assert last.summary.row_count == 1


async def test_postgresqls_changed_schema_is_read_again_by_itself(
    stub: Any, register: Register, postgres_shop: str
) -> None:
    await register(stub, "pg", postgres_shop)
    for change, column in (
        ("ALTER TABLE customers RENAME COLUMN city TO town", "town"),
        ("ALTER TABLE customers RENAME TO clients", "clients"),
    ):
        with closing(psycopg2.connect(postgres_shop)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(change)
        parts = await collect(ask(stub, "how many customers are in Hanoi", "pg"))
        assert column in parts[1].query.sql
        assert values(parts) == [[10.0]]


async def test_postgresql_faults(stub: Any, register: Register, postgres_shop: str) -> None:
    await register(stub, "pg", postgres_shop)
    series = "generate_series(1, 100000)"
    slow = f"SELECT count(*) FROM {series} a(i) JOIN {series} b(i) ON a.i % 3 = b.i % 3"
    code, info, _ = await refused(collect(execute(stub, slow, "pg", timeout=Duration(nanos=300_000_000))))
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SQL_TIMEOUT")
    for sql, reason in (
        ("SELECT nothing FROM orders", "SQL_FAILED"),
        ("SELECT 1 / 0", "SQL_FAILED"),
        ("SELECT pg_sleep(1)", "SQL_REJECTED"),
    ):
        _, info, _ = await refused(collect(execute(stub, sql, "pg")))
        assert info.reason == reason
    call = execute(stub, slow, "pg")
    reading = asyncio.create_task(collect(call))
    await asyncio.sleep(0.3)
    assert _active(postgres_shop) == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await no_live_queries()
    assert _active(postgres_shop) == 0


async def test_postgresql_streams_millions_and_cuts_off(stub: Any, register: Register, postgres_shop: str) -> None:
    await register(stub, "pg", postgres_shop)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    *_, last = await collect(
        execute(stub, "SELECT i, md5(i::text) FROM generate_series(1, 5000000) i", "pg", max_rows=500)
    )
    assert (last.summary.row_count, last.summary.truncated) == (500, True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def _active(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley-sql' AND state = 'active'"
        )
        found = cursor.fetchone()
    assert found is not None
    return int(found[0])
