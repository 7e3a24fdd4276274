"""Databases made of uploaded files, through the real server: what is read, what is said, and what is refused."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import duckdb
import grpc
import openpyxl
import pytest
from google.api import httpbody_pb2

from parley.sql.v1 import sql_pb2
from tests.sql.test_service import ask, collect, execute, refused, values

Serve = Callable[..., AbstractAsyncContextManager[Any]]
BOUNDARY = "----parley"
SHOP = "id,name,city,joined\n1,Ánh,Huế,2024-01-31\n2,Bình,Hà Nội,2024-02-01\n3,Chi,Hà Nội,\n"


def form(*files: tuple[str, bytes], **fields: str) -> bytes:
    """A multipart form."""
    parts = [f'name="{name}"\r\n\r\n'.encode() + value.encode() for name, value in fields.items()]
    parts += [f'name="file"; filename="{name}"\r\n\r\n'.encode() + data for name, data in files]
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


async def upload(
    stub: Any, *files: tuple[str, bytes], body: bytes | None = None, kind: str = "", **fields: str
) -> sql_pb2.UploadDatabaseResponse:
    """Sends a form in small pieces."""
    data = form(*files, **{"database_id": "x", **fields}) if body is None else body

    async def pieces() -> AsyncIterator[sql_pb2.UploadDatabaseRequest]:
        content_type = kind or f"multipart/form-data; boundary={BOUNDARY}"
        step = max(7, len(data) // 50)
        for start in range(0, max(1, len(data)), step):
            piece = httpbody_pb2.HttpBody(content_type=content_type, data=data[start : start + step])
            yield sql_pb2.UploadDatabaseRequest(body=piece)
            content_type = ""

    return await stub.UploadDatabase(pieces())  # type: ignore[no-any-return]  # the stub is typed loosely here


async def rows(stub: Any, sql: str) -> list[list[Any]]:
    return values(await collect(execute(stub, sql, "x")))


async def types(stub: Any, table: str) -> dict[str, str]:
    found = (await stub.GetSchema(sql_pb2.GetSchemaRequest(name="databases/x"))).schema
    return {column.name: column.type for item in found.tables if item.name == table for column in item.columns}


async def test_files_become_tables_that_answer_questions(stub: Any, tmp_path: Path) -> None:
    parquet = tmp_path / "p.parquet"
    made = duckdb.sql("SELECT i AS id, 1 + i % 3 AS customer_id, i * 1.5 AS total FROM range(10) r(i)")
    assert made is not None
    made.write_parquet(str(parquet))
    done = await upload(
        stub, ("customers.csv", SHOP.encode()), ("orders.parquet", parquet.read_bytes()), display_name="Mine"
    )
    assert (done.database.dialect, done.database.display_name) == (sql_pb2.DIALECT_DUCKDB, "Mine")
    assert done.database.state == sql_pb2.DATABASE_STATE_ACTIVE
    schema = (await stub.GetSchema(sql_pb2.GetSchemaRequest(name="databases/x"))).schema
    orders = next(table for table in schema.tables if table.name == "orders")
    # Nothing declares it: names and values do.
    assert [(key.referred_table, key.inferred) for key in orders.foreign_keys] == [("customers", True)]
    parts = await collect(ask(stub, "how many customers are in Hà Nội", "x"))
    assert values(parts) == [[2.0]], parts[1].query.sql


async def test_a_workbooks_sheets_are_tables(stub: Any) -> None:
    book = openpyxl.Workbook()
    first = book.create_sheet("Nhân viên", 0)
    book.remove(book.worksheets[1])
    for row in (
        ["Report of 2024"],
        [],
        ["Tên", "Ngày sinh", "Lương", "Mã"],
        ["Ánh", dt.date(1990, 5, 1), 1500.5, "007"],
    ):
        first.append(row)
    second = book.create_sheet("Rates")
    second.append(["code", "rate"])
    second.append(["a", 2])
    book.create_sheet("Empty")
    out = io.BytesIO()
    book.save(out)
    done = await upload(stub, ("staff.xlsx", out.getvalue()))
    assert any("above the table" in note for note in done.notes)
    assert await types(stub, "Nhân_viên") == {"Tên": "VARCHAR", "Ngày_sinh": "DATE", "Lương": "DOUBLE", "Mã": "VARCHAR"}
    assert await rows(stub, 'SELECT * FROM "Nhân_viên"') == [["Ánh", "1990-05-01", 1500.5, "007"]]
    assert await rows(stub, "SELECT code, rate FROM Rates") == [["a", 2.0]]


@pytest.mark.parametrize(
    ("data", "expected", "found"),
    [
        (b"a;b\n1,5;x\n2.000,25;y\n", {"a": "DOUBLE", "b": "VARCHAR"}, [[1.5, "x"], [2000.25, "y"]]),
        (b'a,b\n"$1,200.50",yes\nn/a,no\n', {"a": "DOUBLE", "b": "BOOLEAN"}, [[1200.5, True], [None, False]]),
        (b"a\tb\n007\t31/12/2024\n010\t01/02/2024\n", {"a": "VARCHAR", "b": "DATE"},
         [["007", "2024-12-31"], ["010", "2024-02-01"]]),
        (b"a,b\n2024-01-01 10:00:00,12/31/2024\n,\n", {"a": "TIMESTAMP", "b": "DATE"},
         [["2024-01-01T10:00:00Z", "2024-12-31"]]),
        ("ten,so\nĐà Nẵng,1\n".encode("utf-16"), {"ten": "VARCHAR", "so": "BIGINT"}, [["Đà Nẵng", 1.0]]),
        ("naïve,b\ncafé,1\n".encode("windows-1252"), {"naïve": "VARCHAR", "b": "BIGINT"}, [["café", 1.0]]),
        ("\ufeffa,b\n1,2\n".encode(), {"a": "BIGINT", "b": "BIGINT"}, [[1.0, 2.0]]),
        (b"1,2\n3,4\n", {"column_1": "BIGINT", "column_2": "BIGINT"}, [[1.0, 2.0], [3.0, 4.0]]),
        (b"a,a,,A\n1,2,3,4\n", {"a": "BIGINT", "a_2": "BIGINT", "column_3": "BIGINT", "A_3": "BIGINT"},
         [[1.0, 2.0, 3.0, 4.0]]),
        (b'a,b\n"x, ""y""\nz",\n', {"a": "VARCHAR", "b": "VARCHAR"}, [['x, "y"\nz', None]]),
        (b"a,b\nx\ny,1,2,3\n", {"a": "VARCHAR", "b": "BIGINT"}, [["x", None], ["y", 1.0]]),
        (b'a"; DROP TABLE t; --,b\nx,1\n', {"a_DROP_TABLE_t": "VARCHAR", "b": "BIGINT"}, [["x", 1.0]]),
    ],
)  # fmt: skip
async def test_what_a_csv_file_means(stub: Any, data: bytes, expected: dict[str, str], found: list[list[Any]]) -> None:
    await upload(stub, ("t.csv", data))
    assert await types(stub, "t") == expected
    assert await rows(stub, "SELECT * FROM t") == found


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.csv", b"", "empty.csv is empty"),
        ("t.xls", b"\xd0\xcf\x11\xe0 old", "Save it as XLSX"),
        ("t.xlsx", b"PK\x03\x04 no workbook", "no XLSX workbook"),
        ("t.parquet", b"PAR1 nothing", "cannot be read"),
        ("t.exe", b"MZ\x00", "neither CSV"),
        ("t.csv", b"a,b\x00\x01\x02\n", "no text"),
    ],
)
async def test_a_file_that_is_no_table_is_named(stub: Any, tmp_path: Path, name: str, data: bytes, said: str) -> None:
    code, _, message = await refused(upload(stub, (name, data)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said in message
    assert str(tmp_path) not in message
    assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"body": b"", "kind": "text/plain"}, "body"),
        ({"body": b"garbage"}, "body"),
        ({"body": form(database_id="x")}, "file"),
        ({"body": form(("t.csv", b"a\nx\n"))}, "database_id"),
        ({"body": form(("t.csv", b"a\nx\n"), database_id="X!")}, "database_id"),
        ({"body": form(("t.csv", b"a\nx\n"), database_id="x", colour="red")}, "colour"),
        ({"body": form(("t.csv", b"a\nx\n"), database_id="x")[:-20]}, "body"),
    ],
)
async def test_a_form_at_fault_is_named(stub: Any, call: dict[str, Any], said: str) -> None:
    code, _, message = await refused(upload(stub, **call))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said in message


async def test_an_upload_has_limits(serve: Serve, tmp_path: Path) -> None:
    async with serve(upload_bytes=1000, upload_rows=3) as stub:
        code, _, _ = await refused(upload(stub, ("t.csv", b"a\n" + b"x" * 200_000)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED or code is grpc.StatusCode.INVALID_ARGUMENT
        assert not list((tmp_path / "uploads").iterdir())
        done = await upload(stub, ("t.csv", b"a\n1\n2\n3\n4\n5\n"))
        assert any("first 3 rows" in note for note in done.notes)
        assert await rows(stub, "SELECT count(*) FROM t") == [[3.0]]
    async with serve(upload_root=None) as stub:
        _, info, message = await refused(upload(stub, ("t.csv", b"a\n1\n"), database_id="y"))
        assert info.reason == "UNSUPPORTED"
        assert "PARLEY_SQL_UPLOAD_ROOT" in message


async def test_a_name_that_is_taken_leaves_nothing_and_a_deletion_takes_the_file(stub: Any, tmp_path: Path) -> None:
    await upload(stub, ("t.csv", b"a\n1\n"))
    code, _, _ = await refused(upload(stub, ("u.csv", b"a\n1\n")))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert len(list((tmp_path / "uploads").iterdir())) == 1
    await stub.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name="databases/x"))
    assert not list((tmp_path / "uploads").iterdir())


# dbt.


def _test(name: str, attached: str, **arguments: Any) -> dict[str, Any]:
    test = {"name": name, "kwargs": arguments}
    return {"resource_type": "test", "name": name, "attached_node": attached, "test_metadata": test}


CUSTOMERS, ORDERS = "model.shop.customers", "seed.shop.orders"
MANIFEST = {
    "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"},
    "nodes": {
        CUSTOMERS: {
            "resource_type": "model",
            "name": "customers",
            "alias": "dim_customers",
            "description": "Who buys",
            "columns": {
                "id": {"name": "id", "data_type": "integer", "description": "Key"},
                "city": {"name": "city", "data_type": "text"},
            },
        },
        ORDERS: {
            "resource_type": "seed",
            "name": "orders",
            "columns": {
                "customer_id": {"name": "customer_id", "data_type": "integer"},
                "status": {"name": "status", "description": "How far it is"},
            },
        },
        "test.1": _test("relationships", ORDERS, column_name="customer_id", to="ref('customers')", field="id"),
        "test.2": _test("unique", CUSTOMERS, column_name="id"),
        "test.3": _test("accepted_values", ORDERS, column_name="status", arguments={"values": ["open", "done"]}),
    },
    "sources": {
        "source.shop.raw.visits": {
            "resource_type": "source",
            "source_name": "raw",
            "name": "visits",
            "identifier": "visits_v1",
            "columns": {},
        }
    },
}


async def with_manifest(stub: Any, manifest: bytes, url: str = "") -> list[sql_pb2.Table]:
    source = sql_pb2.SchemaSource(dbt_manifest=manifest, dialect=sql_pb2.DIALECT_DUCKDB)
    request = sql_pb2.CreateDatabaseRequest(database_id="x", database=sql_pb2.Database(url=url), schema=source)
    await stub.CreateDatabase(request)
    return list((await stub.GetSchema(sql_pb2.GetSchemaRequest(name="databases/x"))).schema.tables)


async def test_a_dbt_manifest_is_a_schema(stub: Any) -> None:
    customers, orders, visits = await with_manifest(stub, json.dumps(MANIFEST).encode())
    assert (customers.name, customers.description, list(customers.primary_key)) == ("dim_customers", "Who buys", ["id"])
    assert visits.name == "visits_v1"
    assert [(key.columns[0], key.referred_table, key.inferred) for key in orders.foreign_keys] == [
        ("customer_id", "dim_customers", False)
    ]
    assert list(orders.columns[1].sample_values) == ["open", "done"]


async def test_a_manifest_describes_the_database_that_is_there(stub: Any, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE DIM_CUSTOMERS (id int, city text, extra int); CREATE TABLE orders (customer_id int)"
        )
    tables = {
        table.name: table for table in await with_manifest(stub, json.dumps(MANIFEST).encode(), "duckdb:///d.duckdb")
    }
    assert set(tables) == {"DIM_CUSTOMERS", "orders"}
    assert (tables["DIM_CUSTOMERS"].description, tables["DIM_CUSTOMERS"].columns[0].description) == ("Who buys", "Key")
    assert tables["orders"].foreign_keys[0].referred_table == "DIM_CUSTOMERS"
    again = (await stub.RefreshSchema(sql_pb2.RefreshSchemaRequest(name="databases/x"))).schema
    assert next(table for table in again.tables if table.name == "DIM_CUSTOMERS").description == "Who buys"


@pytest.mark.parametrize(
    "manifest",
    [b"{", b"[]", b"{}", b'{"metadata": {"dbt_schema_version": "x/manifest/v4.json"}, "nodes": {}, "sources": {}}'],
)
async def test_what_is_no_manifest_is_named(stub: Any, manifest: bytes) -> None:
    code, _, message = await refused(with_manifest(stub, manifest))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "schema.dbt_manifest" in message
