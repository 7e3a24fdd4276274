"""Identities that were looked up, so that a call costs no query: kept for minutes, dropped the moment one changes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from services.identity.identity import Identity

Load = Callable[[], Awaitable[Identity | None]]
DISTRUSTED_SECONDS = 1.0
"""How old an identity may be while changes made elsewhere may go unheard."""


class _Kept(NamedTuple):
    identity: Identity
    time: float


class IdentityCache:
    """Identities by credential.

    Args:
        seconds: How long an identity is kept.
        entries: How many are kept; the oldest goes first.
        trusted: Whether every change is heard of at once; while not, nothing older than DISTRUSTED_SECONDS counts.
    """

    def __init__(self, seconds: float, entries: int, trusted: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._entries = entries
        self._trusted = trusted
        self._kept: dict[str, _Kept] = {}
        self._by_subject: defaultdict[str, set[str]] = defaultdict(set)
        self._loading: dict[str, asyncio.Task[Identity | None]] = {}
        self._changes = 0

    def get(self, credential: str) -> Identity | None:
        """The identity of a credential, if it is known and young enough."""
        kept = self._kept.get(credential)
        if kept is None:
            return None
        limit = self._seconds if self._trusted() else min(self._seconds, DISTRUSTED_SECONDS)
        if time.monotonic() - kept.time > limit:
            self._drop(credential)
            return None
        return kept.identity

    async def find(self, credential: str, load: Load) -> Identity | None:
        """The identity of a credential, looked up where it is not known; callers who ask meanwhile share the query.

        Args:
            credential: What names it.
            load: Looks it up: None where there is no such identity.

        Raises:
            StorageUnavailable: It cannot be looked up.
        """
        known = self.get(credential)
        if known is not None:
            return known
        task = self._loading.get(credential)
        if task is None:
            task = self._loading[credential] = asyncio.create_task(self._load(credential, load))
            task.add_done_callback(lambda done: self._loaded(credential, done))
        # One caller who goes away does not take the answer from the others.
        return await asyncio.shield(task)

    async def _load(self, credential: str, load: Load) -> Identity | None:
        """Looks an identity up and keeps it, unless something changed meanwhile: it may be what changed."""
        began, changes = time.monotonic(), self._changes
        identity = await load()
        if identity is not None and changes == self._changes:
            self._keep(credential, _Kept(identity, began))
        return identity

    def _loaded(self, credential: str, done: asyncio.Task[Identity | None]) -> None:
        if self._loading.get(credential) is done:
            del self._loading[credential]
        if not done.cancelled():
            # Looked at, so that a failure whose callers have all gone is not complained of.
            done.exception()

    def _keep(self, credential: str, kept: _Kept) -> None:
        self._drop(credential)
        while len(self._kept) >= self._entries:
            self._drop(next(iter(self._kept)))
        self._kept[credential] = kept
        self._by_subject[kept.identity.subject].add(credential)

    def _drop(self, credential: str) -> None:
        kept = self._kept.pop(credential, None)
        if kept is not None:
            others = self._by_subject[kept.identity.subject]
            others.discard(credential)
            if not others:
                del self._by_subject[kept.identity.subject]

    def drop(self, subject: str) -> None:
        """Forgets a user's identities: `organisation/user`; a whole organisation's: `organisation/`; all: ``.

        A look-up that is under way is not kept, and nobody joins it any more.
        """
        self._changes += 1
        self._loading.clear()
        if not subject:
            self._kept.clear()
            self._by_subject.clear()
            return
        whole = subject.endswith("/")
        subjects = [s for s in self._by_subject if s.startswith(subject)] if whole else [subject]
        for one in subjects:
            for credential in list(self._by_subject.get(one, ())):
                self._drop(credential)
