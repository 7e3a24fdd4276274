"""Objects: whole or not at all, piece by piece, in a folder and in a store that is no folder."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.mesh.errors import NotFound, StorageUnavailable, TooLarge
from services.mesh.objects import PIECE, Objects, Stored


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where objects are kept."""
    return str(tmp_path / "things") if request.param == "folder" else f"memory://{tmp_path}"


async def pieces(*parts: bytes, fault: Exception | None = None) -> AsyncIterator[bytes]:
    """Parts, and then a fault."""
    for part in parts:
        yield part
    if fault is not None:
        raise fault


async def test_what_is_kept_is_given_back(url: str) -> None:
    objects = Objects(url, "things")
    data = b"x" * (PIECE + 1)
    assert await objects.put("1", pieces(data, b"yz")) == Stored(PIECE + 3, hashlib.sha256(data + b"yz").hexdigest())
    assert [len(piece) async for piece in objects.read("1")] == [PIECE, 3]
    async with objects.local("1") as file:
        assert file.read_bytes() == data + b"yz"
    await objects.delete("1")
    await objects.delete("1")
    for gone in (objects.read("1"), objects.read("2")):
        with pytest.raises(NotFound, match="things/"):
            _ = [piece async for piece in gone]
    with pytest.raises(NotFound):
        async with objects.local("1"):
            pass


async def test_what_breaks_off_or_is_too_large_leaves_nothing_behind(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path / "things"), "things", 10)  # fsspec's memory has no way back
    with pytest.raises(ValueError, match="torn"):
        await objects.put("1", pieces(b"abc", fault=ValueError("torn")))
    with pytest.raises(TooLarge, match="10 bytes"):
        await objects.put("2", pieces(b"abcdef", b"abcdef"))
    assert not list((tmp_path / "things").iterdir())


async def test_a_store_that_is_away_says_so_without_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "things").write_text("no folder")
    objects = Objects(str(tmp_path / "things"), "things")
    with pytest.raises(StorageUnavailable) as caught:
        await objects.write("1", b"x")
    assert str(tmp_path) not in caught.value.message
