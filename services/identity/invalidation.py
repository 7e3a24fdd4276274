"""Tells every process of a change of identities within a second, although each keeps them for minutes.

In this process: when the transaction commits. In the others: PostgreSQL's NOTIFY, which is part of the transaction, and
a connection of its own that listens. That connection is asked for a sign of life four times a second; while there is
none, `trusted()` is false and nobody may rely on what is older than a second. So a broken connection, which loses
notifications without a word, costs queries and never lets a revoked key through. SQLite has one process only.
"""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 — psycopg2's class is written small
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from services.mesh import telemetry

log = telemetry.get_logger(__name__)

CHANNEL = "parley_identity"
BEAT_SECONDS = 0.25
TRUST_SECONDS = 0.8
"""How long one sign of life counts. With BEAT_SECONDS and the query it stays below the second that is promised."""
OPTIONS: dict[str, Any] = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}


class Invalidations:
    """Changes of identities: made here, and heard of.

    Args:
        engine: The service's database.
        drop: Forgets the identities of a subject; called in the event loop's thread.
    """

    def __init__(self, engine: Engine, drop: Callable[[str], None]) -> None:
        self._engine = engine
        self._drop = drop
        self._postgres = engine.dialect.name == "postgresql"
        self._alive = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def trusted(self) -> bool:
        """Whether every change is heard of."""
        return not self._postgres or time.monotonic() - self._alive < TRUST_SECONDS

    def publish(self, session: Session, subject: str) -> None:
        """Forgets the identities of a subject everywhere, when and if this transaction commits.

        Args:
            session: The transaction, in a database thread.
            subject: `organisation/user`, `organisation/` for all of its users.
        """
        if self._postgres:
            session.execute(text(f"SELECT pg_notify('{CHANNEL}', :subject)"), {"subject": subject})
        event.listen(session, "after_commit", lambda _session: self._later(self._drop, subject), once=True)

    def start(self) -> None:
        """Begins to listen. Called in the event loop's thread."""
        self._loop = asyncio.get_running_loop()
        if self._postgres:
            self._thread = threading.Thread(target=self._listen, name="invalidations", daemon=True)
            self._thread.start()

    async def close(self) -> None:
        """Stops listening."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _later(self, function: Callable[..., None], *arguments: object) -> None:
        """Calls a function in the event loop's thread: before the transaction's caller goes on there."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _listen(self) -> None:
        """Listens until the end, on one connection after another."""
        while not self._stop.is_set():
            try:
                connection = self._connect()
            except psycopg2.Error:
                self._stop.wait(BEAT_SECONDS)
                continue
            try:
                self._follow(connection)
            except (psycopg2.Error, OSError) as error:
                log.warning("the connection that hears of changes broke", fault=type(error).__name__)
            finally:
                connection.close()

    def _connect(self) -> Connection:
        """A connection that listens."""
        address = self._engine.url.set(drivername="postgresql")
        connection: Connection = psycopg2.connect(address.render_as_string(hide_password=False), **OPTIONS)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return connection

    def _follow(self, connection: Connection) -> None:
        """Passes on what a connection hears. Raises psycopg2.Error when it breaks."""
        fresh = True
        while not self._stop.is_set():
            select.select([connection], [], [], 0 if fresh else BEAT_SECONDS)
            asked = time.monotonic()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.poll()
            changed = {notified.payload for notified in connection.notifies}
            connection.notifies.clear()
            # What was said while nobody listened is not known: a new connection makes all of it forgotten.
            self._later(self._heard, {""} if fresh else changed, asked)
            fresh = False

    def _heard(self, changed: set[str], asked: float) -> None:
        """Forgets what changed, and only then counts the sign of life."""
        for subject in changed:
            self._drop(subject)
        self._alive = asked
