"""Connections to users' databases, kept between statements: few for each, checked before use, closed when idle.

Everything here blocks: call it in worker threads.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from services.mesh.authority import NOBODY
from services.sql.drivers import driver
from services.sql.drivers.driver import Session
from services.sql.errors import DatabaseUnavailable
from services.sql.hosts import DEFAULT, Hosts
from services.sql.target import Target

# How long a statement waits for a connection while all are busy, in seconds.
WAIT_SECONDS = 30.0


class _Connections:
    """The connections of a pool: those in use are counted, the others kept."""

    def __init__(self, size: int) -> None:
        self.idle: list[tuple[Session, float]] = []
        self.free = threading.BoundedSemaphore(size)
        self.lock = threading.Lock()
        self.closed = False


class Pool:
    """Sessions with one database, as it sees one persona. All personas share the connections.

    Args:
        target: The database, and as whom it is to see the statements.
        size: Connections that may be open at the same time.
        hosts: Where databases may be.
    """

    def __init__(self, target: Target, size: int, hosts: Hosts) -> None:
        self._target = target
        self._hosts = hosts
        self._shared = _Connections(size)

    def seen_as(self, target: Target) -> Pool:
        """The same connections for the target's persona."""
        other = copy.copy(self)
        other._target = target
        return other

    def take(self, *, new: bool = False) -> Session:
        """A session that answers, and acts as the pool's persona; give it back.

        Args:
            new: Opens a connection even if there is an idle one: those may all have died together.

        Raises:
            HostRefused: The database is where none may be.
            DatabaseUnavailable: The database cannot be reached, refuses, or all connections stay busy.
        """
        if not self._shared.free.acquire(timeout=WAIT_SECONDS):
            raise DatabaseUnavailable("All connections to the database are busy. Try again shortly.")
        try:
            session = (None if new else self._reused()) or driver.connect(self._target, self._hosts)
            driver.act_as(session, self._target.persona)
        except BaseException:
            self._shared.free.release()
            raise
        return session

    def give(self, session: Session, *, usable: bool) -> None:
        """Takes a session back; one that is not usable is closed."""
        driver.act_as(session, NOBODY)
        if usable and session.kept:
            with self._shared.lock:
                usable = not self._shared.closed
                if usable:
                    self._shared.idle.append((session, time.monotonic()))
        if not (usable and session.kept):
            session.close()
        self._shared.free.release()

    @contextmanager
    def session(self, *, new: bool = False) -> Iterator[Session]:
        """A session for a block, `new` as `take` has it; an error that leaves the block closes it."""
        session = self.take(new=new)
        usable = False
        try:
            yield session
            usable = True
        finally:
            self.give(session, usable=usable)

    def close(self, idle: float = 0.0) -> bool:
        """Closes sessions that were idle for so many seconds; with 0 all, and for good. Says whether some are left."""
        limit = time.monotonic() - idle
        shared = self._shared
        with shared.lock:
            shared.closed = shared.closed or not idle
            old = [session for session, since in shared.idle if since <= limit]
            shared.idle = [item for item in shared.idle if item[1] > limit]
        for session in old:
            session.close()
        return bool(shared.idle)

    def _reused(self) -> Session | None:
        """The session that was used last, if it lives."""
        while True:
            with self._shared.lock:
                if not self._shared.idle:
                    return None
                session, _since = self._shared.idle.pop()
            if session.alive():
                return session
            session.close()


class Pools:
    """A pool for each database.

    Args:
        size: Connections to one database that may be open at the same time.
        idle_seconds: After how long without use a connection is closed, in seconds.
        hosts: Where databases may be.
    """

    def __init__(self, size: int = 8, idle_seconds: float = 60.0, hosts: Hosts = DEFAULT) -> None:
        self._size = size
        self._idle_seconds = idle_seconds
        self._hosts = hosts
        self._pools: dict[Target, Pool] = {}
        self._doubted: set[Target | None] = set()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def of(self, target: Target) -> Pool:
        """The pool of a database, for the target's persona."""
        with self._lock:
            self._watch()
            return self._pools.setdefault(target, Pool(target, self._size, self._hosts)).seen_as(target)

    def doubt(self, target: Target) -> None:
        """Remembers that a database just failed somebody."""
        with self._lock:
            self._doubted.add(target)

    def doubted(self, target: Target | None) -> bool:
        """Whether a database failed somebody since this was last asked."""
        with self._lock:
            found = target in self._doubted
            self._doubted -= {target}
            return found

    def drop(self, target: Target) -> None:
        """Closes a database's connections: it was forgotten, or is at another URL now."""
        with self._lock:
            pool = self._pools.pop(target, None)
        if pool is not None:
            pool.close()

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
            if self._timer is not None:
                self._timer.cancel()
        for pool in pools:
            pool.close()

    async def aclose(self) -> None:
        """As `close`, for whoever may not block."""
        await asyncio.to_thread(self.close)

    def _watch(self) -> None:
        """Looks for idle connections after a while; called with the lock."""
        if self._timer is None:
            self._timer = threading.Timer(self._idle_seconds, self._prune)
            self._timer.daemon = True
            self._timer.start()

    def _prune(self) -> None:
        with self._lock:
            pools = list(self._pools.values())
        left = [pool.close(self._idle_seconds) for pool in pools]
        with self._lock:
            self._timer = None
            if any(left):
                self._watch()
