"""What an example may not be adapted to: another kind of question, half a superlative, a join of all with all."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from services.sql.examples.domains import Domains
from services.sql.examples.examples import Example, prepare
from services.sql.examples.idle import without_idle
from services.sql.knowledge.knowledge import bound
from services.sql.knowledge.learned import joined
from services.sql.language.phrases import words_of
from services.sql.query import GeneratedQuery
from services.sql.schemas.introspect import read_schema
from tests.sql.conftest import target_of

PEAKS = """
CREATE TABLE region (region_name TEXT PRIMARY KEY, capital TEXT, planet TEXT);
CREATE TABLE heights (region_name TEXT REFERENCES region (region_name), highest_level INTEGER, lowest_level INTEGER);
CREATE TABLE stream (stream_name TEXT, region_name TEXT REFERENCES region (region_name), source TEXT, planet TEXT);
CREATE TABLE town (town_name TEXT, region_name TEXT REFERENCES region (region_name), people INTEGER);
INSERT INTO region VALUES ('arda', 'anor', 'mars'), ('bree', 'bucca', 'mars'), ('carn', 'celon', 'mars');
INSERT INTO heights VALUES ('arda', 900, 20), ('bree', 300, -40), ('carn', 500, 60);
INSERT INTO stream VALUES ('lune', 'arda', 'bree', 'mars'), ('lune', 'bree', 'bree', 'mars'),
    ('isen', 'carn', 'arda', 'mars');
INSERT INTO town VALUES ('anor', 'arda', 70), ('dale', 'arda', 30), ('bucca', 'bree', 40), ('celon', 'carn', 10);
"""
HIGHEST = {
    "which region has the highest level": "SELECT region_name FROM heights WHERE highest_level = "
    "(SELECT max(highest_level) FROM heights)",
}
COUNTED = {"how many regions have the stream lune": "SELECT count(region_name) FROM stream WHERE stream_name = 'lune'"}
LISTED = {"which towns are in arda": "SELECT town_name FROM town WHERE region_name = 'arda'"}
CROSSED = {"which regions have the stream lune": "SELECT region_name FROM stream WHERE stream_name = 'lune'"}
MEAN = {"what is the average of the people in arda": "SELECT avg(people) FROM town WHERE region_name = 'arda'"}
SMALLEST = {
    "which town has the fewest people": "SELECT town_name FROM town WHERE people = (SELECT min(people) FROM town)",
    "how many people live in dale": "SELECT people FROM town WHERE town_name = 'dale'",
    "what is the capital of carn": "SELECT capital FROM region WHERE region_name = 'carn'",
    "towns that are capitals": "SELECT town_name FROM town JOIN region ON capital = town_name",
    "people of the capitals": "SELECT people FROM town WHERE town_name IN (SELECT capital FROM region)",
}
AMOUNT = {"show the people in dale": "SELECT people FROM town WHERE town_name = 'dale'"}


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("peaks") / "peaks.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(PEAKS)
    return path


def follows(
    peaks: Path, examples: Mapping[str, str], question: str, written: GeneratedQuery | None = None
) -> list[tuple[object, ...]]:
    """The rows that a question gets with these examples."""
    schema = read_schema(target_of(peaks))
    made = [prepare(Example(str(number), *pair), schema) for number, pair in enumerate(examples.items())]
    book = bound(schema, [item for item in made if item is not None], Domains(schema))
    found = joined(question, schema, book, written, "embedded")
    assert found is not None
    with closing(sqlite3.connect(peaks)) as connection:
        return sorted(connection.execute(found.sql).fetchall())


@pytest.mark.parametrize(
    ("examples", "question", "expected"),
    [
        # The column and its extreme are both said by one word: both change.
        (HIGHEST, "which region has the lowest level", [("bree",)]),
        # A count does not answer which, nor names how many.
        (COUNTED, "which regions have the stream lune", [("arda",), ("bree",)]),
        (LISTED, "how many towns does arda have", [(2,)]),
        # An amount is how many there are: it is not counted.
        (AMOUNT, "how many people in bucca", [(40,)]),
        # What is denied is all the rest.
        (CROSSED, "which regions do not have the stream lune", [("carn",)]),
        (MEAN, "what is the total of the people in arda", [(100,)]),
        # That capitals are towns is only seen from what the examples compare.
        (SMALLEST, "how many people live in the capital of carn", [(10,)]),
        # Every region and stream is on mars.
        (HIGHEST, "which region of mars has the highest level", [("arda",)]),
    ],
)
def test_an_example_answers_in_the_kind_that_is_asked_for(
    peaks: Path, examples: Mapping[str, str], question: str, expected: list[tuple[object, ...]]
) -> None:
    assert follows(peaks, examples, question) == expected


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("the longest stream in the united states", "the longest stream"),
        ("the longest stream in the USA", "the longest stream"),
        ("how many of the streams are there in the country", "how many of the streams are there"),
        ("which streams run through Texas", "which streams run through texas"),
        # Nothing else would be left to compare.
        ("in the USA", "in the usa"),
    ],
)
def test_what_every_row_has_tells_nothing(tmp_path: Path, question: str, kept: str) -> None:
    path = tmp_path / "one_country.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE stream (name TEXT, state TEXT, country TEXT);"
            "INSERT INTO stream VALUES ('red', 'texas', 'usa'), ('isen', 'utah', 'usa');"
        )
    schema = read_schema(target_of(path))
    assert " ".join(word.folded for word in without_idle(words_of(question), schema)) == kept


def test_a_statement_that_joins_all_with_all_gives_way_to_an_example(peaks: Path) -> None:
    crossed = (
        "SELECT DISTINCT region.region_name FROM region JOIN stream ON region.planet = stream.planet "
        "WHERE stream.stream_name = 'isen'"
    )
    written = GeneratedQuery(crossed, "the regions with a stream", (), 0.9, "embedded")
    examples = {"through which regions runs the lune": "SELECT region_name FROM stream WHERE stream_name = 'lune'"}
    assert follows(peaks, examples, "name the regions which the isen crosses", written) == [("carn",)]


@pytest.mark.parametrize("said", ["which streams flow in arda", "what streams traverse arda"])
def test_words_that_people_use_for_each_other_are_one(peaks: Path, said: str) -> None:
    examples = {
        "which streams run through carn": "SELECT stream_name FROM stream WHERE region_name = 'carn'",
        "which streams rise in carn": "SELECT stream_name FROM stream WHERE source = 'carn'",
    }
    assert follows(peaks, examples, said) == [("lune",)]
