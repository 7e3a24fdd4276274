"""Counters in Redis, by `limits` (https://limits.readthedocs.io). Loaded where there is a Redis."""

from __future__ import annotations

import asyncio
from typing import Any

from limits.aio.storage import RedisStorage
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

ANSWER_SECONDS = 0.25
"""How long Redis may take to answer."""


class RedisAway(OSError):
    """Redis does not answer, or not as it should."""


class RedisCounters:
    """Counters that all processes share.

    Args:
        url: `redis://host:port/0`.
    """

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
        # Typed for plain options only; it takes a pool, which can be closed.
        pool: Any = self._pool
        self._storage = RedisStorage(f"async+{url}", implementation="redispy", connection_pool=pool)

    async def add(self, key: str, expiry: int, amount: int) -> int:
        """Adds to a counter and gives it; an amount of 0 only looks. Raises RedisAway."""
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                return await (self._storage.incr(key, expiry, amount) if amount else self._storage.get(key))
        except (RedisError, OSError) as error:
            raise RedisAway(type(error).__name__) from error

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()
