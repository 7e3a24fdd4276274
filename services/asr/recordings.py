"""Keeps recordings while they are needed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

from services.asr.errors import InvalidAudio
from services.mesh.objects import Objects


class Recording(NamedTuple):
    """A recording that was kept."""

    id: str
    size: int
    """In bytes."""
    digest: str
    """SHA-256 of its bytes, in hexadecimal."""


class Recordings:
    """The recordings.

    Args:
        url: Where they are kept; see Objects.
        max_bytes: Largest recording that is taken.
    """

    def __init__(self, url: str, max_bytes: int) -> None:
        self._objects = Objects(url, "recordings", max_bytes)

    async def put(self, pieces: AsyncIterator[bytes], field: str = "audio") -> Recording:
        """Keeps a recording. One that breaks off leaves nothing behind.

        Args:
            pieces: Its bytes.
            field: What the request calls it.

        Raises:
            InvalidAudio: It is empty.
            TooLarge: It is over the limit.
            StorageUnavailable: The store is full or away.
        """
        identifier = uuid.uuid4().hex
        return Recording(identifier, *await self._objects.put(identifier, _some(pieces, field)))

    def local(self, identifier: str) -> AbstractAsyncContextManager[Path]:
        """A recording as a file of this machine, while the block runs. Raises NotFound, StorageUnavailable."""
        return self._objects.local(identifier)

    async def delete(self, identifier: str) -> None:
        """Forgets a recording; it is no fault that there is none. Raises StorageUnavailable."""
        await self._objects.delete(identifier)


async def _some(pieces: AsyncIterator[bytes], field: str) -> AsyncIterator[bytes]:
    """The pieces. Raises InvalidAudio where they hold nothing."""
    empty = True
    async for piece in pieces:
        empty = empty and not piece
        yield piece
    if empty:
        raise InvalidAudio("it is empty; send a recording, e.g. WAV, FLAC, MP3, Ogg, MP4 or WebM", field)
