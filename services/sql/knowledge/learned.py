"""Joins what an engine writes with what the knowledge base has: the one place where both compete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.sql.examples.examples import Example, State
from services.sql.examples.recall import Candidate
from services.sql.knowledge.knowledge import Book, fingerprint, normal
from services.sql.language.tokens import is_vietnamese
from services.sql.query import MAX_ALTERNATIVES, Alternative, GeneratedQuery
from services.sql.schema import Schema

ENGINE = "examples"
# How sure an answer is that somebody approved, or gave, for just this question.
_APPROVED, _PROPOSED = 1.0, 0.97
# Below this, no statement follows from the examples alone.
MIN_CONFIDENCE = 0.25
# An engine's statement stays as it is where no example is more like the question than this.
_UNLIKE = 0.35
# Where something was judged wrong, so many candidates are held against that.
_LOOKED_AT = 8
_AFTER = ("as in the example “{}”", "như ví dụ “{}”")


def taught(question: str, schema: Schema, book: Book, engine: str) -> GeneratedQuery | None:
    """The answer that somebody gave to just this question; None where nobody did."""
    example = book.taught.get(normal(question))
    if example is None or fingerprint(question, example.sql, schema) in book.blocked:
        return None
    confidence = _APPROVED if example.state is State.APPROVED else _PROPOSED
    return GeneratedQuery(example.sql, _said(question, example), (), confidence, engine, examples=(example.id,))


def is_blocked(question: str, sql: str, schema: Schema, book: Book) -> bool:
    """Whether people said that this statement does not answer this question."""
    return bool(book.blocked) and fingerprint(question, sql, schema) in book.blocked


def joined(
    question: str, schema: Schema, book: Book, written: GeneratedQuery | None, engine: str
) -> GeneratedQuery | None:
    """The best of an engine's statement and of those that follow from examples.

    Args:
        question: The question.
        schema: The database's.
        book: Its examples.
        written: What the engine wrote without them; None where it refused.
        engine: The engine's name.

    Returns:
        The query; None where nothing is left that is sure enough and was not judged wrong.
    """
    statements = [] if written is None else [Alternative(written.sql, written.explanation, written.confidence)]
    statements += [] if written is None else list(written.alternatives)
    statements = [item for item in statements if not is_blocked(question, item.sql, schema, book)]
    if book.recall is None:
        return _first(written, statements)
    found = book.recall.ranked(question, [(item.sql, item.confidence) for item in statements[:1]])
    if book.blocked:
        found = [item for item in found[:_LOOKED_AT] if not is_blocked(question, item.sql(schema), schema, book)]
    nearest = max((item.figures.get("cosine", 0.0) for item in found), default=0.0)
    if not found or nearest < _UNLIKE or (not statements and found[0].confidence < MIN_CONFIDENCE):
        return _first(written, statements)
    best = found[0]
    if not best.examples:
        return _first(written, statements)
    others = [*_alternatives(question, found[1:], schema, book), *statements]
    others = [item for item in others if item.sql != best.sql(schema)]
    return GeneratedQuery(
        best.sql(schema),
        _said(question, book.by_id[best.examples[0]]),
        written.links if written is not None else (),
        round(best.confidence, 3),
        engine,
        tuple(sorted(others, key=lambda item: -item.confidence)[:MAX_ALTERNATIVES]),
        examples=tuple(dict.fromkeys(best.examples))[:3],
    )


def _first(written: GeneratedQuery | None, statements: Sequence[Alternative]) -> GeneratedQuery | None:
    """What the engine wrote, without what was judged wrong."""
    if written is None or not statements:
        return None
    first, *rest = statements
    return replace(
        written, sql=first.sql, explanation=first.explanation, confidence=first.confidence, alternatives=tuple(rest)
    )


def _alternatives(question: str, found: Sequence[Candidate], schema: Schema, book: Book) -> list[Alternative]:
    return [
        Alternative(item.sql(schema), _said(question, book.by_id[item.examples[0]]), round(item.confidence, 3))
        for item in found[:MAX_ALTERNATIVES]
        if item.examples and item.confidence >= 0.05
    ]


def _said(question: str, example: Example) -> str:
    return _AFTER[is_vietnamese(question)].format(example.question)
