"""How much the users of a tier may use: calls, and the services' own units.

Windows are aligned to the clock, so that one counter and one round trip say how much is left and when it is new. Counts
are in Redis where several processes share them, else in memory. Where Redis is away each process counts for itself, so
that limits are looser by the number of processes for a while, and nobody is locked out: a limit protects capacity, not
secrets. `limits` (https://limits.readthedocs.io) reads the limits and counts in Redis.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limits import RateLimitItem, parse

from services.identity.errors import LimitReached
from services.mesh import telemetry

if TYPE_CHECKING:
    from services.identity.redis_counters import RedisCounters

log = telemetry.get_logger(__name__)

REQUESTS = "requests"
UNITS = {
    "chat": "tokens",
    "asr": "audio_seconds",
    "image": "megapixel_steps",
    "sql": "rows",
}
"""What a service counts; a call to it is refused while that is used up."""
AWAY_SECONDS = 1.0
"""After how long a Redis that did not answer is asked again."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of the calls of a tier."""

    limit: int
    remaining: int
    reset: float
    """Seconds until the window ends."""


class MemoryCounters:
    """Counters that end with their windows. `limits` has such a storage too: it looks at all keys for every count."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}
        self._sweep = 0.0

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Adds to a counter and gives it."""
        now = time.time()
        count, ends = self._counts.get(key, (0, 0.0))
        count, ends = (count + amount, ends) if ends > now else (amount, now + expiry)
        self._counts[key] = count, ends
        if now > self._sweep:
            self._sweep = now + 60
            self._counts = {k: v for k, v in self._counts.items() if v[1] > now}
        return count

    async def get(self, key: str) -> int:
        """A counter; 0 where there is none."""
        count, ends = self._counts.get(key, (0, 0.0))
        return count if ends > time.time() else 0


class Counters:
    """Counters in Redis, or in memory where there is none or it is away.

    Args:
        url: `redis://host:port/0`; empty: memory.
    """

    def __init__(self, url: str) -> None:
        self._memory = MemoryCounters()
        self._redis = _redis(url) if url else None
        self._away_until = 0.0

    async def add(self, key: str, expiry: int, amount: int) -> int:
        """Adds to a counter and gives it; an amount of 0 only looks."""
        if self._redis is not None and time.monotonic() > self._away_until:
            try:
                return await self._redis.add(key, expiry, amount)
            except OSError as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("redis is away: limits are counted in this process", fault=str(error))
        return await (self._memory.incr(key, expiry, amount) if amount else self._memory.get(key))

    async def close(self) -> None:
        """Closes the connections."""
        if self._redis is not None:
            await self._redis.close()


def _redis(url: str) -> RedisCounters:
    """Counters in a Redis."""
    from services.identity.redis_counters import RedisCounters  # here: without Redis its client is 8 MB for nothing

    return RedisCounters(url)


class Limits:
    """What the users of each tier may use.

    Args:
        tiers: Limits by unit and tier: {"free": {"requests": "100/hour", "tokens": "50000/day"}}. A unit that is not
            there is not limited.
        default: The tier of whom none is said.
        counters: Where they are counted.

    Raises:
        ValueError: A limit cannot be read, or the default is none of the tiers.
    """

    def __init__(self, tiers: Mapping[str, Mapping[str, str]], default: str, counters: Counters) -> None:
        self._tiers = {name: {unit: parse(text) for unit, text in units.items()} for name, units in tiers.items()}
        if default not in self._tiers:
            raise ValueError(f"{default!r} is none of the tiers {', '.join(self._tiers)}")
        self._default = default
        self._counters = counters

    def _items(self, tier: str) -> Mapping[str, RateLimitItem]:
        return self._tiers.get(tier or self._default, self._tiers[self._default])

    def unlimited(self, tier: str, service: str) -> bool:
        """Whether nothing of a call to a service is limited."""
        items = self._items(tier)
        return REQUESTS not in items and UNITS.get(service, "") not in items

    async def call(self, subject: str, tier: str, service: str) -> Remaining | None:
        """Counts a call; None where calls are not limited.

        Args:
            subject: Who calls.
            tier: Their tier; empty: the default.
            service: What they call.

        Raises:
            LimitReached: No calls are left, or none of what the service counts.
        """
        items = self._items(tier)
        unit = UNITS.get(service, "")
        if unit in items:
            used, reset = await self._count(items[unit], subject, unit, 0)
            if used >= items[unit].amount:
                raise LimitReached(unit, items[unit].amount, reset)
        if REQUESTS not in items:
            return None
        item = items[REQUESTS]
        used, reset = await self._count(item, subject, REQUESTS, 1)
        if used > item.amount:
            raise LimitReached(REQUESTS, item.amount, reset)
        return Remaining(item.amount, item.amount - used, reset)

    async def use(self, subject: str, tier: str, unit: str, amount: float) -> None:
        """Counts what was used of a unit, whether or not it was left: it has been used."""
        item = self._items(tier).get(unit)
        if item is not None and amount > 0:
            await self._count(item, subject, unit, math.ceil(amount))

    async def attempt(self, limit: str, *whose: str) -> None:
        """Counts an attempt under a limit of its own, e.g. at a password. Raises LimitReached, ValueError."""
        item = parse(limit)
        used, reset = await self._count(item, "/".join(whose), "attempts", 1)
        if used > item.amount:
            raise LimitReached("attempts", item.amount, reset)

    async def _count(self, item: RateLimitItem, subject: str, unit: str, amount: int) -> tuple[int, float]:
        """The count in the window of now, and the seconds until it ends."""
        length = item.get_expiry()
        window, within = divmod(time.time(), length)
        key = item.key_for(unit, subject, str(int(window)))
        return await self._counters.add(key, length, amount), length - within

    async def close(self) -> None:
        """Closes the connections."""
        await self._counters.close()
