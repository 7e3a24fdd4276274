"""Questions that go on from earlier ones, with the embedded engine; through the service too."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from parley.sql.v1 import sql_pb2
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.query import Context, Turn
from services.sql.schema import Schema

ENGINE = EmbeddedEngine(today=dt.date(2026, 6, 30))
KITCHEN = "List the products in Kitchen"


async def continued(schema: Schema, *questions: str) -> Any:
    """The query for the last question after the others."""
    history = tuple(Turn(question) for question in questions[:-1])
    return await ENGINE.generate(questions[-1], schema, Context(history=history))


@pytest.mark.parametrize(
    ("before", "question", "wanted"),
    [
        ("How many customers are in Hue?", "and in Hanoi?", ["COUNT(*)", "city = 'Hanoi'"]),
        ("Có bao nhiêu khách hàng ở Huế?", "còn ở Hà Nội thì sao?", ["COUNT(*)", "city = 'Hanoi'"]),
        ("Co bao nhieu khach hang o Hue?", "con o Ha Noi thi sao", ["COUNT(*)", "city = 'Hanoi'"]),
        ("List the names of products in Electronics", "only the five most expensive",
         ["'Electronics'", "price DESC LIMIT 5"]),
        ("Liệt kê tên các sản phẩm thuộc danh mục Toys", "chỉ 5 sản phẩm đắt nhất thôi",
         ["'Toys'", "price DESC LIMIT 5"]),
        ("What is the total revenue in 2026?", "what about last year?", ["SUM(", "'2025-01-01'", "'2026-01-01'"]),
        ("Doanh thu năm 2025 là bao nhiêu?", "còn năm 2024?", ["SUM(", "'2024-01-01'", "'2025-01-01'"]),
        (KITCHEN, "sort them by price", ["'Kitchen'", "ORDER BY products.price ASC"]),
        (KITCHEN, "sắp xếp theo giá giảm dần", ["'Kitchen'", "ORDER BY products.price DESC"]),
        (KITCHEN, "how many are there?", ["COUNT(*)", "'Kitchen'"]),
        (KITCHEN, "what is their average price?", ["AVG(products.price)", "'Kitchen'"]),
        ("How many customers are there?", "by city", ["COUNT(*)", "GROUP BY city"]),
        ("How many customers are there?", "what about suppliers?", ["COUNT(*)", "FROM suppliers"]),
        ("List customers in Hanoi", "with their emails", ["email", "city = 'Hanoi'"]),
        ("List the products with a price over 100", "under 300", ["price > 100", "price < 300"]),
    ],
)  # fmt: skip
async def test_a_fragment_changes_the_question_before(
    shop_schema: Schema, before: str, question: str, wanted: list[str]
) -> None:
    query = await continued(shop_schema, before, question)
    assert all(part in query.sql for part in wanted), query.sql
    assert query.full_question


@pytest.mark.parametrize(
    "question",
    [
        "how many orders were cancelled?",
        "and how many products are there?",
        "Which suppliers are in Canada?",
        "Which employee has the highest salary?",
        "Có bao nhiêu nhân viên?",
        "show all categories",
    ],
)
async def test_a_question_of_its_own_is_not_touched_by_what_came_before(shop_schema: Schema, question: str) -> None:
    query = await continued(shop_schema, "List the names of the customers in Hue", question)
    assert query.sql == ENGINE.answer(question, shop_schema).sql
    assert query.full_question == ""


async def test_several_fragments_go_on_from_each_other(shop_schema: Schema) -> None:
    query = await continued(shop_schema, KITCHEN, "sort them by price", "only 3", "and in Toys?")
    assert "'Toys'" in query.sql
    assert "ORDER BY products.price ASC LIMIT 3" in query.sql
    assert "Kitchen" not in query.sql


async def test_what_was_not_understood_before_changes_nothing(shop_schema: Schema) -> None:
    query = await continued(shop_schema, "How many customers are in Hue?", "what is the weather like?", "and in Hanoi?")
    assert query.sql == "SELECT COUNT(*) AS count FROM customers WHERE city = 'Hanoi'"
    assert query.full_question == "How many customers are in Hanoi?"


async def test_the_service_says_how_it_understood_a_fragment(shop_stub: Any) -> None:
    request = sql_pb2.AskRequest(
        database="databases/shop",
        question="and in Hanoi?",
        history=[sql_pb2.Turn(question="How many customers are in Hue?", sql="SELECT 1")],
    )
    parts = [part async for part in shop_stub.Ask(request)]
    query = next(part.query for part in parts if part.WhichOneof("part") == "query")
    assert query.full_question == "How many customers are in Hanoi?"
    assert "city = 'Hanoi'" in query.sql
    assert parts[-1].WhichOneof("part") == "answer"


async def test_without_history_a_fragment_is_refused(shop_schema: Schema) -> None:
    with pytest.raises(Exception, match="nothing"):
        await continued(shop_schema, "how many are there?")
