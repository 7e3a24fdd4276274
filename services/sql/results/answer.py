"""The sentence that says a result, in the question's language."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.sql.language.tokens import is_vietnamese
from services.sql.language.words import spoken_name
from services.sql.query import GeneratedQuery
from services.sql.results import figures, spoken
from services.sql.results.digest import Digest, Role
from services.sql.schema import Schema
from services.sql.values import EXACT

# Rows and columns that a sentence can hold; beyond them it names the first few.
SPOKEN_ROWS = 5
SPOKEN_COLUMNS = 4

_WORDS = {
    "en": {
        "none": "Nothing matches.",
        "one": "The answer is {0}.",
        "row": "The answer is: {0}.",
        "many": "There are {0} results: {1}.",
        "more": "There are {0} results; the first are: {1}.",
        "cut": "There are more than {0} results; the first are: {1}.",
        "range": "There are {0} results. Highest {1}: {2}; lowest: {3}.",
        "period": "There are {0} results from {1} to {2}. Highest {3}: {4}; lowest: {5}.",
        "total": "Total {0}: {1}.",
        "count": "count",
        "average": "average",
        "empty": "nothing",
        "yes": "yes",
        "no": "no",
    },
    "vi": {
        "none": "Không có kết quả nào.",
        "one": "Kết quả là {0}.",
        "row": "Kết quả là: {0}.",
        "many": "Có {0} kết quả: {1}.",
        "more": "Có {0} kết quả; đầu tiên là: {1}.",
        "cut": "Có hơn {0} kết quả; đầu tiên là: {1}.",
        "range": "Có {0} kết quả. {1} cao nhất: {2}; thấp nhất: {3}.",
        "period": "Có {0} kết quả từ {1} đến {2}. {3} cao nhất: {4}; thấp nhất: {5}.",
        "total": "Tổng {0}: {1}.",
        "count": "số lượng",
        "average": "trung bình",
        "empty": "trống",
        "yes": "có",
        "no": "không",
    },
}


def sentence(
    question: str,
    query: GeneratedQuery,
    schema: Schema,
    digest: Digest,
    rows: Sequence[Sequence[object]],
    truncated: bool,
    chosen_by: tuple[str, object] | None = None,
) -> str:
    """Says a result.

    Args:
        question: What was asked; its language is the answer's.
        query: What gave the result; a single figure is named by what it does.
        schema: The database's.
        digest: The whole result's.
        rows: The first rows.
        truncated: Whether there are more than the digest has seen.
        chosen_by: What the single row was chosen by, in words, and its figure.
    """
    language = "vi" if is_vietnamese(question) else "en"
    words = _WORDS[language]
    row_count, columns = digest.rows, [item.column.name for item in digest.columns]
    if row_count == 0 or not rows:
        return words["none"]
    if row_count == 1 and not truncated:
        if len(columns) == 1:
            return _figure(question, query, schema, rows[0][0], language, chosen_by)
        pairs = zip(columns, rows[0], strict=True)
        return words["row"].format(", ".join(f"{spoken_name(name)} {_said(value, language)}" for name, value in pairs))
    measured = None if truncated else _measured(query, schema, digest, rows, language)
    if measured is not None:
        return measured
    listed = "; ".join(_row(row, language) for row in rows[:SPOKEN_ROWS])
    key = "cut" if truncated else "more" if row_count > SPOKEN_ROWS else "many"
    return words[key].format(_said(row_count, language), listed)


def _measured(
    query: GeneratedQuery, schema: Schema, digest: Digest, rows: Sequence[Sequence[object]], language: str
) -> str | None:
    """Several rows with one measure each: all of them with their total, or the range; None for other results."""
    measures, labels = digest.of(Role.MEASURE), digest.of(Role.CATEGORY, Role.TIME, Role.YEAR)
    if len(measures) != 1 or not labels or len(digest.columns) > SPOKEN_COLUMNS:
        return None
    (measure,) = measures
    words = _WORDS[language]
    count = _said(digest.rows, language)
    place = digest.columns.index(measure)
    name = _measure_name(measure.column.name, language)
    total = ""
    if _additive(query.sql, place, schema):
        total = " " + words["total"].format(name, _said(_whole(measure.total), language))
    if digest.rows <= SPOKEN_ROWS:
        listed = "; ".join(_row(row, language) for row in rows)
        return words["many"].format(count, listed) + total
    if measure.lowest is None or measure.highest is None or measure.lowest[0] == measure.highest[0]:
        return None
    others = [index for index, item in enumerate(digest.columns) if item in labels]

    def labelled(row: Sequence[object]) -> str:
        label = ", ".join(_said(row[index], language) for index in others)
        return f"{label} ({_said(row[place], language)})"

    highest, lowest = labelled(measure.highest[1]), labelled(measure.lowest[1])
    said = name if language == "en" else name[:1].upper() + name[1:]
    if len(labels) == 1 and labels[0].role is Role.TIME:
        first, last = min(map(str, labels[0].distinct)), max(map(str, labels[0].distinct))
        return words["period"].format(count, first[:10], last[:10], said, highest, lowest) + total
    return words["range"].format(count, said, highest, lowest) + total


def _measure_name(name: str, language: str) -> str:
    """A measure's column in words; what engines call their computed columns in the language's own."""
    spoken_as = spoken_name(name) or name
    if "(" in name:
        kind = re.match(r"\W*(count|avg)\W", name.lower())
        return _WORDS[language][{"count": "count", "avg": "average"}[kind[1]]] if kind else name
    return _WORDS[language].get(spoken_as, spoken_as)


def _additive(sql: str, place: int, schema: Schema) -> bool:
    """Whether the sum of a column over the groups means something: it counts or sums rows, each in one group."""
    try:
        tree = sqlglot.parse_one(sql, dialect=schema.dialect.grammar)
    except SqlglotError:
        return False
    if (
        not isinstance(tree, exp.Select)
        or len(tree.expressions) <= place
        or tree.args.get("limit")
        or not tree.args.get("group")
    ):
        return False
    if tree.args.get("having") or tree.args.get("joins"):
        # Groups are missing, or a row may be in several.
        return False
    node = tree.expressions[place].unalias()
    return isinstance(node, exp.Sum) or (isinstance(node, exp.Count) and not isinstance(node.this, exp.Distinct))


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < EXACT else number


def _figure(
    question: str,
    query: GeneratedQuery,
    schema: Schema,
    value: object,
    language: str,
    chosen_by: tuple[str, object] | None,
) -> str:
    """A single value with what it is, where the query says that exactly."""
    figure = figures.read(query.sql, schema) if value is not None else None
    said = _said(value, language)
    if chosen_by is not None and chosen_by[1] is not None:
        name = "" if figure is not None else f"{_measure_name(chosen_by[0], language)} "
        said = f"{said} ({name}{_said(chosen_by[1], language)})"
    if figure is None:
        return _WORDS[language]["one"].format(said)
    return spoken.language(question, query.links, language).say(figure, said)


def _row(row: Sequence[object], language: str) -> str:
    return ", ".join(_said(value, language) for value in row[:SPOKEN_COLUMNS])


def _said(value: object, language: str) -> str:
    """A value as people write it: numbers in groups of three with the language's signs."""
    words = _WORDS[language]
    if value is None:
        return words["empty"]
    if isinstance(value, bool):
        return words["yes"] if value else words["no"]
    if isinstance(value, (int, float)):
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")
        return text.translate(str.maketrans(",.", ".,")) if language == "vi" else text
    return str(value)
