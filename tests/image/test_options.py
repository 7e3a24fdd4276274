"""Options in SQLite and PostgreSQL: each owner's own, and none lost when several are set at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.image.options_store import OptionsStore
from services.image.store import MIGRATIONS
from services.mesh import tenancy
from services.mesh.database import Database


@pytest.fixture(autouse=True)
def organisation() -> Iterator[None]:
    """The organisation of all owners here."""
    with tenancy.acting_for("acme"):
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OptionsStore]:
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url, MIGRATIONS)
    await database.migrate()
    yield OptionsStore(database)
    await database.close()


async def test_owners_have_their_own(store: OptionsStore) -> None:
    await store.change("alice", lambda values: {**values, "a": 1})
    await store.change("alice", lambda values: {**values, "b": None})
    await store.change("", lambda values: {**values, "a": 2})
    assert await store.options("alice") == {"a": 1, "b": None}
    assert await store.options("") == {"a": 2}
    assert await store.options("bob") == {}


async def test_none_is_lost_when_several_are_set_at_once(store: OptionsStore) -> None:
    names = [f"option {number}" for number in range(8)]

    async def put(name: str) -> None:
        await store.change("alice", lambda values: {**values, name: name})

    await asyncio.gather(*map(put, names))
    assert await store.options("alice") == {name: name for name in names}


async def test_what_is_refused_changes_nothing(store: OptionsStore) -> None:
    def refuse(_values: dict[str, object]) -> dict[str, object]:
        raise ValueError("no")

    await store.change("alice", lambda values: {**values, "a": 1})
    with pytest.raises(ValueError, match="no"):
        await store.change("alice", refuse)
    assert await store.options("alice") == {"a": 1}
