"""Results as they leave the service: pages, Arrow streams, files, charts; and statements that cost too much."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import altair
import grpc
import jsonschema
import nanoarrow as na
import openpyxl
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2
from services.mesh.errors import TooLarge
from services.sql.errors import SqlFailed
from services.sql.results import chart, xlsx
from services.sql.results.arrow import ArrowStream
from services.sql.results.digest import Digest
from services.sql.results.export import CsvFile
from services.sql.values import ColumnType, ResultColumn, Value
from tests.sql.test_service import collect, execute, no_live_queries, refused, values

Serve = Callable[..., AbstractAsyncContextManager[Any]]
Register = Callable[..., Awaitable[sql_pb2.Database]]
# A busy machine is no failure.
UNHURRIED = settings(deadline=None)
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) SELECT i FROM n ORDER BY i"


def export(stub: Any, sql: str, form: str, database: str = "shop", **fields: Any) -> Any:
    request = sql_pb2.ExportQueryRequest(
        database=f"databases/{database}", sql=sql, format=f"EXPORT_FORMAT_{form}", **fields
    )
    return stub.ExportQuery(request)


async def file_of(call: AsyncIterator[Any]) -> tuple[set[str], bytes]:
    """The content types and the bytes of an export."""
    parts = await collect(call)
    return {part.body.content_type for part in parts}, b"".join(part.body.data for part in parts)


def arrow_rows(data: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = na.ArrayStream.from_readable(data).read_all().to_pylist()
    return found


# Pages.


async def test_pages_are_stable_and_whole(shop_stub: Any) -> None:
    seen: list[list[Any]] = []
    for page in range(4):
        parts = await collect(execute(shop_stub, COUNT.format(1000), max_rows=300, skip=page * 300))
        seen += values(parts)
        assert parts[-1].summary.truncated == (page < 3)
    assert seen == [[n] for n in range(1, 1001)]
    assert values(await collect(execute(shop_stub, COUNT.format(10), skip=10))) == []


async def test_a_statement_s_own_limit_bounds_its_pages(shop_stub: Any) -> None:
    sql = COUNT.format(1000) + " LIMIT 25 OFFSET 100"
    pages = [values(await collect(execute(shop_stub, sql, max_rows=10, skip=skip))) for skip in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert pages[2][-1] == [125]


async def test_a_negative_skip_names_its_field(shop_stub: Any) -> None:
    code, _info, message = await refused(collect(execute(shop_stub, "SELECT 1", skip=-1)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "skip" in message


# Arrow.


async def test_rows_come_as_an_arrow_stream(shop_stub: Any) -> None:
    sql = "SELECT id, name, price, NULL AS absent FROM products ORDER BY id"
    plain = await collect(execute(shop_stub, sql))
    parts = await collect(execute(shop_stub, sql, format=sql_pb2.RESULT_FORMAT_ARROW))
    assert parts[0].columns.columns[0].name == "id"
    assert not any(part.HasField("rows") for part in parts)
    assert not parts[-1].summary.HasField("chart")
    rows = arrow_rows(b"".join(part.arrow for part in parts))
    assert [list(row.values()) for row in rows] == values(plain)
    assert parts[-1].summary.row_count == len(rows) > 10


async def test_a_large_arrow_stream_comes_in_pieces(shop_stub: Any) -> None:
    parts = await collect(execute(shop_stub, COUNT.format(5000), max_rows=5000, format=sql_pb2.RESULT_FORMAT_ARROW))
    pieces = [part.arrow for part in parts if part.WhichOneof("part") == "arrow"]
    assert len(pieces) > 10
    assert [row["i"] for row in arrow_rows(b"".join(pieces))] == list(range(1, 5001))


async def test_every_type_of_postgresql_keeps_its_meaning_in_arrow(
    stub: Any, register: Register, postgres: str
) -> None:
    await register(stub, "pg", postgres)
    sql = (
        "SELECT 7::bigint AS i, 1.5::float8 AS f, 12345678901234567890.123::numeric AS d, 'ế' AS t, true AS b, "
        "DATE '2025-03-31' AS day, TIMESTAMPTZ '2025-03-31 10:00:00.000001+07' AS at, '\\x00ff'::bytea AS y, "
        "'{\"a\": [1]}'::jsonb AS j, 9223372036854775807::bigint AS large"
    )
    parts = await collect(execute(stub, sql, "pg", format=sql_pb2.RESULT_FORMAT_ARROW))
    (row,) = arrow_rows(b"".join(part.arrow for part in parts))
    assert (row["i"], row["f"], row["d"], row["t"], row["b"]) == (7, 1.5, "12345678901234567890.123", "ế", True)
    assert row["day"].isoformat() == "2025-03-31"
    assert row["at"].isoformat() == "2025-03-31T03:00:00.000001+00:00"
    assert (row["y"], row["j"], row["large"]) == (b"\x00\xff", '{"a": [1]}', 9223372036854775807)


async def test_a_column_that_changes_its_type_is_named(serve: Serve, tmp_path: Path, register: Register) -> None:
    with closing(sqlite3.connect(tmp_path / "mixed.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [*[(n,) for n in range(300)], ("word",)])
    async with serve() as stub:
        await register(stub, "mixed", "sqlite:///mixed.sqlite")
        call = execute(stub, "SELECT a FROM t ORDER BY rowid", "mixed", format=sql_pb2.RESULT_FORMAT_ARROW)
        code, info, message = await refused(collect(call))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SQL_FAILED")
        assert "Column a" in message
        assert "row 301" in message
        assert "CAST" in message
        assert len(values(await collect(execute(stub, "SELECT a FROM t", "mixed")))) == 301
    await no_live_queries()


KINDS: dict[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.INTEGER: st.integers(-(2**53), 2**53),
    ColumnType.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    ColumnType.TEXT: st.text(st.characters(exclude_categories=["Cs"])),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False).map(str),
}


@UNHURRIED
@given(st.data())
def test_any_values_come_back_from_arrow(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=5))
    row = st.tuples(*(st.none() | KINDS[kind] for kind in kinds)).map(list)
    batches: list[list[list[Value]]] = data.draw(st.lists(st.lists(row, max_size=12), max_size=3))
    stream = ArrowStream([ResultColumn(f"c{place}", kind) for place, kind in enumerate(kinds)])
    pieces = [stream.head(), *(stream.batch(batch) for batch in batches), stream.end()]
    rows = arrow_rows(b"".join(pieces))
    assert [list(found.values()) for found in rows] == [given_row for batch in batches for given_row in batch]


def test_a_number_beyond_64_bits_is_refused_by_its_column() -> None:
    with pytest.raises(SqlFailed, match="n holds whole numbers beyond 64 bits"):
        ArrowStream([ResultColumn("n", ColumnType.INTEGER)]).batch([["170141183460469231731687303715884105727"]])


# Files.


async def test_a_csv_file_is_whole_and_named(shop_stub: Any) -> None:
    call = export(shop_stub, COUNT.format(3000), "CSV")
    types, data = await file_of(call)
    assert types == {"text/csv; charset=utf-8; header=present"}
    assert ("content-disposition", 'attachment; filename="shop.csv"') in tuple(await call.initial_metadata())
    assert data.decode().split("\r\n") == ["i", *map(str, range(1, 3001)), ""]


@UNHURRIED
@given(st.lists(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2)))
def test_any_text_comes_back_from_csv(rows: list[list[Value]]) -> None:
    file = CsvFile([ResultColumn("a", ColumnType.TEXT), ResultColumn('b,"', ColumnType.TEXT)])
    text = (file.head() + file.batch(rows)).decode()
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert found[0] == ["a", 'b,"']
    assert found[1:] == [[value or "" for value in row] for row in rows]


def test_csv_tells_null_from_empty_and_changes_nothing() -> None:
    file = CsvFile([ResultColumn(name, ColumnType.TEXT) for name in "abc"])
    row: list[Value] = [None, "", "=1+1"]
    assert file.batch([row]) == b',"",=1+1\r\n'
    assert file.batch([[True, 1.5, {"a": [1]}]]) == b'true,1.5,"{""a"": [1]}"\r\n'


async def test_a_workbook_has_typed_cells(stub: Any, register: Register, postgres: str) -> None:
    await register(stub, "pg", postgres)
    sql = (
        "SELECT 7 AS i, 1.5::float8 AS f, 12.50::numeric AS d, 12345678901234567890::numeric AS e, '=1+1' AS t, "
        "DATE '2025-03-31' AS day, TIMESTAMPTZ '2025-03-31 10:00:00+07' AS at, true AS b, "
        "E'a\\x07b' AS c, NULL AS n, '#N/A' AS e2"
    )
    types, data = await file_of(export(stub, sql, "XLSX", "pg"))
    assert types == {xlsx.CONTENT_TYPE}
    header, row = openpyxl.load_workbook(io.BytesIO(data))["Result"].iter_rows()
    assert [cell.value for cell in header] == ["i", "f", "d", "e", "t", "day", "at", "b", "c", "n", "e2"]
    found = [cell.value for cell in row]
    assert found[:4] == [7, 1.5, 12.5, "12345678901234567890"]
    # A text, and no formula.
    assert (row[4].value, row[4].data_type) == ("=1+1", "s")
    assert [str(value) for value in found[5:8]] == ["2025-03-31 00:00:00", "2025-03-31 03:00:00", "True"]
    assert found[8:] == ["a_x0007_b", None, "#N/A"]
    assert row[10].data_type == "s"


async def test_an_arrow_file_holds_the_rows(shop_stub: Any) -> None:
    types, data = await file_of(export(shop_stub, COUNT.format(700), "ARROW"))
    assert types == {"application/vnd.apache.arrow.stream"}
    assert [row["i"] for row in arrow_rows(data)] == list(range(1, 701))


async def test_a_file_is_whole_unless_fewer_rows_are_asked_for(
    serve: Serve, tmp_path: Path, register: Register
) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    async with serve(max_rows_limit=50) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        code, info, message = await refused(collect(export(stub, COUNT.format(100), "CSV")))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")
        assert "max_rows" in message
        _types, data = await file_of(export(stub, COUNT.format(100), "CSV", max_rows=20))
        assert len(data.decode().splitlines()) == 21
        _types, data = await file_of(export(stub, COUNT.format(50), "CSV"))
        assert len(data.decode().splitlines()) == 51
    await no_live_queries()


def test_a_sheet_says_what_it_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MAX_ROWS", 3)
    sheet = xlsx.Sheet([ResultColumn("a", ColumnType.TEXT)])
    sheet.head()
    sheet.batch([["x"], ["y"]])
    with pytest.raises(TooLarge, match="2 rows at most: export as CSV"):
        sheet.batch([["z"]])
    with pytest.raises(TooLarge, match="Column a holds a text longer than the 32,767"):
        sheet.batch([["x" * 40_000]])
    sheet.close()
    with pytest.raises(TooLarge, match="16,384 columns"):
        xlsx.Sheet([ResultColumn("a", ColumnType.TEXT)] * 20_000)


async def test_a_hostile_statement_is_exported_as_little_as_run(shop_stub: Any) -> None:
    for sql in ("DROP TABLE customers", "SELECT load_extension('x')"):
        code, info, _ = await refused(collect(export(shop_stub, sql, "CSV")))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SQL_REJECTED")
        assert info.metadata["rule"] in ("write", "function")


# Costs.


async def test_a_statement_above_the_ceiling_has_to_be_confirmed(
    serve: Serve, tmp_path: Path, register: Register
) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    dear, cheap = "SELECT count(*) FROM order_items", "SELECT name FROM products WHERE id = 3"
    async with serve(cost_ceiling=20) as stub:
        await register(stub, "shop", "sqlite:///shop.sqlite")
        for call in (
            execute(stub, dear),
            export(stub, dear, "CSV"),
            stub.Ask(sql_pb2.AskRequest(database="databases/shop", question="How many order items are there?")),
        ):
            code, info, message = await refused(collect(call))
            assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONFIRMATION_REQUIRED")
            assert info.metadata["ceiling"] == "20"
            assert float(info.metadata["cost"]) > 20
            assert "confirm_cost" in message
        assert values(await collect(execute(stub, cheap)))
        assert values(await collect(execute(stub, dear, confirm_cost=True)))
        assert (await file_of(export(stub, dear, "CSV", confirm_cost=True)))[1].startswith(b"COUNT")
        explained = await stub.ExplainQuery(sql_pb2.ExplainQueryRequest(database="databases/shop", sql=dear))
        assert explained.needs_confirmation


async def test_explain_says_plan_scans_and_times(shop_stub: Any) -> None:
    sql = "SELECT * FROM order_items WHERE quantity = 3 ORDER BY unit_price DESC"
    request = sql_pb2.ExplainQueryRequest(database="databases/shop", sql=sql, measure=True)
    found = await shop_stub.ExplainQuery(request)
    assert "SCAN" in found.plan
    assert [(scan.table, scan.filter) for scan in found.scans] == [("order_items", "quantity = 3")]
    assert found.cost > 0
    assert found.elapsed.ToNanoseconds() > 0
    assert not found.needs_confirmation


async def test_a_statement_that_may_not_run_is_not_explained(shop_stub: Any) -> None:
    for sql, reason in (("DELETE FROM orders", "SQL_REJECTED"), ("SELECT missing FROM orders", "SQL_FAILED")):
        _code, info, _ = await refused(
            shop_stub.ExplainQuery(sql_pb2.ExplainQueryRequest(database="databases/shop", sql=sql))
        )
        assert info.reason == reason


# Charts.

# Vega-Lite's own JSON schema, as altair ships it.
VALIDATOR = jsonschema.Draft7Validator(altair.load_schema())
TIME, COUNT_OF, PRICE = ("month", ColumnType.TEXT), ("count", ColumnType.INTEGER), ("price", ColumnType.DECIMAL)
MONTHS = [f"2025-{n:02}" for n in range(1, 13)]


def suggested(columns: list[tuple[str, ColumnType]], rows: Sequence[Sequence[Value]]) -> dict[str, Any] | None:
    digest = Digest([ResultColumn(*column) for column in columns])
    digest.add(rows)
    return chart.suggest(digest)


CHARTS: list[tuple[list[tuple[str, ColumnType]], list[list[Value]], tuple[str, str, str]]] = [
    ([TIME, COUNT_OF], [[month, n] for n, month in enumerate(MONTHS)], ("line", "month", "count")),
    ([("day", ColumnType.DATE), PRICE], [["2025-01-01", "1.5"], ["2025-01-02", "2.5"]], ("line", "day", "price")),
    ([("year", ColumnType.INTEGER), COUNT_OF], [[2020 + n, n] for n in range(4)], ("line", "year", "count")),
    ([("city", ColumnType.TEXT), COUNT_OF], [["Hue", 3], ["Vinh", 5]], ("bar", "city", "count")),
    ([("city", ColumnType.TEXT), COUNT_OF], [[f"A city with a long name {n}", n] for n in range(9)],
     ("bar", "count", "city")),
    ([COUNT_OF, PRICE], [[n, f"{n}.5"] for n in range(9)], ("point", "count", "price")),
    ([("at", ColumnType.TIMESTAMP), ("city", ColumnType.TEXT), COUNT_OF],
     [[f"2025-01-0{n}T00:00:00Z", city, n] for n in range(1, 5) for city in ("Hue", "Vinh")], ("line", "at", "count")),
    ([("city", ColumnType.TEXT), ("status", ColumnType.TEXT), COUNT_OF],
     [[city, status, 1] for city in ("Hue", "Vinh", "Hanoi") for status in ("new", "paid")], ("bar", "city", "count")),
    ([("a.b[0]", ColumnType.TEXT), COUNT_OF], [["x", 1], ["y", 2]], ("bar", "a\\.b\\[0\\]", "count")),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "rows", "expected"), CHARTS)
def test_a_chart_fits_the_columns_and_the_official_schema(
    columns: list[tuple[str, ColumnType]], rows: list[list[Value]], expected: tuple[str, str, str]
) -> None:
    found = suggested(columns, rows)
    assert found is not None
    VALIDATOR.validate(found)
    assert (found["mark"]["type"], found["encoding"]["x"]["field"], found["encoding"]["y"]["field"]) == expected
    assert found["data"]["name"] == "result"


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ([COUNT_OF], [[5]]),
        ([COUNT_OF], [[5], [6]]),
        ([("name", ColumnType.TEXT)], [["a"], ["b"]]),
        ([("city", ColumnType.TEXT), COUNT_OF], [["Hue", 3]]),
        ([("city", ColumnType.TEXT), COUNT_OF], []),
        ([("city", ColumnType.TEXT), COUNT_OF], [[f"c{n}", n] for n in range(90)]),
        ([("city", ColumnType.TEXT), COUNT_OF], [["Hue", 3], ["Hue", 4], ["Vinh", 4]]),
        ([("id", ColumnType.INTEGER), ("name", ColumnType.TEXT)], [[1, "a"], [2, "b"]]),
        ([("x", ColumnType.INTEGER), ("x", ColumnType.INTEGER)], [[1, 2], [2, 3], [3, 4]]),
        ([("data", ColumnType.JSON), COUNT_OF], [[{}, 1], [{}, 2]]),
    ],
)
def test_no_chart_where_none_says_anything(columns: list[tuple[str, ColumnType]], rows: list[list[Value]]) -> None:
    assert suggested(columns, rows) is None


@UNHURRIED
@given(st.data())
def test_whatever_the_result_a_chart_is_valid(data: st.DataObject) -> None:
    names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
    columns = data.draw(st.lists(st.tuples(names, st.sampled_from(list(ColumnType))), min_size=1, max_size=5))
    value = st.none() | st.integers() | st.sampled_from(["2025-01", "a", "1.5"]) | st.booleans()
    rows = data.draw(st.lists(st.lists(value, min_size=len(columns), max_size=len(columns)), max_size=8))
    found = suggested(columns, rows)
    assert found is None or VALIDATOR.is_valid(found)


async def test_a_whole_result_comes_with_its_chart(shop_stub: Any) -> None:
    sql = "SELECT city, count(*) AS n FROM customers GROUP BY city"
    summary = (await collect(execute(shop_stub, sql)))[-1].summary
    spec = MessageToDict(summary.chart)
    VALIDATOR.validate(spec)
    assert spec["mark"]["type"] == "bar"
    for part_of in (execute(shop_stub, sql, max_rows=2), execute(shop_stub, sql, skip=1)):
        assert not (await collect(part_of))[-1].summary.HasField("chart")
    asked = sql_pb2.AskRequest(database="databases/shop", question="How many customers are there in each city?")
    answer = (await collect(shop_stub.Ask(asked)))[-1].answer
    assert MessageToDict(answer.summary.chart)["mark"]["type"] == "bar"


async def test_a_superlative_says_its_measure(shop_stub: Any) -> None:
    asked = sql_pb2.AskRequest(database="databases/shop", question="What is the most expensive product?")
    parts = await collect(shop_stub.Ask(asked))
    (name, *_others) = values(parts)[0]
    price = values(await collect(execute(shop_stub, "SELECT max(price) FROM products")))[0][0]
    assert str(name) in parts[-1].answer.text
    assert f"{Decimal(str(price)):,}".removesuffix(".0") in parts[-1].answer.text
