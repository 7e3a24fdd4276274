"""Questions as tokens: days, ranges and numbers as people write them."""

from __future__ import annotations

import pytest

from services.sql.language.tokens import tokenize
from services.sql.language.words import split_name


@pytest.mark.parametrize(
    ("question", "day", "written"),
    [
        ("hired after September 7th, 1987", "1987-09-07", "September 7th, 1987"),
        ("hired after Sept. 7 1987", "1987-09-07", "Sept. 7 1987"),
        ("the 7th of September, 1987 and later", "1987-09-07", "7th of September, 1987"),
        ("on 13/2/2020", "2020-02-13", "13/2/2020"),
        ("on 2/13/2020", "2020-02-13", "2/13/2020"),
        ("đơn hàng trước ngày 7 tháng 9 năm 2024", "2024-09-07", "ngày 7 tháng 9 năm 2024"),
        ("đơn hàng sau 7/9/1987", "1987-09-07", "7/9/1987"),
    ],
)
def test_a_day_is_one_token_however_it_is_written(question: str, day: str, written: str) -> None:
    (token,) = [token for token in tokenize(question) if token.text == day]
    assert question[token.start : token.end] == written


@pytest.mark.parametrize("question", ["on 7/9/1987", "on February 31, 2001", "on 40/40/2001"])
def test_what_may_be_another_day_or_is_none_stays_as_it_is(question: str) -> None:
    assert not [token for token in tokenize(question) if "-" in token.text]


def test_a_value_that_reads_like_a_day_stays_a_value() -> None:
    known = {("september", "7", ",", "1987")}
    assert "september" in [token.word for token in tokenize("Who was born on September 7, 1987?", known.__contains__)]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("between -50 and 50", ["between", "-50", "and", "50"]),
        ("COVID-19 in 2-3 days", ["covid-19", "in", "2-3", "days"]),
        ("from 5 to 10", ["between", "5", "and", "10"]),
        ("from Hanoi to Hue", ["from", "hanoi", "to", "hue"]),
        ("in 2005 or later", ["since", "2005"]),
        ("in year 2005 or after", ["since", "2005"]),
        ("in or before 2005", ["until", "2005"]),
        ("in 2005 or 2006", ["in", "2005", "or", "2006"]),
        ("in or", ["in", "or"]),
    ],
)
def test_ranges_have_one_form(question: str, words: list[str]) -> None:
    assert [token.word for token in tokenize(question)] == words


def test_a_number_may_be_below_zero() -> None:
    assert [token.number for token in tokenize("above -5.5")] == [None, -5.5]


@pytest.mark.parametrize(
    ("name", "words"), [("Fname", "first name"), ("LNAME", "last name"), ("driver_surname", "driver last name")]
)
def test_names_that_are_run_together_come_apart(name: str, words: str) -> None:
    assert split_name(name) == tuple(words.split())
