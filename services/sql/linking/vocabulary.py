"""What people may say about a database: sentences that make a speech recogniser understand questions about it.

A recogniser builds a small language model from them. So they are a sample of the questions that the embedded engine
reads, as even as can be: every form comes equally often for every table and column that it fits, filled in turns with
openings, numbers, months, and the database's own words: names of tables and columns as they are spoken, and values.
The sample is drawn without chance: the same schema gives the same sentences.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.sql.language.lexicon import SIGNS
from services.sql.language.words import lemma, plural, split_name, spoken_name
from services.sql.linking.linking import revenue_columns
from services.sql.schema import Column, Kind, Schema, Table

MAX_PHRASES = 6000
MAX_VALUES = 60
MAX_VALUE_WORDS = 4
# Beyond so many values a column holds names: each comes in so many forms.
FEW_VALUES = 20
NAME_FORMS = 3
# A column with no more values than that may hold kinds: cancelled orders, managers.
FEW_KINDS = 10
REPEATS = 3
"""How often a form comes for what it fits, each time filled differently."""
MORE = 4
"""So many times more often come forms with a slot that has many fillers: a number, a month, an aggregate."""

_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_DIGITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
# Round numbers come twice: people ask for the top three, five or ten.
_SMALL = [*_DIGITS[1:], "ten", "three", "twelve", "five", "fifteen", "ten", *_TENS[:2], "five", "fifty", "hundred"]
_LARGE = [
    *("ten", "fifteen", *_TENS, "one hundred"),
    *(f"{digit} hundred" for digit in _DIGITS),
    *(f"{digit} hundred fifty" for digit in _DIGITS[:4]),
    *(f"{digit} thousand" for digit in (*_DIGITS, "ten", "twenty", "fifty")),
    *(f"{digit} thousand five hundred" for digit in _DIGITS[:4]),
    *("fifteen hundred", "one hundred and fifty", "one hundred twenty five", "one hundred thousand", "one million"),
]
_YEARS = [f"twenty {year}" for year in ("twenty", "twenty one", "twenty two", "twenty three", "twenty four")]
_YEARS += ["twenty twenty five", "twenty twenty six", "two thousand twenty four", "twenty nineteen"]
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
# What forms are filled with, besides the words of the database.
_FILLERS: dict[str, Sequence[str]] = {
    "show": (
        "show",
        "list",
        "show me",
        "give me",
        "find",
        "display",
        "get",
        "what are",
        "tell me",
        "return",
        "which are",
    ),
    "all": ("all", "the", "all the", "all", "the", ""),
    "the": ("the", "all", ""),
    "few": _SMALL,
    "number": _LARGE,
    "over": ("over", "above", "greater than", "more than", "higher than", "at least", "larger than"),
    "under": ("under", "below", "less than", "lower than", "at most", "smaller than"),
    "high": ("highest", "lowest", "largest", "smallest", "biggest", "maximum", "minimum"),
    "aggregate": ("average", "total", "maximum", "minimum", "highest", "lowest", "sum of the"),
    "each": ("per", "for each", "in each", "by", "of each", "for every"),
    "month": _MONTHS,
    "year": _YEARS,
    "date": [f"{month} {year}" for month, year in zip(_MONTHS, itertools.cycle(_YEARS), strict=False)],
    "when": ("in", "after", "before", "since", "in", "during"),
    "period": ("month", "year"),
    "ago": ("last year", "this year", "last month", "this month", "last week", "today"),
    "none": ("no", "without", "with no", "that have no", "who have no", "which have no"),
    "most": ("most", "fewest", "most", "least"),
    "from": ("in", "from", "of", "in"),
    "which": ("which", "what"),
}
_TABLE = (
    "how many {many} are there",
    "how many {many} do we have",
    "how many {many} are in the database",
    "what is the number of {many}",
    "number of {many}",
    "count {all} {many}",
    "{show} {all} {many}",
    "{show} {all} {many}",
    "{show} me {all} {many}",
    "{show} the names of {all} {many}",
    "how many different {many} are there",
    "{show} the first {few} {many}",
)
_COLUMN = (
    "{show} the {columns} of {all} {many}",
    "{show} the {column} of each {one}",
    "{show} the {column} and {second} of each {one}",
    "{show} the {columns} and {seconds} of {all} {many}",
    "how many {many} are there {each} {column}",
    "how many {many} {each} {column}",
    "number of {many} {each} {column}",
    "{show} the number of {many} {each} {column}",
    "how many different {columns} are there",
    "{show} the different {columns} of the {many}",
    "which {column} has the {most} {many}",
    "{show} {all} {many} sorted by {column}",
    "{show} {all} {many} ordered by {column}",
    "{many} by {column}",
    "what is the {column} of the {one}",
)
_MEASURE = (
    "what is the {aggregate} {column}",
    "what is the {aggregate} {column} of {all} {many}",
    "what is the {aggregate} {column} of {many}",
    "what is the {aggregate} {column} {each} {one}",
    "what is the {aggregate} {column} {each} {other}",
    "{show} the {aggregate} {column} {each} {other}",
    "{which} {one} has the {high} {column}",
    "who has the {high} {column}",
    "{show} the top {few} {many} by {column}",
    "top {few} {many} by {column}",
    "{show} the {few} {many} with the {high} {column}",
    "{show} the {one} with the {high} {column}",
    "how many {many} have a {column} {over} {number}",
    "how many {many} have a {column} {under} {number}",
    "{which} {many} have a {column} {over} {number}",
    "{which} {many} have a {column} {under} {number}",
    "{show} {the} {many} with a {column} {over} {number}",
    "{show} {the} {many} with a {column} {under} {number}",
    "{show} {the} {many} with {column} {over} {number}",
    "{many} with {column} {under} {number}",
    "{show} {the} {many} with a {column} between {number} and {number}",
    "{show} {the} {many} sorted by {column} descending",
)
_PRICED = (
    "{which} {many} cost {over} {number}",
    "how many {many} cost {under} {number}",
    "{show} the {few} most expensive {many}",
    "{show} the {few} cheapest {many}",
    "what is the most expensive {one}",
    "{which} {one} is the cheapest",
    "what are the {few} cheapest {many}",
)
_PAID = (
    "{which} {many} earn {over} {number}",
    "how many {many} earn {over} {number}",
    "{which} {one} earns the most",
)
_RELATED = (
    "how many {others} does each {one} have",
    "{which} {one} has the {most} {others}",
    "{which} {one} has the {most} {others}",
    "{which} {many} have no {others}",
    "{show} {the} {many} without {others}",
    "{show} {the} {many} {none} {others}",
    "how many {many} have no {others}",
    "number of {others} {each} {one}",
    "{show} the number of {others} {each} {one}",
    "how many {others} are there {each} {one}",
    "how many {others} {each} {one}",
    "top {few} {many} by number of {others}",
    "{which} {many} have {over} {few} {others}",
    "how many {many} have more than {few} {others}",
    "{show} the {few} {many} with the {most} {others}",
    "{show} the {others} of each {one}",
)
_VALUE = (
    "how many {many} are in {value}",
    "how many {many} are {from} {value}",
    "{show} {the} {many} {from} {value}",
    "{show} {all} {many} {from} {value}",
    "{which} {many} are {from} {value}",
    "how many {many} live in {value}",
    "how many {others} did {many} {from} {value} make",
    "how many {others} are there {from} {value}",
    "{show} {the} {others} {from} {value}",
    "{which} {others} are {from} {value}",
    "how many {others} came from {value}",
    "what is the {aggregate} {measure} {from} {value}",
    "{show} {the} {value} {many}",
    "{many} {from} {value}",
    "{which} {others} are in the {value} {one}",
    "{show} {the} {others} of the {value} {one}",
    "{which} {many} work in {value}",
    "{show} {the} {many} with {column} {value}",
    "what is the {measure} of the {value}",
)
_NAME = (
    "{show} the {others} of {value}",
    "how many {others} does {value} have",
    "what is the {measure} of {value}",
    "how many {others} did {value} make",
    "{show} the {one} {value}",
    "what is the {measure} of the {value}",
    "{show} {all} {others} of the {one} {value}",
    "how many {others} are there for {value}",
)
_KIND = (
    "how many {many} are {value}",
    "how many {many} were {value}",
    "{show} {all} {value} {many}",
    "how many {value} {many} are there",
    "{show} {the} {many} that are {value}",
    "{show} {the} {many} that were {value}",
    "{which} {many} are {value}",
    "{which} {many} were {value}",
    "how many {many} are {values}",
    "{show} {all} {values}",
    "how many {values} are there",
    "how many {many} are not {value}",
    "{show} {the} {many} with {column} {value}",
    "{value} {many}",
)
_DATED = (
    "how many {many} were there {when} {month}",
    "how many {many} were {done} {when} {month}",
    "how many {many} were {done} {when} {date}",
    "how many {many} were {done} {when} {year}",
    "how many {many} {when} {year}",
    "how many {many} were there in {date}",
    "{show} {the} {many} from {date}",
    "{show} {the} {many} {when} {date}",
    "{show} {the} {many} {done} {when} {year}",
    "{show} {the} {many} {when} {month}",
    "how many {many} were {done} {ago}",
    "how many {many} per {period}",
    "{show} the {few} latest {many}",
    "what is the newest {one}",
    "what is the oldest {one}",
    "{show} the {few} most recent {many}",
)
_REVENUE = (
    "what is the total revenue",
    "{show} the total revenue",
    "total revenue {each} {one}",
    "what is the total revenue {each} {one}",
    "{which} {one} has the {high} revenue",
    "{show} the revenue {each} {one}",
)
_PLACED = ("made", "placed", "ordered", "sold")
_SLOT = re.compile(r"\{(\w+)\}")
_VARIED = re.compile(r"\{(few|number|aggregate|high)\}")
_PRICE = SIGNS["most", "expensive"].hints
_PAY = frozenset({"salary", "wage", "income", "pay"})


class _Forms:
    """Fills forms; each slot takes its fillers in turns, whichever form it stands in."""

    def __init__(self) -> None:
        self._turns = {slot: itertools.cycle(fillers) for slot, fillers in _FILLERS.items()}

    def fill(self, form: str, words: Mapping[str, str]) -> str:
        """The sentence, in lower case with single spaces."""
        said = _SLOT.sub(lambda slot: words[slot[1]] if slot[1] in words else next(self._turns[slot[1]]), form)
        return " ".join(said.lower().replace("me me", "me").split())


def vocabulary(schema: Schema) -> list[str]:
    """Example sentences about a database, lower case, without punctuation, each once; at most MAX_PHRASES.

    They come in turns over the tables, so that a bound that cuts the list off takes a little from each.
    """
    forms = _Forms()
    sources = [_sentences(schema, table, forms) for table in schema.tables]
    found: dict[str, None] = {}
    while sources and len(found) < MAX_PHRASES:
        for source in list(sources):
            sentence = next(source, None)
            if sentence is None:
                sources.remove(source)
            else:
                found[sentence] = None
    return list(found)[:MAX_PHRASES]


def _sentences(schema: Schema, table: Table, forms: _Forms) -> Iterator[str]:
    """What people say about one table: what they ask most about comes first."""
    one, many = _names(table)
    words = {"one": one, "many": many}
    others = [_names(other) for other in _neighbours(schema, table)]
    columns = [column for column in table.columns if column.name not in table.key_columns]
    general = [*_TABLE, *(_REVENUE if any(map(revenue_columns, schema.tables)) else ())]
    measures = [spoken_name(column.name) for column in columns if column.numeric] or ["number"]
    for turn in range(REPEATS):
        yield from (forms.fill(form, words) for form in general)
        for column in columns:
            yield from _of_column(column, columns, words, others, forms)
        for other in others:
            yield from (forms.fill(form, {**words, "others": other[1]}) for form in _RELATED)
        for column in columns if turn == 0 else ():
            yield from _valued(column, {**words, "measure": measures[0]}, others, forms)


def _of_column(
    column: Column,
    columns: Sequence[Column],
    words: Mapping[str, str],
    others: Sequence[tuple[str, str]],
    forms: _Forms,
) -> Iterator[str]:
    """What people say about a column, apart from its values."""
    spoken = spoken_name(column.name)
    parts = frozenset(spoken.split())
    named = {**words, "column": spoken, "columns": _many(spoken)}
    later = columns[(columns.index(column) + 1) % len(columns)]
    named |= {"second": spoken_name(later.name), "seconds": _many(spoken_name(later.name))}
    yield from (forms.fill(form, named) for form in _COLUMN)
    if column.temporal:
        done = itertools.cycle([spoken.split()[0]] if spoken.split()[0].endswith("ed") else _PLACED)
        yield from (forms.fill(form, {**named, "done": next(done)}) for form in _DATED * MORE)
    if not column.numeric:
        return
    groups = [one for one, _ in others] or [words["one"]]
    for form in _MEASURE:
        for group in groups if "{other}" in form else groups[:1]:
            yield forms.fill(form, {**named, "other": group})
    asked = [*(_PRICED if parts & {*_PRICE} else ()), *(_PAID if parts & _PAY else ())]
    varied = [form for form in (*_MEASURE, *asked) if "{other}" not in form and _VARIED.search(form)]
    yield from (forms.fill(form, named) for form in (*asked, *varied * (MORE - 1)))


def _valued(column: Column, words: dict[str, str], others: Sequence[tuple[str, str]], forms: _Forms) -> Iterator[str]:
    """What people say about a column's values; of a column with many (names), each value comes in a few forms only."""
    values = _spoken_values(column)
    names = len(values) > FEW_VALUES
    fitting = [form for form in (_NAME if names else _VALUE) if others or "{others}" not in form]
    turns = itertools.cycle(fitting)
    other = itertools.cycle(others or [("", "")])
    for value in values:
        said = {**words, "column": spoken_name(column.name), "value": value, "values": _many(value)}
        asked: Iterable[str] = itertools.islice(turns, NAME_FORMS) if names else fitting
        if len(values) <= FEW_KINDS:
            asked = itertools.chain(asked, _KIND)
        for form in asked:
            yield forms.fill(form, {**said, "others": next(other)[1]})


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
    """Values that can be said: words, not codes or addresses; spread over the whole list.

    With their diacritics: a recogniser may know by them how a name sounds.
    """
    if column.kind is not Kind.TEXT:
        return []
    good = [value.lower() for value in column.values if re.fullmatch(r"[^\W\d_]+([ '-][^\W\d_]+)*", value)]
    good = [value for value in good if len(value.split()) <= MAX_VALUE_WORDS]
    return good[:: max(1, len(good) // MAX_VALUES)][:MAX_VALUES]
