"""What an engine is given for a question, and what it makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from services.sql.schema import Schema
from services.sql.values import Value


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
    examples: tuple[str, ...] = ()
    """Ids of the examples of the knowledge base that it was written after."""
    name: str = ""
    """Resource name of its entry in the query history; empty where history is off."""
    unknown_words: tuple[str, ...] = ()
    """Words of the question that found no home."""
    full_question: str = ""
    """The question as it was understood, where earlier ones were needed for it."""


@dataclass(frozen=True)
class Failure:
    """A statement that an engine wrote and that was refused, with what the guard or the database said."""

    sql: str
    error: str


@dataclass(frozen=True)
class Turn:
    """A question that was asked before."""

    question: str
    sql: str = ""
    """The statement that answered it; empty where it is not known."""


@dataclass(frozen=True)
class Thinking:
    """How long a language model may think."""

    candidates: int = 1
    """How many statements it writes."""
    tokens: int = 0
    """At most so many, prompts included; 0: no bound."""
    seconds: float = 0.0
    """At most this long; 0: no bound."""


@dataclass(frozen=True)
class Step:
    """A step of thinking."""

    text: str
    sql: str = ""
    """The statement that it is about."""
    tokens: int = 0
    """Tokens used so far."""


@dataclass(frozen=True)
class Trial:
    """What a statement gave when it was tried out."""

    rows: tuple[tuple[Value, ...], ...] = ()
    error: str = ""
    """What the guard or the database said against it; empty where it ran."""


PROBED_ROWS = 30
"""Rows of a statement that a probe looks at."""


class Untried(Enum):
    """What is said of a statement that nothing is known about."""

    UNTRIED = "untried"
    """There was no time, or it took too long, or the database did not answer: that does not speak against it."""


class Probe(Protocol):
    """Runs statements on the database that a question is about: for a short time, reading only."""

    def __call__(self, sql: str) -> Sequence[Sequence[Any]] | Untried | None:
        """The first PROBED_ROWS rows at most; None where the database refuses the statement. Blocks; never raises."""
        ...


Try = Callable[[str], Awaitable[Trial]]
"""Tries a statement out on the database: checked by the guard, bounded in rows and time, stopped when cancelled."""


def _unheard(step: Step) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Context:
    """What an engine may know and use besides the question and the schema."""

    failure: Failure | None = None
    """An earlier try at the same question, to do better."""
    history: tuple[Turn, ...] = ()
    """What was asked before, oldest first."""
    examples: tuple[Turn, ...] = ()
    """Questions of the knowledge base that are most like this one, with their statements."""
    thinking: Thinking = Thinking()
    probe: Probe | None = None
    """Tries statements out in the thread that asks; None where there is no database behind the schema."""
    attempt: Try | None = None
    """As `probe`, without blocking and with what the database said."""
    report: Callable[[Step], None] = _unheard
    """Is told of each step of thinking."""


PLAIN = Context()
"""Nothing but the question and the schema."""


class SqlEngine(Protocol):
    """Writes SQL for questions."""

    async def generate(self, question: str, schema: Schema, context: Context = PLAIN) -> GeneratedQuery:
        """The query for a question. Its SQL still has to pass the guard.

        Args:
            question: In English or Vietnamese.
            schema: The database's.
            context: What else there is.

        Raises:
            QuestionNotUnderstood: No query follows from the question, or none better than the one that failed.
            EngineFailed: The engine's language model does not do its part.
            UpstreamError: No provider of that model answers.
        """
        ...
