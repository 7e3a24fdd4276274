"""The history of questions: who asked what and what came of it, kept for some days; no rows of results."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.mesh import context, telemetry
from services.mesh.errors import InvalidArgument, StorageUnavailable
from services.sql.history_store import Asked, HistoryStore, Outcome, Statistics
from services.sql.query import GeneratedQuery

log = telemetry.get_logger(__name__)

DEFAULT_PAGE = 50
MAX_PAGE = 1000
DEFAULT_DAYS = 30
# Old queries are forgotten when new ones come, this often.
_SWEEP = timedelta(hours=1)


def caller() -> str:
    """Who makes the present call, as a digest of the identity that came with it; empty where nobody is known."""
    call = context.current()
    if call is None or not call.identity:
        return ""
    return hashlib.sha256(json.dumps(sorted(call.identity)).encode()).hexdigest()


def page_place(token: str) -> tuple[str, str] | None:
    """The time and id that a page starts after; None for the first. Raises InvalidArgument."""
    if not token:
        return None
    try:
        time, _, identifier = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition(" ")
        datetime.fromisoformat(time)
    except (binascii.Error, ValueError):
        raise InvalidArgument("page_token", "it is not a token of a previous page.") from None
    return time, identifier


def page_token(created: datetime, identifier: str) -> str:
    """The token of the page after the one that ends so."""
    time = created.astimezone(UTC).replace(tzinfo=None).isoformat()
    return base64.urlsafe_b64encode(f"{time} {identifier}".encode()).decode()


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
        size = min(page_size or DEFAULT_PAGE, MAX_PAGE)
        found = await self._store.page(database, caller(), page_place(token), size + 1)
        more = len(found) > size
        return found[:size], page_token(found[size - 1].created, found[size - 1].id) if more else ""

    async def statistics(self, database: str, days: int) -> Statistics:
        """What everybody asked and said in the last days; 30 where `days` is 0."""
        return await self._store.statistics(database, self._clock() - timedelta(days=days or DEFAULT_DAYS))


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
