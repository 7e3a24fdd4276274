"""Every kind of database behind the real server: the same shop, the same questions and answers; and no writing."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import grpc
import psycopg2
import pytest
from google.protobuf.duration_pb2 import Duration

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2
from services.sql.drivers import chdb as chdb_servers
from services.sql.drivers import driver
from services.sql.errors import SqlFailed
from services.sql.target import parse
from tests.sql import mongo_server, shops
from tests.sql.conftest import LOCAL_HOSTS, mariadb_connection
from tests.sql.test_service import ask, collect, execute, no_live_queries, refused, values

Serve = Callable[..., AbstractAsyncContextManager[Any]]
KINDS = ("postgres", "mysql", "duckdb", "clickhouse", "mongodb")
SERVERS = ("postgres", "mysql", "clickhouse")


@dataclass
class Shop:
    """A shop in one kind of database."""

    kind: str
    url: str
    dialect: int
    write: Callable[[str], object]
    """Runs a statement with the right to write."""


@pytest.fixture(scope="session")
def mongo_shop(shop: Path) -> Iterator[mongo_server.MongoServer]:
    with mongo_server.running() as server:
        shops.fill_mongodb(server.client["shop"], shop)
        yield server


@pytest.fixture
def make_shop(request: pytest.FixtureRequest, shop: Path, tmp_path: Path) -> Iterator[Callable[[str], Shop]]:
    """Makes the shop in a kind of database."""

    def make(kind: str) -> Shop:
        if kind == "postgres":
            url = request.getfixturevalue("postgres")
            shops.fill_postgres(url, shop)
            return Shop(kind, url, sql_pb2.DIALECT_POSTGRESQL, lambda sql: _postgres(url, sql))
        if kind == "mysql":
            url = request.getfixturevalue("mariadb")
            shops.fill_mariadb(url, shop)
            return Shop(kind, url, sql_pb2.DIALECT_MYSQL, lambda sql: _mariadb(url, sql))
        if kind == "duckdb":
            file = tmp_path / "shop.duckdb"
            shops.fill_duckdb(file, shop)
            return Shop(kind, "duckdb:///shop.duckdb", sql_pb2.DIALECT_DUCKDB, lambda sql: _duckdb(file, sql))
        if kind == "clickhouse":
            folder = tmp_path / "shop.chdb"
            shops.fill_chdb(folder, shop)
            return Shop(kind, "chdb:///shop.chdb", sql_pb2.DIALECT_CLICKHOUSE, lambda sql: _chdb(folder, sql))
        server: mongo_server.MongoServer = request.getfixturevalue("mongo_shop")
        return Shop(kind, server.url, sql_pb2.DIALECT_MONGODB, lambda sql: None)

    yield make
    chdb_servers.close()


def _postgres(url: str, sql: str) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def _mariadb(url: str, sql: str) -> list[Any]:
    with mariadb_connection(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _duckdb(file: Path, sql: str) -> None:
    """In a process of its own: one cannot have a file open for reading and for writing."""
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(file), sql], check=True)


def _chdb(folder: Path, sql: str) -> None:
    chdb_servers.close()
    shops.run_chdb(folder, [sql])


async def register(stub: Any, identifier: str, url: str) -> sql_pb2.Database:
    request = sql_pb2.CreateDatabaseRequest(database_id=identifier, database=sql_pb2.Database(url=url))
    return (await stub.CreateDatabase(request)).database  # type: ignore[no-any-return]  # the stub is typed loosely here


async def get(stub: Any, identifier: str) -> sql_pb2.Database:
    return (await stub.GetDatabase(sql_pb2.GetDatabaseRequest(name=f"databases/{identifier}"))).database  # type: ignore[no-any-return]  # as above


async def schema_of(stub: Any, identifier: str) -> dict[str, sql_pb2.Table]:
    found = (await stub.GetSchema(sql_pb2.GetSchemaRequest(name=f"databases/{identifier}"))).schema
    return {table.name: table for table in found.tables}


# What every database can do.


@pytest.mark.parametrize("kind", KINDS)
async def test_the_shop_is_described(stub: Any, make_shop: Callable[[str], Shop], kind: str) -> None:
    made = make_shop(kind)
    created = await register(stub, "x", made.url)
    assert (created.dialect, created.state) == (made.dialect, sql_pb2.DATABASE_STATE_ACTIVE)
    tables = await schema_of(stub, "x")
    assert set(tables) == {"customers", "employees", "suppliers", "categories", "products", "orders", "order_items"}
    assert tables["customers"].row_count == sample_shop.CUSTOMERS
    city = next(column for column in tables["customers"].columns if column.name == "city")
    assert len(city.sample_values) == 5
    keys = {(key.columns[0], key.referred_table): key.inferred for key in tables["orders"].foreign_keys}
    # ClickHouse and MongoDB declare none: names and values say so.
    undeclared = kind in ("clickhouse", "mongodb")
    assert keys == {("customer_id", "customers"): undeclared, ("employee_id", "employees"): undeclared}


QUESTIONS = (
    "how many customers are in Hanoi",
    "what is the average salary of employees",
    "how many orders were there in March 2025",
    "how many orders are there per status",
    "list the names of products with price above 100",
    "how many products cost more than 100",
    "khách hàng ở Hà Nội có bao nhiêu",
)


@pytest.mark.parametrize("kind", KINDS)
async def test_questions_have_the_same_answer_everywhere(
    stub: Any, make_shop: Callable[[str], Shop], shop: Path, tmp_path: Path, kind: str
) -> None:
    await asyncio.to_thread(shutil.copy, shop, tmp_path / "gold.sqlite")
    await register(stub, "gold", "sqlite:///gold.sqlite")
    await register(stub, "x", make_shop(kind).url)
    for question in QUESTIONS:
        gold, found = await collect(ask(stub, question, "gold")), await collect(ask(stub, question, "x"))
        assert _comparable(found) == _comparable(gold), (question, found[1].query.sql)


def _comparable(parts: list[Any]) -> list[list[str]]:
    """Rows without the differences that types make: 12.50, "12.5" and 12.5 are the same."""

    def plain(value: Any) -> str:
        text = str(value)
        return f"{float(text):.4f}" if re.fullmatch(r"-?\d+(\.\d+)?", text) else text

    return sorted([plain(value) for value in row] for row in values(parts))


WRITES = {
    "postgres": ("DELETE FROM order_items", "CREATE TABLE t (i int)", "SELECT nextval('s')"),
    "mysql": ("DELETE FROM order_items", "INSERT INTO categories VALUES (99, 'x')", "CREATE TABLE t (i INT)"),
    "duckdb": ("DELETE FROM order_items", "CREATE TABLE t (i INT)", "COPY categories TO 'x.csv'", "SET threads = 1"),
    "clickhouse": ("INSERT INTO categories VALUES (99, 'x')", "CREATE TABLE t (i Int32) ENGINE = Memory",
                   "DROP TABLE orders",
                   "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT 1 SETTINGS max_execution_time = 1000"),
    "mongodb": ("DELETE FROM orders", "INSERT INTO orders VALUES (1)"),
    "sqlite": ("DELETE FROM order_items", "CREATE TABLE t (i INT)", "ATTACH 'x.sqlite' AS x", "PRAGMA query_only = 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITES)
def test_the_connection_itself_refuses_to_write(
    make_shop: Callable[[str], Shop], shop: Path, tmp_path: Path, kind: str
) -> None:
    """Without the guard: what it would let through by mistake fails in the database."""
    if kind == "sqlite":
        (tmp_path / "shop.sqlite").write_bytes(shop.read_bytes())
    made = Shop(kind, "sqlite:///shop.sqlite", 0, print) if kind == "sqlite" else make_shop(kind)
    if kind == "postgres":
        made.write("CREATE SEQUENCE s")
    session = driver.connect(parse(made.url, tmp_path), LOCAL_HOSTS)
    try:
        for statement in WRITES[kind]:
            with pytest.raises(SqlFailed):
                driver.rows(session, statement, 5, 1)
        count = driver.rows(session, "SELECT count(*) FROM order_items", 5, 1)
        assert count[0][0] > 0
    finally:
        session.close()


TRIPLES = "SELECT count(*) FROM order_items a JOIN order_items b ON a.id <> b.id JOIN order_items c ON b.id <> c.id"
SLOW = {
    "postgres": TRIPLES,
    "mysql": TRIPLES,
    "duckdb": f"{TRIPLES} JOIN order_items d ON c.id <> d.id",
    "clickhouse": TRIPLES,
}


@pytest.mark.parametrize("kind", SLOW)
async def test_a_slow_statement_is_stopped_in_time(stub: Any, make_shop: Callable[[str], Shop], kind: str) -> None:
    await register(stub, "x", make_shop(kind).url)
    call = execute(stub, SLOW[kind], "x", timeout=Duration(nanos=500_000_000), confirm_cost=True)
    code, info, _ = await refused(collect(call))
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SQL_TIMEOUT")
    await no_live_queries()
    assert values(await collect(execute(stub, "SELECT count(*) FROM categories", "x")))[0][0] > 0


RUNNING = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley-sql' AND state = 'active'",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' "
    "AND info LIKE '%order_items%' AND id <> connection_id()",
}


@pytest.mark.parametrize("kind", RUNNING)
async def test_hanging_up_stops_the_statement_in_the_server(
    stub: Any, make_shop: Callable[[str], Shop], kind: str
) -> None:
    made = make_shop(kind)
    await register(stub, "x", made.url)

    async def running() -> int:
        found = await asyncio.to_thread(made.write, RUNNING[kind])
        assert isinstance(found, list)
        return int(found[0][0])

    async def becomes(count: int) -> None:
        for _attempt in range(200):
            if await running() == count:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{await running()} statements run instead of {count}")

    call = execute(stub, SLOW[kind], "x", confirm_cost=True)
    reading = asyncio.create_task(collect(call))
    await becomes(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await becomes(0)
    await no_live_queries()


CHANGES = {
    "postgres": "ALTER TABLE customers RENAME COLUMN city TO town",
    "mysql": "ALTER TABLE customers RENAME COLUMN city TO town",
    "duckdb": "ALTER TABLE order_items ADD COLUMN town TEXT",
    "clickhouse": "ALTER TABLE customers RENAME COLUMN city TO town",
}


@pytest.mark.parametrize("kind", CHANGES)
async def test_a_changed_schema_is_seen_without_a_question(
    serve: Serve, make_shop: Callable[[str], Shop], kind: str
) -> None:
    made = make_shop(kind)
    async with serve(check_seconds=0) as stub:
        await register(stub, "x", made.url)
        await asyncio.to_thread(made.write, CHANGES[kind])
        tables = await schema_of(stub, "x")
        assert "town" in [column.name for table in tables.values() for column in table.columns]


# Odd schemas.

_TABLE = """CREATE TABLE "odd "" 🙂 table"
    ("select" {0}, "a b" {1}, "q""uote" {1}, "đ🙂" {1}, "none" {2}"""
_ROW = """INSERT INTO "odd "" 🙂 table" VALUES (1, 'x', 'y', 'z', NULL"""
_JSON = """'{"a": [1]}'"""
ODD = {
    "sqlite": (_TABLE.format("INTEGER PRIMARY KEY", "TEXT", "TEXT") + ", raw BLOB)", _ROW + ", x'00ff')"),
    "postgres": (
        _TABLE.format("int PRIMARY KEY", "text", "text") + ", raw bytea, j jsonb)",
        _ROW + rf", '\x00ff', {_JSON})",
    ),
    # MariaDB's names have no characters beyond U+FFFF.
    "mysql": (
        'CREATE TABLE `odd " ☺ table` (`select` int PRIMARY KEY, `a b` text, `q"uote` text, `đ☺` text, '
        "`none` text, raw blob, j json)",
        f"""INSERT INTO `odd " ☺ table` VALUES (1, 'x', 'y', 'z', NULL, x'00ff', {_JSON})""",
    ),
    "duckdb": (
        _TABLE.format("int PRIMARY KEY", "text", "text") + ", raw blob, j json)",
        _ROW + rf", '\x00\xff'::BLOB, {_JSON})",
    ),
    "clickhouse": (
        _TABLE.format("Int32", "String", "Nullable(String)") + ") ENGINE = MergeTree ORDER BY tuple()",
        _ROW + ")",
    ),
}


@pytest.mark.parametrize("kind", ODD)
async def test_odd_names_and_columns_are_read_and_asked(
    stub: Any, make_shop: Callable[[str], Shop], tmp_path: Path, kind: str
) -> None:
    if kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "odd.sqlite")) as connection, connection:
            for statement in ODD[kind]:
                connection.execute(statement)
        url = "sqlite:///odd.sqlite"
    else:
        made = make_shop(kind)
        for statement in ODD[kind]:
            made.write(statement)
        url = made.url
    await register(stub, "x", url)
    table = next(table for name, table in (await schema_of(stub, "x")).items() if name.startswith("odd"))
    columns = {column.name: list(column.sample_values) for column in table.columns}
    assert columns["a b"] == ["x"]
    assert columns["none"] == columns.get("raw", []) == []
    quote = "`" if kind == "mysql" else '"'
    name = quote + table.name.replace(quote, quote * 2) + quote
    sql = f"SELECT {quote}select{quote}, {quote}a b{quote}, {quote}none{quote} FROM {name}"
    assert values(await collect(execute(stub, sql, "x"))) == [[1.0, "x", None]]


async def test_a_table_of_1600_columns(stub: Any, postgres: str) -> None:
    columns = ", ".join(f"c{index} text" for index in range(1600))
    _postgres(postgres, f"CREATE TABLE wide ({columns})")
    _postgres(postgres, "INSERT INTO wide (c7) VALUES ('seven')")
    await register(stub, "x", postgres)
    table = (await schema_of(stub, "x"))["wide"]
    assert (len(table.columns), list(table.columns[7].sample_values)) == (1600, ["seven"])


@pytest.mark.parametrize("kind", ["postgres", "mysql", "duckdb"])
async def test_an_empty_database_is_registered_and_says_so(
    stub: Any, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    if kind == "duckdb":
        duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    url = (
        "duckdb:///empty.duckdb" if kind == "duckdb" else request.getfixturevalue({"mysql": "mariadb"}.get(kind, kind))
    )
    await register(stub, "x", url)
    assert await schema_of(stub, "x") == {}
    code, info, _ = await refused(collect(ask(stub, "how many customers are there", "x")))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "QUESTION_NOT_UNDERSTOOD")


async def test_circular_foreign_keys_are_read(stub: Any, postgres: str) -> None:
    for statement in (
        "CREATE TABLE a (id int PRIMARY KEY, b int)",
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a)",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b",
        "CREATE TABLE c (id int PRIMARY KEY, boss int REFERENCES c)",
    ):
        _postgres(postgres, statement)
    await register(stub, "x", postgres)
    tables = await schema_of(stub, "x")
    assert [tables[name].foreign_keys[0].referred_table for name in "abc"] == ["b", "a", "c"]


async def test_a_view_that_takes_minutes_does_not_hold_up_the_schema(stub: Any, postgres: str) -> None:
    _postgres(postgres, "CREATE TABLE t (name text); INSERT INTO t VALUES ('x'); COMMENT ON TABLE t IS 'Things';"
              "COMMENT ON COLUMN t.name IS 'What it is called';"
              "CREATE VIEW slow AS SELECT name, pg_sleep(600)::text AS slept FROM t")  # fmt: skip
    await asyncio.wait_for(register(stub, "x", postgres), 60)
    tables = await schema_of(stub, "x")
    assert [column.name for column in tables["slow"].columns] == ["name", "slept"]
    assert (tables["t"].description, tables["t"].columns[0].description) == ("Things", "What it is called")
    assert list(tables["t"].columns[0].sample_values) == ["x"]


# Values.


async def test_what_is_no_date_to_python_is_shown_as_the_database_writes_it(stub: Any, postgres: str) -> None:
    _postgres(
        postgres, "CREATE TABLE t AS SELECT 'infinity'::date d, '-infinity'::timestamptz t, '0044-03-15 BC'::date b"
    )
    await register(stub, "x", postgres)
    assert values(await collect(execute(stub, "SELECT d, t, b FROM t", "x"))) == [
        ["infinity", "-infinity", "0044-03-15 BC"]
    ]


async def test_sums_have_no_binary_noise(shop_stub: Any) -> None:
    found = values(await collect(execute(shop_stub, "SELECT 0.1 + 0.2, 1.0 / 3, 1e300 * 3")))
    assert found == [[0.3, 1 / 3, 3e300]]


async def test_an_unknown_name_in_quotes_is_no_text_to_sqlite(shop_stub: Any) -> None:
    sql = 'SELECT name FROM customers WHERE city = "Hanoi"'
    code, info, message = await refused(collect(execute(shop_stub, sql)))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SQL_FAILED")
    assert "no such column" in message


# Names.


async def test_two_people_who_register_one_name_at_once(stub: Any, make_shop: Callable[[str], Shop]) -> None:
    url = make_shop("duckdb").url
    found = await asyncio.gather(*(register(stub, "x", url) for _person in range(4)), return_exceptions=True)
    errors = [item for item in found if isinstance(item, grpc.aio.AioRpcError)]
    assert [error.code() for error in errors] == [grpc.StatusCode.ALREADY_EXISTS] * 3
    assert (await get(stub, "x")).state == sql_pb2.DATABASE_STATE_ACTIVE
