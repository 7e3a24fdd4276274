"""Use case: a database made of uploaded files."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from services.mesh.errors import InvalidArgument, Unsupported
from services.sql.databases import Databases
from services.sql.store import Registered
from services.sql.uploads.receive import Receiver

_IDENTIFIER = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Uploads:
    """Makes databases of files.

    Args:
        databases: Where they are registered.
        folder: Where their DuckDB files are kept; None: uploads are not offered.
        max_bytes: Of an upload.
        max_rows: Of a table.
    """

    def __init__(self, databases: Databases, folder: Path | None, max_bytes: int, max_rows: int) -> None:
        self._databases = databases
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_rows = max_rows

    async def create(self, pieces: AsyncIterator[tuple[str, bytes]]) -> tuple[Registered, list[str]]:
        """Registers a database made of an upload, and says what was done to fit.

        Args:
            pieces: The form: content type (that of the first piece counts) and bytes.

        Raises:
            Unsupported: Uploads are not offered here.
            InvalidArgument: A field or file is wrong; it is named.
            TooLarge: It is larger than allowed.
            AlreadyExists: The id is taken.
            StorageUnavailable: It cannot be stored. In all cases nothing is left of the upload.
        """
        if self._folder is None:
            raise Unsupported("Uploads are not offered here: PARLEY_SQL_UPLOAD_ROOT is not set.")
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        # Beside the database, so that the disk that holds it is the one that is filled.
        temporary = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".upload-", dir=self._folder))
        try:
            received = await self._received(pieces, temporary)
            return await self._made(received, temporary)
        finally:
            await asyncio.to_thread(shutil.rmtree, temporary, ignore_errors=True)

    async def _received(self, pieces: AsyncIterator[tuple[str, bytes]], folder: Path) -> Receiver:
        receiver: Receiver | None = None
        try:
            async for content_type, piece in pieces:
                receiver = receiver or Receiver(content_type, folder, self._max_bytes)
                await asyncio.to_thread(receiver.feed, piece)
            if receiver is None:
                raise InvalidArgument("body", "is empty: send a multipart form.")
            receiver.finish()
        finally:
            if receiver is not None:
                receiver.close()
        if not _IDENTIFIER.fullmatch(receiver.fields.get("database_id", "")):
            raise InvalidArgument(
                "database_id", "is required: lower-case letters, digits and hyphens, starting with a letter."
            )
        return receiver

    async def _made(self, received: Receiver, temporary: Path) -> tuple[Registered, list[str]]:
        from services.sql.uploads.tables import (
            Builder,  # here: DuckDB takes its time to import, and only uploads need it so
        )

        assert self._folder is not None
        identifier = received.fields["database_id"]
        await self._databases.wants_new(identifier)
        file = self._folder / f"{identifier}-{uuid.uuid4().hex}.duckdb"
        builder = Builder(file, temporary, self._max_rows)
        notes = await asyncio.to_thread(builder.build, received.files)
        registered = await self._databases.create_upload(
            identifier,
            file,
            received.fields.get("display_name", "")[:200],
            received.fields.get("description", "")[:2000],
        )
        return registered, notes
