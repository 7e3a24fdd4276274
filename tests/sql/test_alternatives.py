"""Other readings of an ambiguous question."""

from __future__ import annotations

from typing import Any

import pytest

from parley.sql.v1 import sql_pb2
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.guard import guard
from services.sql.query import MAX_ALTERNATIVES
from services.sql.schema import Dialect, Schema

ENGINE = EmbeddedEngine()


@pytest.mark.parametrize(
    ("question", "first", "other"),
    [
        (
            "how many people are in London",
            "SELECT COUNT(*) AS count FROM customers WHERE city = 'London'",
            "SELECT COUNT(*) AS count FROM employees WHERE city = 'London'",
        ),
        ("list the cities", "SELECT city FROM customers", "SELECT city FROM employees"),
    ],
)
def test_an_ambiguous_word_has_other_readings(shop_schema: Schema, question: str, first: str, other: str) -> None:
    query = ENGINE.answer(question, shop_schema)
    assert query.sql == first
    assert [alternative.sql for alternative in query.alternatives] == [other]
    assert "employees" in query.alternatives[0].explanation
    assert 0 < query.alternatives[0].confidence < query.confidence


def test_there_are_few_of_them_and_each_may_run(shop_schema: Schema) -> None:
    found = ENGINE.answer("show the names", shop_schema).alternatives
    assert len(found) == MAX_ALTERNATIVES
    assert len({alternative.sql for alternative in found}) == MAX_ALTERNATIVES
    assert [a.confidence for a in found] == sorted((a.confidence for a in found), reverse=True)
    for alternative in found:
        guard.check(alternative.sql, Dialect.SQLITE, 1000)


@pytest.mark.parametrize(
    "question",
    [
        "How many customers are in Hanoi?",
        "What is the average price of products?",
        "Which customer has the most orders?",
        "Giá trung bình của sản phẩm là bao nhiêu?",
    ],
)
def test_a_clear_question_has_none(shop_schema: Schema, question: str) -> None:
    assert ENGINE.answer(question, shop_schema).alternatives == ()


async def test_the_service_returns_them(shop_stub: Any) -> None:
    request = sql_pb2.GenerateQueryRequest(database="databases/shop", question="list the cities")
    (alternative,) = (await shop_stub.GenerateQuery(request)).query.alternatives
    assert alternative.sql == "SELECT city FROM employees"
    assert alternative.explanation
    assert 0 < alternative.confidence < 1
