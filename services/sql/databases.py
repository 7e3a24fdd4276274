"""Use cases about registered databases: register, list, get, forget, read the schema."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path

from services.mesh.errors import InvalidArgument
from services.sql import target as targets
from services.sql.errors import DatabaseUnavailable
from services.sql.introspect import read_schema
from services.sql.schema import Schema
from services.sql.store import Registered, Store
from services.sql.target import Target

DEFAULT_PAGE = 50
MAX_PAGE = 1000
# Parsed schemas kept in memory: reading one from storage takes longer than a question.
CACHED_SCHEMAS = 32


class Databases:
    """Registered databases.

    Args:
        store: Where they are kept.
        sqlite_root: The folder that SQLite files must lie in; None allows none.
    """

    def __init__(self, store: Store, sqlite_root: Path | None) -> None:
        self._store = store
        self._sqlite_root = sqlite_root
        self._cache: OrderedDict[tuple[str, datetime, datetime], Schema] = OrderedDict()

    async def create(self, identifier: str, url: str, display_name: str, description: str) -> Registered:
        """Registers a database after reading its schema.

        Raises:
            InvalidArgument: The URL is missing or not one that may be registered.
            AlreadyExists: The id is taken.
            DatabaseUnavailable: It cannot be read; nothing is registered.
            StorageUnavailable: It cannot be stored; nothing is registered.
        """
        if not url:
            raise InvalidArgument(targets.FIELD, "it is required. Write postgresql://user:password@host:port/name.")
        target = targets.parse(url, self._sqlite_root)
        schema = await asyncio.to_thread(read_schema, target)
        now = datetime.now(UTC)
        registered = Registered(identifier, display_name or identifier, description, target.dialect, now, now)
        await self._store.add(registered, url, schema)
        return registered

    async def get(self, identifier: str) -> Registered:
        """The database of that id. Raises NotFound, StorageUnavailable."""
        return await self._store.get(identifier)

    async def list(self, page_size: int, page_token: str) -> tuple[list[Registered], str]:
        """A page of databases ordered by name, and the token of the next page; it is empty on the last.

        Raises:
            InvalidArgument: The token is not from a previous page.
            StorageUnavailable: The storage does not answer.
        """
        size = min(page_size or DEFAULT_PAGE, MAX_PAGE)
        found = await self._store.list(_from_token(page_token), size + 1)
        more = len(found) > size
        return found[:size], _to_token(found[size - 1].id) if more else ""

    async def delete(self, identifier: str) -> None:
        """Forgets a database. Raises NotFound, StorageUnavailable."""
        await self._store.remove(identifier)

    async def schema(self, identifier: str) -> tuple[Schema, datetime]:
        """Its schema as last read, and when. Raises NotFound, StorageUnavailable."""
        registered = await self._store.get(identifier)
        key = (identifier, registered.created, registered.schema_read)
        if key not in self._cache:
            self._cache[key], _ = await self._store.schema(identifier)
            while len(self._cache) > CACHED_SCHEMAS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key], registered.schema_read

    async def refresh(self, identifier: str) -> tuple[Schema, datetime]:
        """Reads the schema again. Raises NotFound, DatabaseUnavailable, StorageUnavailable; the old one then stays."""
        schema = await asyncio.to_thread(read_schema, await self.target(identifier))
        read = datetime.now(UTC)
        await self._store.put_schema(identifier, schema, read)
        return schema, read

    async def renewed(self, identifier: str, outdated: datetime) -> tuple[Schema, datetime]:
        """The schema, read again unless someone did so since the `outdated` one was. Raises what `refresh` raises."""
        schema, read = await self.schema(identifier)
        return (schema, read) if read > outdated else await self.refresh(identifier)

    async def target(self, identifier: str) -> Target:
        """Where it is. Raises NotFound, and DatabaseUnavailable for a file that is gone or may no longer be read."""
        url = await self._store.url(identifier)
        try:
            return targets.parse(url, self._sqlite_root)
        except InvalidArgument as error:
            raise DatabaseUnavailable(
                f"The file of databases/{identifier} is gone or may no longer be read.", retry_after=None
            ) from error


def _to_token(identifier: str) -> str:
    return base64.urlsafe_b64encode(identifier.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidArgument("page_token", "it is not a token of a previous page.") from None
