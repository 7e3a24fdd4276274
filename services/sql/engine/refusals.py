"""What is said where no answer is given, in English and in Vietnamese."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from services.sql.language.tokens import is_vietnamese
from services.sql.language.words import fold
from services.sql.schema import Schema

MOST_NEAR = 3
# How alike spellings must be to be suggested, from 0 to 1 (Ratcliff and Obershelp 1988).
_ALIKE = 0.7
# Bounds on what is compared.
_LOOKED_AT, _VALUES, _LONGEST = 200, 50, 40

_MESSAGES = {
    "writing": (
        "only questions are answered here; nothing is changed",
        "ở đây chỉ trả lời câu hỏi; không thay đổi dữ liệu",
    ),
    "unsupported": ("this cannot be answered yet: {}. Ask for a plain list, count, sum or average.",
        "chưa trả lời được phần này: {}. Hãy hỏi danh sách, số lượng, tổng hoặc trung bình."),
    "loose": ("it is not clear what these words are about: {}. Say it in other words.",
        "chưa rõ những từ này nói về gì: {}. Hãy hỏi bằng cách khác."),
    "unknown": ("these words mean nothing here: {}", "những từ này không có nghĩa ở đây: {}"),
    "nothing": ("it names nothing in this database", "câu hỏi không nhắc đến gì trong cơ sở dữ liệu này"),
    "unsure": (
        "the answer would not be sure enough ({}): {} Ask it differently, or with guess to get it anyway.",
        "câu trả lời chưa đủ chắc chắn ({}): {} Hãy hỏi cách khác, hoặc hỏi với guess để vẫn nhận câu trả lời.",
    ),
    "meant": ("Did you mean {}?", "Có phải bạn muốn nói {}?"),
    "tables": ("The tables are: {}.", "Các bảng là: {}."),
}  # fmt: skip
"""Refusals in English and in Vietnamese."""


def said(question: str, message: str, words: Sequence[str] = ()) -> str:
    """A refusal in the language of the question."""
    text = _MESSAGES[message][is_vietnamese(question)]
    return text.format(*words) if text.count("{}") > 1 else text.format(", ".join(words))


def not_about(question: str, unknown: Sequence[str], schema: Schema) -> str:
    """That a question is not about a database, which words mean nothing there, what is like them, and its tables."""
    tables = [table.name for table in schema.tables[:12]]
    reason = said(question, "unknown" if unknown else "nothing", unknown)
    near = list(dict.fromkeys(name for word in unknown for name in nearest(word, schema)))[:MOST_NEAR]
    meant = [said(question, "meant", near)] if near else []
    return " ".join([f"{reason}.", *meant, said(question, "tables", tables)])


def nearest(word: str, schema: Schema) -> list[str]:
    """Names of tables and columns, and values, that are spelt like a word, the most alike first."""
    names: dict[str, str] = {}
    for table in schema.tables[:_LOOKED_AT]:
        names.setdefault(fold(spoken_as_written(table.name)), spoken_as_written(table.name))
        for column in table.columns:
            names.setdefault(fold(spoken_as_written(column.name)), spoken_as_written(column.name))
            for value in column.values[:_VALUES]:
                if len(value) <= _LONGEST:
                    names.setdefault(fold(value), value)
    return [names[name] for name in difflib.get_close_matches(fold(word), names, 2, _ALIKE)]


def spoken_as_written(name: str) -> str:
    """A name without the signs between its words: `order_items` → `order items`, `khóa_học` → `khóa học`."""
    return " ".join(name.replace("_", " ").replace("-", " ").split())
