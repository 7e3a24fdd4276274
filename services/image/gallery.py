"""Keeps pictures for a while: their bytes in the object store, what is known of them in the database."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from services.image import pictures, store
from services.image.drawing import Output, Picture
from services.image.pictures import Pixels
from services.image.store import Store
from services.mesh.errors import StorageUnavailable
from services.mesh.objects import Objects


class Gallery:
    """The pictures.

    Args:
        objects: Their bytes.
        records: What is known of them.
    """

    def __init__(self, objects: Objects, records: Store) -> None:
        self._objects, self._store = objects, records

    async def keep(
        self,
        owner: str,
        image: Pixels,
        output: Output,
        *,
        text: str = "",
        index: int = 0,
        seed: int = 0,
        model: str = "",
        job: str = "",
        keep: bool = True,
    ) -> Picture:
        """Makes a file of a picture and keeps it: all of it, or nothing.

        Args:
            owner: Whose picture it is.
            image: The picture.
            output: The format.
            text: Its infotext.
            index: Which of the request's pictures.
            seed: That it was drawn with.
            model: What drew it.
            job: Id of its job.
            keep: Without it, only the file is made: the picture has no id.

        Returns:
            The picture with its content.

        Raises:
            StorageUnavailable: The store or the database is full or away.
        """
        content = await asyncio.to_thread(pictures.write, image, output.format, output.quality, text)
        created = store.now()
        picture = Picture(
            id=uuid.uuid4().hex if keep else "",
            index=index,
            width=image.shape[1],
            height=image.shape[0],
            content_type=output.format.content_type,
            size=len(content),
            seed=seed,
            infotext=text,
            model=model,
            job=job,
            create_time=store.moment(created),
            expire_time=store.moment(self._store.expiry(created)),
            content=content,
        )
        if keep:
            # Not to be torn apart by a client that goes away meanwhile.
            await asyncio.shield(self._kept(owner, picture))
        return picture

    async def _kept(self, owner: str, picture: Picture) -> None:
        await self._objects.write(picture.id, picture.content)
        try:
            await self._store.keep(owner, replace(picture, content=b""))
        except BaseException:
            with contextlib.suppress(StorageUnavailable):
                await self._objects.delete(picture.id)
            raise

    async def get(self, owner: str, identifier: str) -> Picture:
        """What is known of a picture. Raises NotFound."""
        return await self._store.picture(owner, identifier)

    async def several(self, owner: str, identifiers: Sequence[str]) -> list[Picture]:
        """What is known of pictures, in their order; without those that are not there."""
        found = {picture.id: picture for picture in await self._store.several(owner, identifiers)}
        return [found[identifier] for identifier in identifiers if identifier in found]

    async def open(self, owner: str | None, identifier: str) -> tuple[Picture, AsyncGenerator[bytes, None]]:
        """A picture and its content, piece by piece. Raises NotFound, StorageUnavailable.

        Args:
            owner: Whose it is; None: anybody's in the organisation that this works for.
            identifier: Its id.
        """
        picture = await self._store.picture(owner, identifier)
        return picture, self._objects.read(identifier)

    async def page(self, owner: str, size: int, token: str) -> tuple[list[Picture], str]:
        """A page of pictures, the newest first, and the token of the next."""
        return await self._store.pictures(owner, size, token)

    async def delete(self, owner: str, identifier: str) -> None:
        """Deletes a picture. Raises NotFound, StorageUnavailable."""
        await self._store.picture(owner, identifier)
        await self._objects.delete(identifier)
        await self._store.forget(owner, identifier)

    async def sweep(self) -> None:
        """Deletes what is over its time. Raises StorageUnavailable."""
        while True:
            expired = await self._store.expired()
            for identifier in expired:
                await self._objects.delete(identifier)
            await self._store.sweep(expired)
            if not expired:
                return
