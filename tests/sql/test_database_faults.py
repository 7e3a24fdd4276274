"""What happens when a database refuses, hangs, dies, moves or is not there at all."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import grpc
import psycopg2
import pytest
from cryptography.fernet import Fernet
from google.protobuf.duration_pb2 import Duration

from parley.sql.v1 import sql_pb2
from services.sql.execution.execute import live_queries
from tests.sql import mongo_server
from tests.sql.conftest import mariadb_connection
from tests.sql.test_service import ask, collect, execute, refused, values

Serve = Callable[..., AbstractAsyncContextManager[Any]]


async def register(stub: Any, url: str, **fields: Any) -> sql_pb2.Database:
    database = sql_pb2.Database(url=url, **fields)
    found = await stub.CreateDatabase(sql_pb2.CreateDatabaseRequest(database_id="x", database=database))
    return found.database  # type: ignore[no-any-return]  # the stub is typed loosely here


async def update(stub: Any, **fields: Any) -> sql_pb2.Database:
    database = sql_pb2.Database(name="databases/x", **fields)
    found = await stub.UpdateDatabase(sql_pb2.UpdateDatabaseRequest(database=database))
    return found.database  # type: ignore[no-any-return]  # as above


async def get(stub: Any) -> sql_pb2.Database:
    return (await stub.GetDatabase(sql_pb2.GetDatabaseRequest(name="databases/x"))).database  # type: ignore[no-any-return]  # as above


@pytest.fixture
def password_user(mariadb: str) -> Callable[[str], str]:
    """Sets the password of a MariaDB user who may read, and gives the URL with it."""
    name = f"reader_{os.urandom(4).hex()}"
    database = mariadb.rpartition("/")[2]
    with mariadb_connection(mariadb) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (name VARCHAR(20))")
        cursor.execute("INSERT INTO t VALUES ('a'), ('b')")
        cursor.execute(f"CREATE USER {name}@'%' IDENTIFIED BY 'first'")
        cursor.execute(f"GRANT SELECT ON {database}.* TO {name}@'%'")

    def change(password: str) -> str:
        with mariadb_connection(mariadb) as connection, connection.cursor() as cursor:
            cursor.execute(f"ALTER USER {name}@'%' IDENTIFIED BY '{password}'")
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (name,))
            for (thread,) in cursor.fetchall():
                cursor.execute(f"KILL {thread}")
        return mariadb.replace("//root@", f"//{name}:{password}@")

    return change


async def test_a_rotated_password_is_said_and_mended(serve: Serve, password_user: Callable[[str], str]) -> None:
    async with serve(check_seconds=0) as stub:
        await register(stub, password_user("first"))
        url = password_user("second-secret")
        code, info, message = await refused(collect(execute(stub, "SELECT name FROM t", "x")))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert "refuses" in message
        found = await get(stub)
        assert found.state == sql_pb2.DATABASE_STATE_REFUSED
        assert "UpdateDatabase" in found.state_message
        assert not any(secret in str(found) for secret in ("first", "second-secret", "reader_", "127.0.0.1"))
        assert (await update(stub, url=url)).state == sql_pb2.DATABASE_STATE_ACTIVE
        assert values(await collect(execute(stub, "SELECT count(*) FROM t", "x"))) == [[2.0]]


async def test_a_new_url_that_does_not_work_is_not_kept(serve: Serve, password_user: Callable[[str], str]) -> None:
    async with serve() as stub:
        url = password_user("first")
        await register(stub, url, display_name="Mine", description="Before")
        code, _, message = await refused(update(stub, url=url.replace(":first@", ":wrong@")))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "refuses" in message
        assert values(await collect(execute(stub, "SELECT count(*) FROM t", "x"))) == [[2.0]]
        changed = await update(stub, description="After")
        assert (changed.display_name, changed.description) == ("Mine", "After")


@pytest.mark.parametrize("name", ["", "x", "databases/", "databases/X"])
async def test_an_update_names_its_database(stub: Any, name: str) -> None:
    request = sql_pb2.UpdateDatabaseRequest(database=sql_pb2.Database(name=name))
    code, _, message = await refused(stub.UpdateDatabase(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "database.name" in message


@pytest.mark.parametrize("kind", ["postgres", "mysql", "clickhouse", "mongodb"])
async def test_nothing_answers_and_refusing_are_told_apart(
    stub: Any, request: pytest.FixtureRequest, kind: str, unused_tcp_port: int
) -> None:
    scheme = {"postgres": "postgresql"}.get(kind, kind)
    code, info, message = await refused(
        register(stub, f"{scheme}://someone:hunter2@127.0.0.1:{unused_tcp_port}/secret")
    )
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert "refuses" not in message
    assert not any(secret in message for secret in ("hunter2", "someone", "127.0.0.1", "secret"))
    if kind == "postgres":
        url = request.getfixturevalue("postgres").rpartition("/")[0] + "/absent"
    elif kind == "mysql":
        url = request.getfixturevalue("mariadb").replace("//root@", "//nobody:hunter2@")
    else:
        return
    _, _, message = await refused(register(stub, url))
    assert "refuses" in message
    assert not any(secret in message for secret in ("hunter2", "absent", "127.0.0.1"))


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_a_database_that_dies_between_statements_is_asked_over_a_new_connection(stub: Any, postgres: str) -> None:
    await register(stub, postgres)
    for _time in range(2):
        assert values(await collect(execute(stub, "SELECT 1", "x"))) == [[1.0]]
        with closing(psycopg2.connect(postgres)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley-sql'"
            )


async def test_a_database_that_dies_mid_stream_is_said(stub: Any, postgres: str) -> None:
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE many AS SELECT i, repeat('x', 1000) AS text FROM generate_series(1, 60000) i")
    await register(stub, postgres)
    parts = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for part in execute(stub, "SELECT i, text FROM many", "x", max_rows=60_000):
            parts.append(part)
            if len(parts) == 3:
                with closing(psycopg2.connect(postgres)) as connection, connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley-sql'"
                    )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert parts[-1].WhichOneof("part") == "error"


@pytest.fixture
def frozen(postgres: str) -> Iterator[Callable[[], None]]:
    """Freezes the server processes that serve Parley, until the test ends."""
    stopped: list[int] = []

    def freeze() -> None:
        with closing(psycopg2.connect(postgres)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'parley-sql'")
            stopped.extend(row[0] for row in cursor.fetchall())
        for process in stopped:
            os.kill(process, signal.SIGSTOP)

    yield freeze
    for process in stopped:
        os.kill(process, signal.SIGCONT)


async def test_a_database_that_hangs_is_given_up_and_leaves_no_thread(
    stub: Any, postgres: str, frozen: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sql.execution.execute.HANG_SECONDS", 0.5)
    monkeypatch.setattr("services.sql.execution.execute.WAIT_SECONDS", 0.0)
    monkeypatch.setattr("services.sql.execution.execute.STOP_SECONDS", 0.2)
    await register(stub, postgres)
    frozen()
    call = execute(stub, "SELECT 1", "x", timeout=Duration(nanos=300_000_000), confirm_cost=True)
    code, info, message = await refused(collect(call))
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert "does not answer" in message
    for _attempt in range(100):
        if live_queries() == 0:
            break
        await asyncio.sleep(0.05)
    assert live_queries() == 0


async def test_the_state_says_when_a_database_went_away_and_came_back(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE lions (name TEXT)")
    async with serve(check_seconds=0) as stub:
        await register(stub, "sqlite:///shop.sqlite")
        file.rename(tmp_path / "elsewhere.sqlite")
        gone = await get(stub)
        assert gone.state == sql_pb2.DATABASE_STATE_UNREACHABLE
        assert "gone" in gone.state_message
        # What is known of it stays: questions can be put into SQL.
        request = sql_pb2.GenerateQueryRequest(database="databases/x", question="how many lions are there")
        assert "lions" in (await stub.GenerateQuery(request)).query.sql
        (tmp_path / "elsewhere.sqlite").rename(file)
        back = await get(stub)
        assert (back.state, back.state_message) == (sql_pb2.DATABASE_STATE_ACTIVE, "")
        assert back.check_time.ToNanoseconds() > gone.check_time.ToNanoseconds()


# MongoDB's faults, at the stand-in.


@pytest.fixture
def mongo() -> Iterator[mongo_server.MongoServer]:
    with mongo_server.running() as server:
        server.client["shop"].lions.insert_many([{"_id": index, "name": f"L{index}"} for index in range(2000)])
        yield server


async def test_mongodb_faults(serve: Serve, mongo: mongo_server.MongoServer) -> None:
    async with serve(check_seconds=0) as stub:
        await register(stub, mongo.url)
        mongo.hangs.clear()
        call = execute(stub, "SELECT count(*) FROM lions", "x", timeout=Duration(nanos=300_000_000))
        code, info, _ = await refused(collect(call))
        assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SQL_TIMEOUT")
        mongo.hangs.set()
        mongo.dies = True
        code, info, _ = await refused(collect(execute(stub, "SELECT name FROM lions", "x")))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        mongo.dies = False
        mongo.refuses = True
        assert (await get(stub)).state == sql_pb2.DATABASE_STATE_REFUSED
        mongo.refuses = False
        assert values(await collect(execute(stub, "SELECT count(*) FROM lions", "x"))) == [[2000.0]]


# Keys.


async def test_keys_are_changed_without_losing_a_database(serve: Serve, tmp_path: Path) -> None:
    from services.mesh.database import Database
    from services.mesh.sealing import Seal
    from services.sql.application import MIGRATIONS
    from services.sql.store import Store

    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        connection.execute("CREATE TABLE lions (name TEXT)")
    old, new = (Fernet.generate_key().decode() for _key in range(2))
    async with serve(encryption_key=old) as stub:
        await register(stub, "sqlite:///a.sqlite")
    database = Database(f"sqlite:///{tmp_path / 'sql.db'}", MIGRATIONS)
    try:
        store = Store(database, Seal(f"{new},{old}"))
        assert await store.renew_secrets() == 1
        assert await store.renew_secrets() == 0
    finally:
        await database.close()
    async with serve(encryption_key=new) as stub:
        assert values(await collect(execute(stub, "SELECT count(*) FROM lions", "x"))) == [[0.0]]


# A schema without a database.

DDL = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE public.customers (id serial PRIMARY KEY, name varchar(50) NOT NULL, city text);
CREATE TABLE orders (id int, customer_id int, total numeric(9, 2) NOT NULL, placed date,
    CONSTRAINT pk PRIMARY KEY (id), FOREIGN KEY (customer_id) REFERENCES customers (id));
ALTER TABLE ONLY orders ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES customers;
COMMENT ON TABLE orders IS 'What people bought';
COMMENT ON COLUMN orders.total IS 'In euros';
SET search_path = public;
INSERT INTO customers VALUES (1, 'x', 'y');
CREATE VIEW cities AS SELECT city AS town, count(*) AS n FROM customers GROUP BY city;
"""


async def with_ddl(stub: Any, ddl: str, dialect: int = sql_pb2.DIALECT_POSTGRESQL, url: str = "") -> sql_pb2.Database:
    source = sql_pb2.SchemaSource(ddl=ddl, dialect=dialect)  # type: ignore[arg-type]  # the enum's numbers
    request = sql_pb2.CreateDatabaseRequest(database_id="x", database=sql_pb2.Database(url=url), schema=source)
    return (await stub.CreateDatabase(request)).database  # type: ignore[no-any-return]  # the stub is typed loosely here


async def test_a_schema_of_statements_writes_and_does_not_run(stub: Any, postgres: str) -> None:
    created = await with_ddl(stub, DDL)
    assert (created.state, created.dialect) == (sql_pb2.DATABASE_STATE_SCHEMA_ONLY, sql_pb2.DIALECT_POSTGRESQL)
    found = (await stub.GetSchema(sql_pb2.GetSchemaRequest(name="databases/x"))).schema
    tables = {table.name: table for table in found.tables}
    assert set(tables) == {"customers", "orders", "cities"}
    orders = tables["orders"]
    assert (orders.description, list(orders.primary_key)) == ("What people bought", ["id"])
    assert {key.columns[0]: key.referred_table for key in orders.foreign_keys} == {
        "customer_id": "customers",
        "id": "customers",
    }
    assert {column.name: column.description for column in orders.columns}["total"] == "In euros"
    assert [column.name for column in tables["cities"].columns] == ["town", "n"]
    question = "how many orders are there"
    generated = await stub.GenerateQuery(sql_pb2.GenerateQueryRequest(database="databases/x", question=question))
    assert "COUNT" in generated.query.sql.upper()
    for call in (execute(stub, "SELECT 1", "x"), ask(stub, question, "x")):
        code, info, message = await refused(collect(call))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
        assert "schema without a database" in message
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE customers (id int PRIMARY KEY, name text)")
    assert (await update(stub, url=postgres)).state == sql_pb2.DATABASE_STATE_ACTIVE
    assert values(await collect(execute(stub, "SELECT count(*) FROM customers", "x"))) == [[0.0]]


MYSQL = (
    "CREATE TABLE `a b` (`id` int NOT NULL AUTO_INCREMENT COMMENT 'Key', e ENUM('x','y'), "
    "PRIMARY KEY (`id`)) ENGINE=InnoDB COMMENT='Things'"
)


@pytest.mark.parametrize(
    ("dialect", "ddl"),
    [
        (sql_pb2.DIALECT_MYSQL, MYSQL),
        (sql_pb2.DIALECT_SQLITE, "CREATE TABLE [a b] (id INTEGER PRIMARY KEY AUTOINCREMENT, e TEXT)"),
        (
            sql_pb2.DIALECT_CLICKHOUSE,
            "CREATE TABLE `a b` (id Int32, e Nullable(String)) ENGINE = MergeTree ORDER BY id",
        ),
        (sql_pb2.DIALECT_DUCKDB, 'CREATE TABLE "a b" (id INTEGER PRIMARY KEY, e STRUCT(x INT))'),
    ],
)
async def test_statements_of_every_dialect_are_read(stub: Any, dialect: int, ddl: str) -> None:
    await with_ddl(stub, ddl, dialect)
    (table,) = (await stub.GetSchema(sql_pb2.GetSchemaRequest(name="databases/x"))).schema.tables
    assert (table.name, [column.name for column in table.columns]) == ("a b", ["id", "e"])
    if dialect == sql_pb2.DIALECT_MYSQL:
        assert (table.description, table.columns[0].description) == ("Things", "Key")
        assert list(table.columns[1].sample_values) == ["x", "y"]


@pytest.mark.parametrize(
    ("ddl", "dialect", "field"),
    [
        ("SELECT 1", sql_pb2.DIALECT_MYSQL, "schema.ddl"),
        ("CREATE TABLE t (id int);\n\nCREATE TABLE (", sql_pb2.DIALECT_MYSQL, "line 3"),
        ("CREATE TABLE t (id int)", sql_pb2.DIALECT_UNSPECIFIED, "schema.dialect"),
    ],
)
async def test_statements_that_make_no_schema_are_named(stub: Any, ddl: str, dialect: int, field: str) -> None:
    code, _, message = await refused(with_ddl(stub, ddl, dialect))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in message
