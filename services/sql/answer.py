"""The sentence that says a result, in the question's language."""

from __future__ import annotations

from collections.abc import Sequence

from services.sql import figures, spoken
from services.sql.query import GeneratedQuery
from services.sql.schema import Schema
from services.sql.tokens import is_vietnamese
from services.sql.words import spoken_name

# Rows and columns that a sentence can hold; beyond them it names the first few.
SPOKEN_ROWS = 5
SPOKEN_COLUMNS = 4

_WORDS = {
    "en": {"none": "Nothing matches.", "one": "The answer is {0}.", "row": "The answer is: {0}.",
           "many": "There are {0} results: {1}.", "more": "There are {0} results; the first are: {1}.",
           "cut": "There are more than {0} results; the first are: {1}.", "empty": "nothing", "yes": "yes", "no": "no"},
    "vi": {"none": "Không có kết quả nào.", "one": "Kết quả là {0}.", "row": "Kết quả là: {0}.",
           "many": "Có {0} kết quả: {1}.", "more": "Có {0} kết quả; đầu tiên là: {1}.",
           "cut": "Có hơn {0} kết quả; đầu tiên là: {1}.", "empty": "trống", "yes": "có", "no": "không"},
}  # fmt: skip


def sentence(
    question: str,
    query: GeneratedQuery,
    schema: Schema,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    row_count: int,
    truncated: bool,
) -> str:
    """Says a result.

    Args:
        question: What was asked; its language is the answer's.
        query: What gave the result; a single figure is named by what it does.
        schema: The database's.
        columns: Names of the columns.
        rows: The first rows.
        row_count: How many rows there are.
        truncated: Whether there are more than that.
    """
    language = "vi" if is_vietnamese(question) else "en"
    words = _WORDS[language]
    if row_count == 0 or not rows:
        return words["none"]
    if row_count == 1 and not truncated:
        if len(columns) == 1:
            return _figure(question, query, schema, rows[0][0], language)
        pairs = zip(columns, rows[0], strict=True)
        return words["row"].format(", ".join(f"{spoken_name(name)} {_said(value, language)}" for name, value in pairs))
    listed = "; ".join(_row(row, language) for row in rows[:SPOKEN_ROWS])
    key = "cut" if truncated else "more" if row_count > SPOKEN_ROWS else "many"
    return words[key].format(_said(row_count, language), listed)


def _figure(question: str, query: GeneratedQuery, schema: Schema, value: object, language: str) -> str:
    """A single value with what it is, where the query says that exactly."""
    figure = figures.read(query.sql, schema) if value is not None else None
    said = _said(value, language)
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
