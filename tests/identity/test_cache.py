"""The cache of identities: what it may keep, for how long, and what it must not when something changes meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from services.identity.cache import IdentityCache
from services.identity.identity import Identity
from services.identity.scopes import Role, scopes_of
from services.mesh.errors import StorageUnavailable


def identity(user: str = "lan", organisation: str = "default") -> Identity:
    """Somebody."""
    return Identity(organisation, user, (Role.MEMBER,), scopes_of([Role.MEMBER]), "", "{}", "k")


class Source:
    """Looks identities up when it is let."""

    def __init__(self) -> None:
        self.found: Identity | None = identity()
        self.asked = 0
        self.let = asyncio.Event()
        self.let.set()

    async def __call__(self) -> Identity | None:
        """One look-up."""
        self.asked += 1
        found = self.found
        await self.let.wait()
        return found


async def test_an_identity_is_looked_up_once() -> None:
    cache, source = IdentityCache(300, 100, lambda: True), Source()
    source.let.clear()
    waiting = [asyncio.create_task(cache.find("c", source)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    source.let.set()
    assert [await task for task in waiting[1:]] == [identity()] * 49
    assert await cache.find("c", source) == identity()
    assert source.asked == 1


async def test_what_nobody_may_hear_of_counts_for_a_second_only(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, time = True, 1000.0
    monkeypatch.setattr("services.identity.cache.time.monotonic", lambda: time)
    cache, source = IdentityCache(300, 100, lambda: trusted), Source()
    await cache.find("c", source)
    time += 299
    assert cache.get("c") is not None
    trusted = False
    assert cache.get("c") is None
    await cache.find("c", source)
    time += 0.9
    assert cache.get("c") is not None
    time += 0.2
    assert cache.get("c") is None


@pytest.mark.parametrize("subject", ["default/lan", "default/", ""])
async def test_a_change_drops_those_whom_it_is_about(subject: str) -> None:
    cache, source = IdentityCache(300, 100, lambda: True), Source()
    await cache.find("mine", source)
    source.found = identity(organisation="acme")
    await cache.find("other", source)
    cache.drop("default/lan2")
    cache.drop("def/")
    assert cache.get("mine") is not None
    cache.drop(subject)
    assert cache.get("mine") is None
    assert (cache.get("other") is None) == (subject == "")


async def test_what_was_looked_up_before_a_change_is_not_kept_after_it() -> None:
    cache, source = IdentityCache(300, 100, lambda: True), Source()
    source.let.clear()
    early = asyncio.create_task(cache.find("c", source))
    await asyncio.sleep(0.01)
    source.found = None
    cache.drop("default/lan")
    late = asyncio.create_task(cache.find("c", source))
    await asyncio.sleep(0.01)
    source.let.set()
    assert await early == identity(), "it was asked before the change"
    assert await late is None, "it was asked after the change, and joined nobody who asked before"
    assert cache.get("c") is None


async def test_it_is_bounded() -> None:
    cache, source = IdentityCache(300, 100, lambda: True), Source()
    for number in range(250):
        source.found = identity(f"u{number}")
        await cache.find(str(number), source)
    assert sum(cache.get(str(number)) is not None for number in range(250)) == 100
    assert cache.get("249") is not None


async def test_a_failure_is_everybodys_and_not_kept() -> None:
    cache, source = IdentityCache(300, 100, lambda: True), Source()

    async def fail() -> Identity | None:
        await asyncio.sleep(0.01)
        raise StorageUnavailable("away")

    for answer in await asyncio.gather(*(cache.find("c", fail) for _ in range(3)), return_exceptions=True):
        assert isinstance(answer, StorageUnavailable)
    assert await cache.find("c", source) == identity()
