"""What a question does to the knowledge base and the history: it is answered after examples, and written down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from services.sql.errors import NotOpen, QuestionNotUnderstood, SqlFailed, SqlTimeout
from services.sql.knowledge import learned
from services.sql.knowledge.history import Entry, History
from services.sql.knowledge.history_store import Outcome
from services.sql.knowledge.knowledge import Book, Knowledge
from services.sql.query import Failure, GeneratedQuery, Turn
from services.sql.schema import Schema

Write = Callable[[Failure | None, tuple[Turn, ...]], Awaitable[GeneratedQuery]]
"""Lets an engine write a statement, after one that failed where there was one, and after examples like the question."""
# Examples that another engine than the embedded one is shown.
_SHOWN = 5
_WRONG = "people said that this statement does not answer the question. Write another one"


class Memory:
    """Answers after examples, and records.

    Args:
        knowledge: The examples.
        history: The history.
        adapting: Names of the engines whose statements compete with those that follow from examples.
    """

    def __init__(self, knowledge: Knowledge, history: History, adapting: frozenset[str]) -> None:
        self._knowledge = knowledge
        self._history = history
        self._adapting = adapting

    async def written(self, database: str, question: str, schema: Schema, engine: str, write: Write) -> GeneratedQuery:
        """The query for a question: somebody's answer to just this one, or the best of examples and engine.

        Args:
            database: The database's id.
            question: The question.
            schema: The database's.
            engine: The engine's name.
            write: Lets the engine write.

        Raises:
            QuestionNotUnderstood: No query follows, or none that was not judged wrong; what `write` raises.
        """
        book = await self._knowledge.book(database, schema)
        found = learned.taught(question, schema, book, engine)
        if found is None and engine in self._adapting:
            found = await self._joined(question, schema, book, engine, write)
        elif found is None:
            found = await self._allowed(question, schema, book, write)
        if found.examples:
            await self._knowledge.used(found.examples[:1])
        return found

    async def _joined(self, question: str, schema: Schema, book: Book, engine: str, write: Write) -> GeneratedQuery:
        written: GeneratedQuery | None = None
        refusal: QuestionNotUnderstood | None = None
        try:
            written = await write(None, ())
        except QuestionNotUnderstood as error:
            refusal = error
        if written is not None and written.full_question:
            # Examples are compared with the question as it was asked, which says only a part of it.
            return written
        found = await asyncio.to_thread(learned.joined, question, schema, book, written, engine)
        if found is None:
            raise refusal or _judged_wrong()
        return found

    async def _allowed(self, question: str, schema: Schema, book: Book, write: Write) -> GeneratedQuery:
        """What another engine writes; once more where that was judged wrong before."""
        like = await asyncio.to_thread(book.recall.alike, question, _SHOWN) if book.recall is not None else []
        shown = tuple(Turn(example.question, example.sql) for example in like)
        found = await write(None, shown)
        if learned.is_blocked(question, found.sql, schema, book):
            found = await write(Failure(found.sql, _WRONG), shown)
            if learned.is_blocked(question, found.sql, schema, book):
                raise _judged_wrong()
        return replace(found, examples=tuple(example.id for example in like))

    @contextlib.asynccontextmanager
    async def recorded(self, database: str, question: str, engine: str) -> AsyncIterator[Entry]:
        """The question's entry in the history; refusals and failures that leave the block are written down."""
        entry = self._history.begin(database, question, engine)
        try:
            yield entry
        except (QuestionNotUnderstood, NotOpen) as error:
            words = error.metadata.get("unknown_words", "")
            await entry.ended(Outcome.REFUSED, tuple(word for word in words.split(",") if word))
            raise
        except (SqlFailed, SqlTimeout):
            await entry.ended(Outcome.FAILED)
            raise


def _judged_wrong() -> QuestionNotUnderstood:
    return QuestionNotUnderstood(
        "what could be written for it was judged wrong before. Ask it differently, or give the right statement as "
        "feedback."
    )
