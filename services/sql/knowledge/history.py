"""The history of questions: who asked what and what came of it, kept for some days; no rows of results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.mesh import authority, context, paging, telemetry
from services.mesh.errors import StorageUnavailable
from services.sql.knowledge.history_store import Asked, HistoryStore, Outcome, Statistics
from services.sql.query import GeneratedQuery

log = telemetry.get_logger(__name__)

DEFAULT_DAYS = 30
# Old queries are forgotten when new ones come, this often.
_SWEEP = timedelta(hours=1)


def caller() -> str:
    """Who makes the present call, as a digest of the subject; empty where nobody is known."""
    owner = context.owner()
    return hashlib.sha256(owner.encode()).hexdigest() if owner else ""


class History:
    """Records questions and lists them.

    Args:
        store: Where they are kept.
        days: How long they are kept, in days; 0 keeps none.
        clock: What time it is, in UTC.
    """

    def __init__(
        self, store: HistoryStore, days: int, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._days = days
        self._clock = clock
        self._swept: datetime | None = None

    def begin(self, database: str, question: str, engine: str) -> Entry:
        """The entry of a question that is being asked now."""
        asked = Asked(
            uuid4().hex, database, caller(), question, "", engine, 0.0, Outcome.REFUSED, self._clock()
        )  # fmt: skip
        return Entry(self, asked)

    async def keep(self, asked: Asked) -> None:
        """Stores an entry, or what became of it. A history that cannot be written does not fail the question."""
        if self._days == 0:
            return
        try:
            await self._store.put(asked)
            now = self._clock()
            if self._swept is None or now - self._swept > _SWEEP:
                self._swept = now
                await self._store.forget(now - timedelta(days=self._days))
        except StorageUnavailable:
            log.warning("history not written", database=asked.database)

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self._days > 0

    async def get(self, database: str, identifier: str) -> Asked:
        """A query of the caller. Raises NotFound, also where it is somebody else's."""
        return await self._store.get(database, identifier, caller())

    async def judged(self, identifier: str, right: bool) -> None:
        """Notes a verdict beside the query that it is about."""
        await self._store.judge(identifier, "RIGHT" if right else "WRONG")

    async def list(self, database: str, page_size: int, token: str) -> tuple[list[Asked], str]:
        """A page of the caller's queries, the newest first, and the next page's token. Raises InvalidArgument."""
        size = paging.size(page_size)
        before = paging.key(token, paging.moment, str) if token else None
        found = await self._store.page(database, caller(), before, size + 1)
        return found[:size], paging.token(found[size - 1].created, found[size - 1].id) if len(found) > size else ""

    async def statistics(self, database: str, days: int) -> Statistics:
        """What everybody asked and said in the last days; 30 where `days` is 0.

        Under a database role without the words that nobody understood: they may be values that the role does not see.
        """
        found = await self._store.statistics(database, self._clock() - timedelta(days=days or DEFAULT_DAYS))
        return replace(found, unknown_words=()) if authority.current().persona(database) else found


class Entry:
    """A question on its way to an answer. What is known about it is stored as it comes.

    Args:
        history: Where to.
        asked: What is known.
    """

    def __init__(self, history: History, asked: Asked) -> None:
        self._history = history
        self._asked = asked

    @property
    def name(self) -> str:
        """Its resource name; empty where no history is kept."""
        return f"databases/{self._asked.database}/queries/{self._asked.id}" if self._history.on else ""

    async def written(self, query: GeneratedQuery) -> GeneratedQuery:
        """A statement was written. Returns the query with its name."""
        self._asked = replace(
            self._asked, sql=query.sql, engine=query.engine, confidence=query.confidence, outcome=Outcome.GENERATED
        )
        await self._history.keep(self._asked)
        return replace(query, name=self.name)

    async def ended(self, outcome: Outcome, unknown: tuple[str, ...] = ()) -> None:
        """It ended so; `unknown`: the words that found no home."""
        self._asked = replace(self._asked, outcome=outcome, unknown_words=unknown)
        await self._history.keep(self._asked)
