"""Keeps files that are written once: in a folder on a laptop, in an object store in a cluster (fsspec)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from services.mesh import telemetry
from services.mesh.errors import NotFound, StorageUnavailable, TooLarge

T = TypeVar("T")

log = telemetry.get_logger(__name__)

PIECE = 1 << 20
"""Bytes that are read at a time."""


class Stored(NamedTuple):
    """What was kept of an object."""

    size: int
    """In bytes."""
    digest: str
    """SHA-256 of its bytes, in hexadecimal."""


class Objects:
    """Objects of one kind, by id.

    Args:
        url: Where they are kept: a folder, `s3://bucket/prefix`, or another URL that fsspec knows. Credentials come
            from the environment, as that store's library has it.
        kind: Their collection, as resource names have it: `recordings`, `images`.
        max_bytes: Largest object that is taken; any where it is None.
    """

    def __init__(self, url: str, kind: str, max_bytes: int | None = None) -> None:
        self._url, self._kind, self._max = url, kind, max_bytes
        self._opened: tuple[Any, str] | None = None

    @property
    def _store(self) -> tuple[Any, str]:
        """The file system and the folder in it: found on first use, because an S3 client takes a while to import."""
        if self._opened is None:
            self._opened = fsspec.core.url_to_fs(self._url)
        return self._opened

    async def put(self, identifier: str, pieces: AsyncIterator[bytes]) -> Stored:
        """Keeps an object. One that breaks off leaves nothing behind.

        Args:
            identifier: Its id, made up by the caller.
            pieces: Its bytes; what they raise passes.

        Raises:
            TooLarge: It is over the limit.
            StorageUnavailable: The store is full or away.
        """
        digest, size = hashlib.sha256(), 0
        with self._faults():
            file = await asyncio.to_thread(self._create, identifier)
        try:
            async for piece in pieces:
                size += len(piece)
                if self._max is not None and size > self._max:
                    raise TooLarge(
                        f"It is over {self._max} bytes, the limit of {self._kind} here.",
                        metadata={"limit": str(self._max)},
                    )
                digest.update(piece)
                with self._faults():
                    await asyncio.to_thread(file.write, piece)
            with self._faults():
                await asyncio.to_thread(_commit, file)
        except BaseException:
            await asyncio.to_thread(_discard, file)
            raise
        return Stored(size, digest.hexdigest())

    async def write(self, identifier: str, data: bytes) -> Stored:
        """Keeps an object whose bytes are at hand. Raises what `put` does."""

        async def once() -> AsyncIterator[bytes]:
            yield data

        return await self.put(identifier, once())

    def _create(self, identifier: str) -> Any:
        """A file that is there only when it is whole: `commit` puts it into its place, `discard` forgets it."""
        system, folder = self._store
        system.makedirs(folder, exist_ok=True)
        return system.open(f"{folder}/{identifier}", "wb", autocommit=False)

    async def read(self, identifier: str) -> AsyncGenerator[bytes, None]:
        """An object's bytes, piece by piece.

        Raises:
            NotFound: There is none of that id, any more.
            StorageUnavailable: The store is away.
        """
        file = await self._at(identifier, lambda system, path: system.open(path, "rb"))
        try:
            while piece := await self._quietly(file.read, PIECE):
                yield piece
        finally:
            await asyncio.to_thread(file.close)

    @asynccontextmanager
    async def local(self, identifier: str) -> AsyncIterator[Path]:
        """An object as a file of this machine, while the block runs.

        Raises:
            NotFound: There is none of that id, any more.
            StorageUnavailable: The store is away.
        """
        with contextlib.ExitStack() as stack:

            def fetch(system: Any, path: str) -> Path:
                if isinstance(system, LocalFileSystem):
                    if not Path(path).is_file():
                        raise FileNotFoundError(path)
                    return Path(path)
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"parley-{self._kind}-"))
                file = Path(folder) / identifier
                system.get_file(path, str(file))
                return file

            yield await self._at(identifier, fetch)

    async def delete(self, identifier: str) -> None:
        """Forgets an object; it is no fault that there is none. Raises StorageUnavailable."""
        with contextlib.suppress(NotFound):
            await self._at(identifier, lambda system, path: system.rm_file(path))

    async def _at(self, identifier: str, work: Callable[[Any, str], T]) -> T:
        """What `work(system, path)` returns for an object, in a thread."""

        def there() -> T:
            system, folder = self._store
            return work(system, f"{folder}/{identifier}")

        try:
            return await self._quietly(there)
        except FileNotFoundError:
            raise NotFound(f"{self._kind}/{identifier}") from None

    async def _quietly(self, work: Callable[..., T], *arguments: object) -> T:
        with self._faults():
            return await asyncio.to_thread(work, *arguments)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns what a store says into StorageUnavailable, but for a file that is not there."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            log.error("objects cannot be kept", kind=self._kind, error=str(error))
            raise StorageUnavailable(f"The store of {self._kind} is full or away. Try again shortly.") from error


def _commit(file: Any) -> None:
    file.close()
    file.commit()


def _discard(file: Any) -> None:
    with contextlib.suppress(OSError):
        file.close()
        file.discard()
