"""The semantic layer: read strictly, tried before it is taken, used by every engine, kept when the schema drifts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.local import sample_shop
from parley.sql.v1 import knowledge_pb2, knowledge_pb2_grpc, sql_pb2, sql_pb2_grpc
from services.mesh.errors import InvalidArgument
from services.sql.schema import Schema
from services.sql.schemas import semantic
from services.sql.schemas.semantic_schema import applied
from tests.sql.scripted import GOOD, Script, provider

LAYER = """\
version: 1
tables:
  customers:
    description: People and companies that buy from us.
    synonyms: [patrons, khách quen]
    columns:
      joined_on:
        synonyms: [member since]
      city:
        description: Where they live.
        values:
          Hanoi: [the capital, thủ đô]
metrics:
  - name: net sales
    synonyms: [doanh số thuần]
    table: order_items
    expression: sum(quantity * unit_price)
    filter: quantity > 1
  - name: big lines
    table: order_items
    expression: count(*)
    filter: quantity >= 5
joins:
  - from: employees.city
    to: customers.city
"""


class Service:
    """Stubs of a running service with the shop."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.sql = sql_pb2_grpc.SqlServiceStub(channel)
        self.knowledge = knowledge_pb2_grpc.KnowledgeServiceStub(channel)

    async def set(self, text: str) -> list[str]:
        request = knowledge_pb2.SetSemanticLayerRequest(name="databases/shop", yaml=text)
        return list((await self.knowledge.SetSemanticLayer(request)).warnings)

    async def get(self) -> str:
        request = knowledge_pb2.GetSemanticLayerRequest(name="databases/shop")
        return str((await self.knowledge.GetSemanticLayer(request)).yaml)

    async def ask(self, question: str) -> list[Any]:
        request = sql_pb2.AskRequest(database="databases/shop", question=question, guess=True)
        return [part async for part in self.sql.Ask(request)]

    async def rows(self, question: str) -> list[list[Any]]:
        parts = await self.ask(question)
        return [list(row) for part in parts for row in part.rows.rows]


@pytest.fixture
async def service(
    connect: Callable[..., AbstractAsyncContextManager[Any]], script: Script, tmp_path: Path,
    register: Callable[..., Awaitable[sql_pb2.Database]],
) -> Any:  # fmt: skip
    sample_shop.build(tmp_path / "shop.sqlite")
    async with connect(providers=[provider(script)], check_seconds=0) as channel:
        found = Service(channel)
        await register(found.sql, "shop", "sqlite:///shop.sqlite")
        yield found


def scalar(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchone()[0]


async def test_it_comes_back_as_it_was_set_and_an_empty_one_removes_it(service: Service) -> None:
    assert await service.get() == ""
    assert await service.set(LAYER) == []
    assert await service.get() == LAYER
    await service.set("")
    assert await service.get() == ""


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("how many patrons are there?", "SELECT count(*) FROM customers"),
        ("Có bao nhiêu khách quen?", "SELECT count(*) FROM customers"),
        ("how many customers are in the capital?", "SELECT count(*) FROM customers WHERE city = 'Hanoi'"),
        ("Có bao nhiêu khách hàng ở thủ đô?", "SELECT count(*) FROM customers WHERE city = 'Hanoi'"),
        ("what is the net sales?", "SELECT sum(quantity * unit_price) FROM order_items WHERE quantity > 1"),
        ("what are the net sales in 2025?",
         "SELECT sum(quantity * unit_price) FROM order_items JOIN orders ON orders.id = order_id "
         "WHERE quantity > 1 AND order_date >= '2025-01-01' AND order_date < '2026-01-01'"),
        ("doanh số thuần là bao nhiêu?", "SELECT sum(quantity * unit_price) FROM order_items WHERE quantity > 1"),
        ("how many big lines?", "SELECT count(*) FROM order_items WHERE quantity >= 5"),
    ],
)  # fmt: skip
async def test_the_embedded_engine_answers_by_it(service: Service, tmp_path: Path, question: str, sql: str) -> None:
    await service.set(LAYER)
    rows = await service.rows(question)
    assert rows == [[pytest.approx(scalar(tmp_path / "shop.sqlite", sql))]]


async def test_a_metric_is_grouped_like_a_column(service: Service, tmp_path: Path) -> None:
    await service.set(LAYER)
    rows = await service.rows("net sales by category")
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        wanted = connection.execute(
            "SELECT c.name, sum(i.quantity * i.unit_price) FROM order_items i JOIN products p ON p.id = i.product_id "
            "JOIN categories c ON c.id = p.category_id WHERE i.quantity > 1 GROUP BY c.id"
        ).fetchall()
    assert sorted(map(tuple, rows)) == [(name, pytest.approx(value)) for name, value in sorted(wanted)]


async def test_a_join_makes_tables_connect(service: Service) -> None:
    await service.set(LAYER)
    schema = (await service.sql.GetSchema(sql_pb2.GetSchemaRequest(name="databases/shop"))).schema
    employees = next(table for table in schema.tables if table.name == "employees")
    assert [(list(key.columns), key.referred_table, key.inferred) for key in employees.foreign_keys] == [
        (["city"], "customers", True)
    ]
    customers = next(table for table in schema.tables if table.name == "customers")
    assert customers.description == "People and companies that buy from us."


async def test_a_language_model_and_a_recogniser_are_told(service: Service, script: Script) -> None:
    await service.set(LAYER)
    script.tell(answers=[GOOD])
    request = sql_pb2.GenerateQueryRequest(database="databases/shop", question="net sales of patrons", engine="tiny")
    await service.sql.GenerateQuery(request)
    system = script.requests[0]["messages"][0]["content"]
    assert '"net sales" of order_items = sum(quantity * unit_price) FILTER quantity > 1' in system
    assert json.dumps("patrons") in system
    vocabulary = await service.sql.GetVocabulary(sql_pb2.GetVocabularyRequest(name="databases/shop"))
    assert {"how many patrons are there", "what is the net sales", "the capital"} <= set(vocabulary.phrases)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tables: {}", ["version", "line 1", "must be 1"]),
        ("version: 2", ["version", "must be 1"]),
        ("version: 1\ntabels: {}", ["tabels (line 2)", "known are version, tables"]),
        ("version: 1\ntables:\n  custmers: {}", ["line 3", "no table 'custmers'", "did you mean customers"]),
        ("version: 1\ntables:\n  customers:\n    columns:\n      cty: {}", ["line 5", "'cty'", "did you mean city"]),
        ("version: 1\ntables:\n  customers: {}\n  customers: {}", ["line 4", "twice"]),
        ("version: 1\ntables: [customers]", ["tables (line 2)", "mapping"]),
        ("version: 1\ntables:\n  customers:\n    synonyms: patron", ["synonyms (line 4)", "list"]),
        ("version: 1\nmetrics:\n  - name: x\n    table: orders", ["expression", "is required", "line 3"]),
        ("version: 1\nmetrics:\n  - {name: x, table: orders, expression: id}", ["line 3", "sum up"]),
        ("version: 1\nmetrics:\n  - {name: x, table: orders, expression: sum(nothing)}", ["no column 'nothing'"]),
        ("version: 1\nmetrics:\n  - {name: x, table: orders, expression: 'sum(id) FROM orders; DROP TABLE orders'}",
         ["expression"]),
        ("version: 1\nmetrics:\n  - {name: x, table: orders, expression: (SELECT count(*) FROM customers)}",
         ["one expression"]),
        ("version: 1\nmetrics:\n  - {name: x, table: orders, expression: sum(load_extension('x'))}",
         ["load_extension"]),
        ("version: 1\nmetrics:\n  - {name: x, table: orders, expression: count(*), filter: sum(id) > 1}",
         ["single rows"]),
        ("version: 1\njoins:\n  - {from: orders.customer_id}", ["joins[0].to", "is required"]),
        ("version: 1\njoins:\n  - {from: orders, to: customers.id}", ["table.column"]),
        ("version: 1\njoins:\n  - {from: [orders.id, orders.status], to: customers.id}", ["as many columns"]),
        ("version: 1\ntables: &a {}\nmetrics: *a", ["anchors"]),
        ("version: 1\n  bad: [", ["not valid YAML", "line 2"]),
        ("[" * 5000, ["not valid YAML"]),
        ("- just\n- a list", ["mapping"]),
    ],
)  # fmt: skip
async def test_a_fault_is_named_by_place_and_line_and_nothing_changes(
    service: Service, text: str, said: list[str]
) -> None:
    await service.set(LAYER)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.set(text)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # its stubs know the synchronous call only
    assert status is not None
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert bad.field_violations[0].field == "yaml"
    for part in said:
        assert part in bad.field_violations[0].description
    assert await service.get() == LAYER


async def test_what_is_odd_is_said(service: Service) -> None:
    warnings = await service.set(
        "version: 1\ntables:\n  customers:\n    synonyms: [people]\n    columns:\n      city:\n"
        "        values: {Atlantis: [the lost city]}\n  employees:\n    synonyms: [People, orders]\n"
    )
    assert any("Atlantis" in warning for warning in warnings)
    assert any("“people” means several things: customers, employees" in warning for warning in warnings)
    assert any("“orders” is the name of a table" in warning for warning in warnings)


async def test_it_survives_a_column_that_goes(service: Service, tmp_path: Path) -> None:
    await service.set(LAYER)
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        connection.execute("ALTER TABLE customers RENAME COLUMN city TO town")
    assert (await service.rows("how many patrons are there?")) == [[400]]
    assert await service.get() == LAYER
    with pytest.raises(grpc.aio.AioRpcError, match="did you mean"):
        await service.set(LAYER.replace("joined_on", "joined"))


async def test_without_the_database_there_is_no_layer(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.knowledge.GetSemanticLayer(knowledge_pb2.GetSemanticLayerRequest(name="databases/nothing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_names_are_found_whatever_their_case(shop_schema: Schema) -> None:
    schema, faults = applied(semantic.parse("version: 1\ntables:\n  CUSTOMERS:\n    synonyms: [x]"), shop_schema)
    assert not faults
    assert schema.by_name["customers"].synonyms == ("x",)


def test_many_faults_are_said_at_once_but_not_all() -> None:
    text = "version: 1\ntables:\n" + "".join(f"  t{n}: [x]\n" for n in range(30))
    with pytest.raises(InvalidArgument, match="and 20 more"):
        semantic.parse(text)
