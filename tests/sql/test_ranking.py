"""What the search, the trial on the database and the confidence of the embedded engine are good for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.sql_hardness import hardness
from services.sql.engine.ambiguity import ambiguity
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.engine.probe import outcome
from services.sql.errors import QuestionNotUnderstood
from services.sql.linking.joins import JoinGraph
from services.sql.meaning.completion import Completion
from services.sql.meaning.frame import Filter, Frame, Term
from services.sql.query import PROBED_ROWS, Context, Probe, Untried
from services.sql.schema import Column, Dialect, Kind, Schema, Table


@pytest.fixture
def probe(shop: Path) -> Iterator[Probe]:
    with closing(sqlite3.connect(f"file:{shop}?mode=ro", uri=True, check_same_thread=False)) as connection:

        def run(sql: str) -> Sequence[Sequence[Any]] | None:
            try:
                return connection.execute(sql).fetchmany(PROBED_ROWS)
            except sqlite3.Error:
                return None

        yield run


@pytest.mark.parametrize(
    "question",
    ["How many customers are in Hanoi?", "Which customer has the most orders?", "orders per city", "giá trung bình"],
)
async def test_trying_statements_out_keeps_a_clear_answer(question: str, shop_schema: Schema, probe: Probe) -> None:
    engine = EmbeddedEngine()
    plain, tried = (
        engine.answer(question, shop_schema),
        await engine.generate(question, shop_schema, Context(probe=probe)),
    )
    assert tried.sql == plain.sql
    assert 0 < tried.confidence <= 1


def test_a_statement_that_fails_on_the_database_is_not_the_answer(shop_schema: Schema) -> None:
    refused: list[str] = []

    def probe(sql: str) -> None:
        refused.append(sql)

    with pytest.raises(QuestionNotUnderstood):
        EmbeddedEngine().answer("How many customers are there?", shop_schema, probe)
    assert refused


def test_a_database_too_slow_to_try_anything_out_does_not_make_a_question_unanswerable(shop_schema: Schema) -> None:
    query = EmbeddedEngine().answer("How many customers are in Hanoi?", shop_schema, lambda _sql: Untried.UNTRIED)
    assert query.sql == EmbeddedEngine().answer("How many customers are in Hanoi?", shop_schema).sql


def test_below_no_confidence_nothing_readable_is_refused(shop_schema: Schema) -> None:
    question = "customers who did not buy a Laptop"
    with pytest.raises(QuestionNotUnderstood):
        EmbeddedEngine().answer(question, shop_schema)
    query = EmbeddedEngine(min_confidence=0.0).answer(question, shop_schema)
    assert "Laptop" in query.sql
    assert query.confidence < 0.8


def test_a_proposed_meaning_is_ranked_with_the_others(shop_schema: Schema) -> None:
    frame = Frame(select=[Term(("customers", "*"), "COUNT")], filters=[Filter(("customers", "city"), "=", ("Hue",))])
    frame.tables.append("customers")
    proposal = Completion(shop_schema).complete(frame)
    query = EmbeddedEngine().answer("How many customers are in Hue?", shop_schema, proposals=[proposal])
    assert query.sql == "SELECT COUNT(*) AS count FROM customers WHERE city = 'Hue'"


def test_two_likely_meanings_become_a_question_back_with_both(shop_schema: Schema) -> None:
    query = EmbeddedEngine().answer("list the cities", shop_schema)
    back = ambiguity(query, "list the cities", min_confidence=1.0, in_the_way=0.01)
    assert back is not None
    assert [choice.sql for choice in back.choices] == ["SELECT city FROM customers", "SELECT city FROM employees"]
    assert ambiguity(query, "list the cities", min_confidence=0.0) is None


def test_what_rows_say() -> None:
    frame = Frame(select=[Term(("t", "a"))], filters=[Filter(("t", "a"), "=", ("x",))], tables=["t"])
    assert outcome(None, frame) == {"fails": 1.0}
    assert outcome([], frame) == {"gives nothing conditions": 1.0}
    assert "gives only unknowns" in outcome([(None,)], frame)
    assert "repeats rows False" in outcome([("x",), ("x",)], frame)


def test_a_column_that_many_tables_have_joins_none_of_them() -> None:
    columns = tuple(Column(name, "TEXT", Kind.TEXT) for name in ("created_on", "name"))
    schema = Schema(Dialect.SQLITE, tuple(Table(f"t{number}", columns) for number in range(40)))
    assert JoinGraph(schema).connect(["t1", "t2"]) is None


@pytest.mark.parametrize(
    ("sql", "level"),
    [
        # The first examples of each level in the paper's appendix and README of the evaluation.
        ("SELECT COUNT(*) FROM cars_data WHERE cylinders > 4", "easy"),
        ("SELECT T2.name, COUNT(*) FROM concert AS T1 JOIN stadium AS T2 ON T1.stadium_id = T2.stadium_id "
         "GROUP BY T1.stadium_id", "medium"),
        ("SELECT T1.country_name FROM countries AS T1 JOIN continents AS T2 ON T1.continent = T2.cont_id "
         "JOIN car_makers AS T3 ON T1.country_id = T3.country WHERE T2.continent = 'Europe' "
         "GROUP BY T1.country_name HAVING COUNT(*) >= 3", "extra"),
        ("SELECT name FROM a WHERE id IN (SELECT id FROM b)", "hard"),
        ("SELECT AVG(life_expectancy) FROM country WHERE name NOT IN (SELECT T1.name FROM country AS T1 "
         "JOIN country_language AS T2 ON T1.code = T2.country_code WHERE T2.language = 'English')", "extra"),
        ("SELECT name FROM a EXCEPT SELECT name FROM a WHERE b = 1 AND c = 2", "hard"),
    ],
)  # fmt: skip
def test_levels_of_hardness(sql: str, level: str) -> None:
    assert hardness(sql) == level
