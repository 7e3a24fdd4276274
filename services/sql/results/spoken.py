"""Says what a single figure is, in English and Vietnamese."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from typing import Protocol

from services.sql.language.spoken_names import known_vietnamese
from services.sql.language.words import fold, lemma, listed, plural, split_name, spoken_name
from services.sql.meaning.frame import Ref
from services.sql.query import Link
from services.sql.results.figures import Comparison, Condition, Figure, Measure

_PLACES = frozenset(listed("city state country region town province district county"))
_NAMES = frozenset(listed("name title"))
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Language(Protocol):
    """Says a figure in one language."""

    def say(self, figure: Figure, value: str) -> str:
        """The sentence; `value` is the figure as text."""


class English:
    """Says figures in English."""

    def say(self, figure: Figure, value: str) -> str:
        """The sentence, e.g. `There are 33 customers in Hanoi.` or `Average price of products: 251.3.`."""
        rows = _many(figure.table)
        if figure.measure is Measure.COUNT and not figure.without and _only_places(figure):
            rows = _one(figure.table) if value == "1" else rows
            counted = f"There {'is' if value == '1' else 'are'} {'no' if value == '0' else value} {rows}"
            return f"{counted}{self._places(figure.conditions)}."
        return f"{self._subject(figure, rows)}{self._where(figure)}: {value}."

    def _places(self, conditions: Sequence[Condition]) -> str:
        return f" in {' or '.join(conditions[0].values)}" if conditions else ""

    def _subject(self, figure: Figure, rows: str) -> str:
        if figure.measure is Measure.COUNT:
            return f"Number of {rows}"
        column = " times ".join(_relative(ref, figure.table) for ref in figure.columns)
        if figure.measure is Measure.DIFFERENT:
            return f"Number of different {column} values of {rows}"
        if figure.measure is Measure.VALUE:
            if figure.ranked is None:
                return f"{_capital(column)} of {rows}"
            rank = f"with the {'highest' if figure.descending else 'lowest'} {_relative(figure.ranked, figure.table)}"
            owner = _one(figure.table)
            return _capital(f"{owner} {rank}" if _names(figure) else f"{column} of the {owner} {rank}")
        return f"{_capital(figure.measure.value)} {column} of {rows}"

    def _where(self, figure: Figure) -> str:
        said = [f"{_relative(item.ref, figure.table)} {self._compared(item)}" for item in figure.conditions]
        without = "".join(f" without {_many(table)}" for table in figure.without)
        return without + (f" where {' and '.join(said)}" if said else "")

    def _compared(self, item: Condition) -> str:
        if item.average:
            return f"is {item.test.value} the average"
        first, last = item.values[0], item.values[-1]
        match item.test:
            case Comparison.IS | Comparison.IS_NOT:
                return f"{item.test.value} {' or '.join(item.values)}"
            case Comparison.CONTAINS:
                return f"contains {first}"
            case Comparison.STARTS | Comparison.ENDS:
                return f"{item.test.value} with {first}"
            case Comparison.BETWEEN:
                return f"is from {first} to {last}"
            case Comparison.IN_MONTH:
                return f"is in {calendar.month_name[int(last)]} {first}"
            case Comparison.IN_YEAR:
                return f"is in {first}"
            case Comparison.FROM:
                return f"is {first} or {'later' if _DATE.match(first) else 'more'}"
            case _:
                dated = {Comparison.OVER: "after", Comparison.UNDER: "before"} if _DATE.match(first) else {}
                return f"is {dated.get(item.test, item.test.value)} {first}"


class Vietnamese:
    """Says figures in Vietnamese, with the question's words for what it names.

    Args:
        question: The question.
        links: What its words stand for.
    """

    def __init__(self, question: str, links: Sequence[Link]) -> None:
        self._words: dict[tuple[str, str, str], str] = {}
        for link in links:
            words = question[link.start : link.end]
            # Diacritics tell words of the question's language from names of the database.
            if fold(words) != words.lower() or link.value:
                self._words.setdefault((link.table, link.column, link.value), words)

    def say(self, figure: Figure, value: str) -> str:
        """The sentence, e.g. `Có 33 khách hàng ở Hà Nội.` or `Giá trung bình của sản phẩm: 251,3.`."""
        rows = self._table(figure.table)
        if figure.measure is Measure.COUNT and not figure.without and _only_places(figure):
            places = "".join(f" ở {self._values(item)}" for item in figure.conditions)
            return f"Không có {rows} nào{places}." if value == "0" else f"Có {value} {rows}{places}."
        return f"{_capital(self._subject(figure, rows))}{self._where(figure)}: {value}."

    def _subject(self, figure: Figure, rows: str) -> str:
        if figure.measure is Measure.COUNT:
            return f"số {rows}"
        column = " nhân ".join(self._column(ref, figure.table) for ref in figure.columns)
        match figure.measure:
            case Measure.DIFFERENT:
                return f"số {column} khác nhau của {rows}"
            case Measure.TOTAL:
                return f"tổng {column} của {rows}"
            case Measure.AVERAGE:
                return f"{column} trung bình của {rows}"
            case Measure.HIGHEST:
                return f"{column} cao nhất của {rows}"
            case Measure.LOWEST:
                return f"{column} thấp nhất của {rows}"
        if figure.ranked is None:
            return f"{column} của {rows}"
        rank = f"có {self._column(figure.ranked, figure.table)} {'cao' if figure.descending else 'thấp'} nhất"
        return f"{rows} {rank}" if _names(figure) else f"{column} của {rows} {rank}"

    def _where(self, figure: Figure) -> str:
        said = [f"{self._column(item.ref, figure.table)} {self._compared(item)}" for item in figure.conditions]
        without = "".join(f" không có {self._table(table)}" for table in figure.without)
        return without + (f" có {' và '.join(said)}" if said else "")

    def _compared(self, item: Condition) -> str:
        verbs = {
            Comparison.IS: "là", Comparison.IS_NOT: "khác", Comparison.OVER: "trên", Comparison.FROM: "từ",
            Comparison.UNDER: "dưới", Comparison.UP_TO: "tối đa", Comparison.CONTAINS: "chứa",
            Comparison.STARTS: "bắt đầu bằng", Comparison.ENDS: "kết thúc bằng",
        }  # fmt: skip
        if item.average:
            return f"{verbs[item.test]} mức trung bình"
        match item.test:
            case Comparison.BETWEEN:
                return f"từ {item.values[0]} đến {item.values[1]}"
            case Comparison.IN_MONTH:
                return f"trong tháng {item.values[1]} năm {item.values[0]}"
            case Comparison.IN_YEAR:
                return f"trong năm {item.values[0]}"
        trailing = " trở lên" if item.test is Comparison.FROM else ""
        return f"{verbs[item.test]} {self._values(item)}{trailing}"

    def _values(self, item: Condition) -> str:
        return " hoặc ".join(self._words.get((*item.ref, value), value) for value in item.values)

    def _table(self, table: str) -> str:
        return self._words.get((table, "", ""), "").lower() or known_vietnamese(_one(table)) or spoken_name(table)

    def _column(self, ref: Ref, main: str) -> str:
        table, column = ref
        if table != main and _is_name(column):
            return self._table(table)
        # A question's words for a column may hold more than its name: "giá trung bình".
        asked = self._words.get((table, column, ""), "").lower()
        own = known_vietnamese(spoken_name(column)) or asked or spoken_name(column)
        return own if table == main else f"{own} của {self._table(table)}"


def language(question: str, links: Sequence[Link], code: str) -> Language:
    """The language of that code, `en` or `vi`."""
    return Vietnamese(question, links) if code == "vi" else English()


def _only_places(figure: Figure) -> bool:
    """Whether nothing is asked of the rows but where they are."""
    return len(figure.conditions) <= 1 and all(
        item.test is Comparison.IS and item.ref[0] == figure.table and item.ref[1].lower() in _PLACES
        for item in figure.conditions
    )


def _names(figure: Figure) -> bool:
    """Whether the column that is shown names the row of the figure's table."""
    return len(figure.columns) == 1 and figure.columns[0][0] == figure.table and _is_name(figure.columns[0][1])


def _is_name(column: str) -> bool:
    return set(split_name(column)) <= _NAMES


def _many(table: str) -> str:
    *head, last = spoken_name(table).split() or [table]
    return " ".join([*head, plural(last)])


def _one(table: str) -> str:
    *head, last = spoken_name(table).split() or [table]
    return " ".join([*head, lemma(last)])


def _relative(ref: Ref, main: str) -> str:
    """A column, with its table's name where that is not the main one: `city`, `customer city`, `category`."""
    table, column = ref
    if table == main:
        return spoken_name(column)
    words = spoken_name(column)
    if _is_name(column):
        return _one(table)
    return words if words.startswith(_one(table)) else f"{_one(table)} {words}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
