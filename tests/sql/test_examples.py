"""Examples adapted to new questions, over a small database of places: what follows from what."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sql.examples.domains import Domains
from services.sql.examples.examples import Example, State, prepare
from services.sql.knowledge.knowledge import Book, bound, fingerprint, normal
from services.sql.knowledge.learned import joined, taught
from services.sql.query import GeneratedQuery
from services.sql.schema import Schema
from services.sql.schemas.introspect import read_schema
from tests.sql.conftest import target_of

PLACES = """
CREATE TABLE state (state_name TEXT PRIMARY KEY, capital TEXT, area REAL, population INTEGER);
CREATE TABLE city (city_name TEXT, state_name TEXT REFERENCES state (state_name), population INTEGER);
CREATE TABLE border (state_name TEXT REFERENCES state (state_name), neighbour TEXT REFERENCES state (state_name));
INSERT INTO state VALUES ('texas', 'austin', 690, 29), ('ohio', 'columbus', 116, 11),
    ('utah', 'salt lake city', 219, 3), ('iowa', 'des moines', 145, 3),
    ('maine', 'augusta', 91, 1), ('nevada', 'carson city', 286, 3);
INSERT INTO city VALUES ('austin', 'texas', 950), ('houston', 'texas', 2300), ('columbus', 'ohio', 900),
    ('cleveland', 'ohio', 370), ('provo', 'utah', 115), ('augusta', 'maine', 19), ('reno', 'nevada', 260);
INSERT INTO border VALUES ('utah', 'nevada'), ('nevada', 'utah'), ('texas', 'ohio'), ('ohio', 'texas'),
    ('ohio', 'iowa');
"""
EXAMPLES = {
    "what is the capital of ohio": "SELECT capital FROM state WHERE state_name = 'ohio'",
    "what is the largest city in texas":
        "SELECT city_name FROM city WHERE population = (SELECT max(population) FROM city WHERE state_name = 'texas') "
        "AND state_name = 'texas'",
    "which states border ohio": "SELECT neighbour FROM border WHERE state_name = 'ohio'",
    "what cities are in texas": "SELECT city_name FROM city WHERE state_name = 'texas'",
    "what is the smallest state": "SELECT state_name FROM state WHERE area = (SELECT min(area) FROM state)",
    "how many people live in austin": "SELECT population FROM city WHERE city_name = 'austin'",
}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("places") / "places.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(PLACES)
    return path


@pytest.fixture(scope="module")
def schema(places: Path) -> Schema:
    return read_schema(target_of(places))


def book_of(schema: Schema, examples: Sequence[Example]) -> Book:
    """A book of examples."""
    made = [item for example in examples if (item := prepare(example, schema)) is not None]
    return bound(schema, made, Domains(schema))


@pytest.fixture(scope="module")
def book(schema: Schema) -> Book:
    return book_of(schema, [Example(str(n), q, sql) for n, (q, sql) in enumerate(EXAMPLES.items())])


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("what is the capital of utah", [("salt lake city",)]),
        ("what's the capital of maine?", [("augusta",)]),
        ("what is the largest city in ohio", [("columbus",)]),
        ("what is the smallest city in texas", [("austin",)]),
        ("how many cities are in texas", [(2,)]),
        ("which states border utah", [("nevada",)]),
        ("what is the area of utah", [(219.0,)]),
        ("what is the largest state", [("texas",)]),
        ("how many people live in texas", [(29,)]),
        ("what is the capital of the smallest state", [("augusta",)]),
        ("what is the largest city in the smallest state", [("augusta",)]),
        ("what are the capitals of the states that border ohio", [("austin",), ("des moines",)]),
    ],
)
def test_a_question_follows_from_examples(
    places: Path, schema: Schema, book: Book, question: str, expected: list[tuple[object, ...]]
) -> None:
    found = joined(question, schema, book, None, "embedded")
    assert found is not None
    with closing(sqlite3.connect(places)) as connection:
        assert sorted(connection.execute(found.sql).fetchall()) == sorted(expected), found.sql
    assert set(found.examples) <= set(book.by_id)


@pytest.mark.parametrize("question", ["who won the cup in 1998", "translate this into french", "§ § §", "?"])
def test_nothing_follows_for_a_question_about_something_else(schema: Schema, book: Book, question: str) -> None:
    assert joined(question, schema, book, None, "embedded") is None


def test_an_engines_statement_stays_where_no_example_is_like_the_question(schema: Schema, book: Book) -> None:
    written = GeneratedQuery("SELECT avg(area) FROM state", "the average area", (), 0.9, "embedded")
    assert joined("mean size overall", schema, book, written, "embedded") == written


def test_an_approved_example_comes_before_a_newer_proposed_one(schema: Schema) -> None:
    examples = [
        Example("new", "Show the big ones!", "SELECT city_name FROM city"),
        Example("old", "show the big ones", "SELECT state_name FROM state", State.APPROVED),
    ]
    found = taught("SHOW the big  ones", schema, book_of(schema, examples), "embedded")
    assert found is not None
    assert found.examples == ("old",)


def test_an_example_that_names_what_is_not_there_is_left_out(schema: Schema) -> None:
    for sql in (
        "SELECT nothing FROM state",
        "SELECT area FROM nowhere",
        "not sql at all",
        "SELECT s.nope FROM state s",
    ):
        assert prepare(Example("x", "what", sql), schema) is None


def test_statements_are_the_same_however_they_are_written(schema: Schema) -> None:
    first = fingerprint("How many?", "select count(*) from state as s where s.area > 5", schema)
    assert first == fingerprint("how many", "SELECT COUNT(*) FROM state AS t\nWHERE t.AREA > 5", schema)
    assert first != fingerprint("how many", "SELECT COUNT(*) FROM state AS t WHERE t.area > 6", schema)
    assert normal("Bán gì?") != normal("Bạn gì?")


@given(st.text(max_size=200))
def test_no_question_makes_it_fail(schema: Schema, book: Book, question: str) -> None:
    found = joined(question, schema, book, None, "embedded")
    assert found is None or found.sql.upper().startswith("SELECT")


def test_values_in_questions_never_become_more_than_text(schema: Schema, book: Book) -> None:
    for question in ("what is the capital of ohio'; DROP TABLE state; --", 'what is the capital of "x\' OR 1=1"'):
        found = joined(question, schema, book, None, "embedded")
        assert found is None or "DROP" not in found.sql.upper()
