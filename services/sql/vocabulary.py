"""What people may say about a database: sentences that make a speech recogniser understand questions about it.

A recogniser builds a small language model from them, so they repeat the question forms that the embedded engine reads,
filled with the database's own words: names of tables and columns as they are spoken, and values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.sql.linking import revenue_columns
from services.sql.schema import Column, Kind, Schema, Table
from services.sql.words import fold, lemma, plural, split_name, spoken_name

MAX_PHRASES = 6000
MAX_VALUES = 60
MAX_VALUE_WORDS = 4
# Beyond so many values a column holds names: each comes in so many forms.
FEW_VALUES = 20
NAME_FORMS = 3

_NUMBERS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "twelve",
    "fifteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "one hundred",
    "two hundred",
    "five hundred",
    "one thousand",
    "two thousand",
]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_YEARS = (
    "twenty twenty three",
    "twenty twenty four",
    "twenty twenty five",
    "twenty twenty six",
    "last year",
    "this year",
    "last month",
    "this month",
    "last week",
)
_ALONE = (
    "how many {many} are there",
    "how many {many} do we have",
    "list all {many}",
    "show all {many}",
    "show me the {many}",
    "show me all {many}",
    "count the {many}",
    "what is the number of {many}",
    "list the {many}",
    "give me the {many}",
    "how many different {many} are there",
)
_COLUMN = (
    "show the {column} of each {one}",
    "list the {columns} of all {many}",
    "what are the {columns} of the {many}",
    "show the {columns} of {many}",
    "how many {many} are there for each {column}",
    "how many {many} per {column}",
    "list {many} by {column}",
    "show the number of {many} for each {column}",
    "what are the different {columns}",
    "which {column} has the most {many}",
    "list the {many} sorted by {column}",
    "number of {many} by {column}",
)
_MEASURE = (
    "what is the average {column} of {many}",
    "what is the total {column} of {many}",
    "what is the average {column}",
    "what is the highest {column}",
    "what is the lowest {column}",
    "which {one} has the highest {column}",
    "which {one} has the lowest {column}",
    "show the top {number} {many} by {column}",
    "what is the total {column}",
    "how many {many} have a {column} above {number}",
    "which {many} have a {column} below {number}",
    "{many} with {column} greater than {number}",
    "{many} with {column} less than {number}",
    "what is the average {column} for each {one}",
    "list the {number} {many} with the highest {column}",
    "show {many} with a {column} of more than {number}",
    "what is the maximum {column} of the {many}",
    "what is the minimum {column} of the {many}",
    "what is the total {column} per {one}",
    "show the {many} ordered by {column} descending",
)
_RELATED = (
    "how many {other} does each {one} have",
    "which {one} has the most {other}",
    "which {one} has the fewest {other}",
    "which {many} have no {other}",
    "list {many} without {other}",
    "show the number of {other} for each {one}",
    "how many {other} per {one}",
    "top {number} {many} by number of {other}",
    "which {many} have {other}",
    "which {many} have more than {number} {other}",
    "how many {many} have no {other}",
    "how many {many} have {other}",
    "list the {other} of each {one}",
    "which {many} never had {other}",
    "show {number} {many} with the most {other}",
)
_VALUE = (
    "how many {many} are in {value}",
    "how many {many} are from {value}",
    "show all {many} in {value}",
    "list the {many} from {value}",
    "which {many} are in {value}",
    "how many {many} are {value}",
    "show the {many} with {column} {value}",
    "{many} whose {column} is {value}",
    "{many} in {value}",
    "how many {value} {many} are there",
    "list all {value} {many}",
    "how many {many} are not {value}",
)
_RELATED_VALUE = (
    "how many {other} are there from {value}",
    "show the {other} of {value}",
    "how many {other} did {value} have",
    "how many {other} were made by {many} in {value}",
    "list the {other} in {value}",
    "which {other} are in {value}",
    "what is the number of {other} in {value}",
    "how many {other} are in {value}",
    "{other} in {value}",
)
_DATED = (
    "how many {many} were there in {month}",
    "how many {many} in {month} {year}",
    "show {many} in {year}",
    "show the {many} since {month}",
    "how many {many} in {year}",
    "list the {many} before {month} {year}",
    "how many {many} after {month}",
    "show the latest {many}",
    "what is the newest {one}",
    "what is the oldest {one}",
    "how many {many} per month",
    "how many {many} per year",
    "the {number} most recent {many}",
)


_REVENUE = (
    "what is the total revenue",
    "show the total revenue",
    "total revenue per {one}",
    "what is the total revenue for each {one}",
    "which {one} has the highest revenue",
    "revenue by {one}",
)


def vocabulary(schema: Schema) -> list[str]:
    """Example sentences and phrases about a database, lower case, without punctuation, each once; at most MAX_PHRASES.

    Forms come in turns over the tables, so that a bound that cuts the list off takes a little from each.
    """
    sources = [_sentences(schema, table) for table in schema.tables]
    found: dict[str, None] = {}
    while sources and len(found) < MAX_PHRASES:
        for source in list(sources):
            sentence = next(source, None)
            if sentence is None:
                sources.remove(source)
            else:
                found[re.sub(r"\s+", " ", sentence).strip().lower()] = None
    return list(found)[:MAX_PHRASES]


def _sentences(schema: Schema, table: Table) -> Iterator[str]:
    """What people say about one table."""
    one, many = _names(table)
    numbers = _cycle(_NUMBERS)
    words = {"one": one, "many": many}
    yield from (form.format(**words) for form in _ALONE)
    if any(map(revenue_columns, schema.tables)):
        yield from (form.format(**words) for form in _REVENUE)
    others = [_names(other)[1] for other in _neighbours(schema, table)]
    columns = [column for column in table.columns if column.name not in table.key_columns]
    for column in columns:
        spoken = spoken_name(column.name)
        named = {**words, "column": spoken, "columns": _many(spoken)}
        yield from (form.format(**named) for form in _COLUMN)
        if column.numeric:
            yield from (form.format(**named, number=next(numbers)) for form in _MEASURE)
    for other in others:
        yield from (form.format(**words, other=other, number=next(numbers)) for form in _RELATED)
    if any(column.temporal for column in columns):
        yield from _dated(words, numbers)
    for column in columns:
        yield from _valued(column, words, others)


def _valued(column: Column, words: dict[str, str], others: list[str]) -> Iterator[str]:
    """What people say about a column's values; of a column with many (names), each value comes in a few forms only."""
    values = _spoken_values(column)
    forms = [form.replace("{column}", spoken_name(column.name)) for form in (*_VALUE, *_RELATED_VALUE)]
    many_values = len(values) > FEW_VALUES
    turns = _cycle(forms)
    for value in values:
        for form in [next(turns) for _ in range(NAME_FORMS)] if many_values else forms:
            for other in others[: 1 if many_values else None] if "{other}" in form else [""]:
                yield form.format(**words, other=other, value=value)


def _dated(words: dict[str, str], numbers: Iterator[str]) -> Iterator[str]:
    years = _cycle(list(_YEARS))
    for month in _MONTHS:
        for form in _DATED:
            yield form.format(**words, month=month, year=next(years), number=next(numbers))


def _names(table: Table) -> tuple[str, str]:
    """A table's name as people say it: of one row, and of several."""
    words = split_name(table.name) or (table.name.lower(),)
    one = " ".join([*words[:-1], lemma(words[-1])])
    return one, _many(one)


def _many(spoken: str) -> str:
    *head, last = spoken.split() or [""]
    return " ".join([*head, plural(last)])


def _neighbours(schema: Schema, table: Table) -> list[Table]:
    """Tables that a foreign key joins to this one, and those one further through it."""

    def direct(name: str) -> list[str]:
        leaving = [key.referred_table for key in schema.by_name[name].foreign_keys]
        return leaving + [
            other.name for other in schema.tables for key in other.foreign_keys if key.referred_table == name
        ]

    near = direct(table.name)
    names = dict.fromkeys([*near, *(far for name in near for far in direct(name))])
    return [schema.by_name[name] for name in names if name != table.name]


def _spoken_values(column: Column) -> list[str]:
    """Values that can be said: words, not codes or addresses; spread over the whole list."""
    if column.kind is not Kind.TEXT:
        return []
    good = [fold(value) for value in column.values if re.fullmatch(r"[^\W\d_]+([ '-][^\W\d_]+)*", value)]
    good = [value for value in good if len(value.split()) <= MAX_VALUE_WORDS]
    return good[:: max(1, len(good) // MAX_VALUES)][:MAX_VALUES]


def _cycle(items: list[str]) -> Iterator[str]:
    while True:
        yield from items
