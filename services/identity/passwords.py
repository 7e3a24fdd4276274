"""Passwords, as Argon2id hashes (RFC 9106, its profile for little memory: 64 MiB, 3 passes)."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

SHORTEST = 12
"""Characters; NIST SP 800-63B asks for length, not for kinds of characters."""
AT_ONCE = 2
"""Hashes that are computed at the same time: each takes 64 MiB and a tenth of a second of several cores."""


class Passwords:
    """Makes and checks hashes, in threads."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._free = asyncio.Semaphore(AT_ONCE)
        # Checked where there is no user: an answer takes as long, and so tells nobody which users there are.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """What is stored for a password."""
        async with self._free:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, stored: str, password: str) -> bool:
        """Whether a password is the one that was stored; `stored` is empty where there is none."""
        async with self._free:
            fits = await asyncio.to_thread(self._verify, stored or self._nobody, password)
        return fits and bool(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerifyMismatchError, InvalidHashError):
            return False

    def is_weak(self, stored: str) -> bool:
        """Whether a hash was made with weaker parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)
