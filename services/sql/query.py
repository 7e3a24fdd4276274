"""What an engine makes of a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.sql.schema import Schema


@dataclass(frozen=True)
class Link:
    """Words of a question and what they stand for."""

    words: str
    start: int
    """Position of their first character in the question, in code points."""
    end: int
    """Position after their last character."""
    table: str
    column: str = ""
    """Empty when the words mean the table."""
    value: str = ""
    """Empty when the words mean the table or the column itself."""
    score: float = 1.0


MAX_ALTERNATIVES = 3


@dataclass(frozen=True)
class Alternative:
    """Another reading of a question."""

    sql: str
    explanation: str
    confidence: float


@dataclass(frozen=True)
class GeneratedQuery:
    """SQL written for a question."""

    sql: str
    explanation: str
    links: tuple[Link, ...]
    confidence: float
    """From 0 to 1."""
    engine: str
    alternatives: tuple[Alternative, ...] = ()
    """Other plausible readings, the likeliest first; at most MAX_ALTERNATIVES."""


@dataclass(frozen=True)
class Failure:
    """A statement that an engine wrote and that was refused, with what the guard or the database said."""

    sql: str
    error: str


class SqlEngine(Protocol):
    """Writes SQL for questions."""

    async def generate(self, question: str, schema: Schema, failure: Failure | None = None) -> GeneratedQuery:
        """The query for a question. Its SQL still has to pass the guard.

        Args:
            question: In English or Vietnamese.
            schema: The database's.
            failure: An earlier try at the same question, to do better.

        Raises:
            QuestionNotUnderstood: No query follows from the question, or none better than the one that failed.
            EngineFailed: The engine's language model does not do its part.
            UpstreamError: No provider of that model answers.
        """
        ...
