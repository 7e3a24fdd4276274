"""Keeps recordings while they are needed: in a folder on a laptop, in an object store in a cluster (fsspec)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from services.asr.errors import InvalidAudio
from services.mesh import telemetry
from services.mesh.errors import NotFound, StorageUnavailable, TooLarge

log = telemetry.get_logger(__name__)


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
        url: Where they are kept: `file:///var/lib/parley/recordings`, `s3://bucket/prefix`, or another that fsspec
            knows. Credentials come from the environment, as that store's library has it.
        max_bytes: Largest recording that is taken.
    """

    def __init__(self, url: str, max_bytes: int) -> None:
        self._url = url
        self._max = max_bytes
        self._opened: tuple[Any, str] | None = None

    @property
    def _store(self) -> tuple[Any, str]:
        """The file system and the folder in it: found on first use, because an S3 client takes a while to import."""
        if self._opened is None:
            self._opened = fsspec.core.url_to_fs(self._url)
        return self._opened

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
        digest, size = hashlib.sha256(), 0
        with _storage_faults():
            file = await asyncio.to_thread(self._create, identifier)
        try:
            async for piece in pieces:
                size += len(piece)
                if size > self._max:
                    raise TooLarge(
                        f"The recording is over {self._max} bytes, the limit here.",
                        metadata={"limit": str(self._max)},
                    )
                digest.update(piece)
                with _storage_faults():
                    await asyncio.to_thread(file.write, piece)
            if not size:
                raise InvalidAudio("it is empty; send a recording, e.g. WAV, FLAC, MP3, Ogg, MP4 or WebM", field)
            with _storage_faults():
                await asyncio.to_thread(_commit, file)
        except BaseException:
            await asyncio.to_thread(_discard, file)
            raise
        return Recording(identifier, size, digest.hexdigest())

    def _create(self, identifier: str) -> Any:
        """A file that is there only when it is whole: `commit` puts it into its place, `discard` forgets it."""
        system, folder = self._store
        system.makedirs(folder, exist_ok=True)
        return system.open(f"{folder}/{identifier}", "wb", autocommit=False)

    @asynccontextmanager
    async def local(self, identifier: str) -> AsyncIterator[Path]:
        """A recording as a file of this machine, while the block runs.

        Raises:
            NotFound: There is none of that id, any more.
            StorageUnavailable: The store is away.
        """
        system, folder = await asyncio.to_thread(lambda: self._store)
        path = f"{folder}/{identifier}"
        with contextlib.ExitStack() as stack:
            try:
                if isinstance(system, LocalFileSystem):
                    file = Path(path)
                    if not await asyncio.to_thread(file.is_file):
                        raise FileNotFoundError(path)
                else:
                    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-recording-"))
                    file = Path(directory) / identifier
                    with _storage_faults():
                        await asyncio.to_thread(system.get_file, path, str(file))
            except FileNotFoundError:
                raise NotFound(f"recordings/{identifier}") from None
            yield file

    async def delete(self, identifier: str) -> None:
        """Forgets a recording; it is no fault that there is none. Raises StorageUnavailable."""

        def work() -> None:
            system, folder = self._store
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{folder}/{identifier}")

        with _storage_faults():
            await asyncio.to_thread(work)


def _commit(file: Any) -> None:
    file.close()
    file.commit()


def _discard(file: Any) -> None:
    with contextlib.suppress(OSError):
        file.close()
        file.discard()


@contextlib.contextmanager
def _storage_faults() -> Iterator[None]:
    """Turns what a store says into StorageUnavailable, but for a file that is not there."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        log.error("recordings cannot be kept", error=str(error))
        raise StorageUnavailable("The store of recordings is full or away. Try again shortly.") from error
