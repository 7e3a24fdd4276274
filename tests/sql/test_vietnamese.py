"""Vietnamese questions: our own test set, names and values of Vietnamese schemas, spelling mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench import sql_vietnamese as own
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.language.vietnamese_names import english_name
from services.sql.language.words import split_name, unmarked
from services.sql.meaning.understanding import understand
from services.sql.schema import Schema


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[own.Shelf]:
    with closing(own.Shelf(tmp_path_factory.mktemp("vietnamese"))) as found:
        yield found


def test_every_question_has_an_answer_in_its_database(shelf: own.Shelf) -> None:
    asked = own.questions()
    assert len(asked) == len({item.question for item in asked}) == 100
    assert Counter(item.db for item in asked) == {"shop": 40, "nhan_su": 30, "library": 30}
    assert sum(item.held_out for item in asked) == 30
    assert [item.id for item in asked if not shelf.rows(item.db, item.gold_sql)] == []


@pytest.mark.parametrize(
    ("change", "least"), [(str, 75), (unmarked, 70), (own.misspelt, 58)], ids=["written", "unmarked", "misspelt"]
)
def test_most_of_them_are_answered_right(shelf: own.Shelf, change: own.Change, least: int) -> None:
    engine = EmbeddedEngine()
    right = [item.id for item in own.questions() if own.right(shelf, engine, item, change(item.question))[0]]
    assert len(right) >= least


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nhan_vien", ("employee",)), ("ngay_vao_lam", ("hired", "date")), ("ten_phong", ("department", "name")),
        ("maNV", ("employee", "id")), ("khóa_học", ("course",)), ("số_buổi", ("sessions",)), ("LUONG", ("salary",)),
        ("cham_cong", ("cham", "cong")),
    ],
)  # fmt: skip
def test_vietnamese_names_are_read_as_english_ones(name: str, words: tuple[str, ...]) -> None:
    assert split_name(name) == words


@pytest.mark.parametrize("name", ["song", "song_name", "no", "to", "an_id", "ten", "the_name", "so", "kho", "email"])
def test_english_names_stay(name: str) -> None:
    assert english_name(tuple(name.split("_"))) == ()


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("how many custmers are in Hanoi", "SELECT COUNT(*) AS count FROM customers WHERE city = 'Hanoi'"),
        ("how many customers are in Hnaoi", "SELECT COUNT(*) AS count FROM customers WHERE city = 'Hanoi'"),
        ("averege salary of employees", "SELECT AVG(salary) AS average_salary FROM employees"),
        ("Có bao nihêu khách hàng?", "SELECT COUNT(*) AS count FROM customers"),
        ("co bao nhieu khcah hang o Hue", "SELECT COUNT(*) AS count FROM customers WHERE city = 'Hue'"),
    ],
)
def test_one_typo_does_no_harm(shop_schema: Schema, question: str, sql: str) -> None:
    assert EmbeddedEngine().answer(question, shop_schema).sql == sql


@pytest.mark.parametrize("word", ["weather", "rabbits", "Hannover", '"custmers"'])
def test_a_word_that_is_like_nothing_stays(shop_schema: Schema, word: str) -> None:
    engine = EmbeddedEngine()
    read = understand(f"how many customers and {word}", shop_schema, *engine.index(shop_schema))
    assert read.tokens[-1].text == word.strip('"')


def test_the_bench_prints_its_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own.main(["--errors", str(tmp_path / "errors.txt")])
    out = capsys.readouterr().out
    assert "without diacritics" in out
    held_out = {item.id for item in own.questions() if item.held_out}
    assert not any(identifier in (tmp_path / "errors.txt").read_text() for identifier in held_out)
