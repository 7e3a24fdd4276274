"""Use cases about registered databases: register, change, list, get, forget, check, read the schema."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from services.mesh import paging, telemetry
from services.mesh.errors import AlreadyExists, InvalidArgument, NotFound, ParleyError
from services.sql import target as targets
from services.sql.errors import DatabaseRefused, DatabaseUnavailable, DatabaseUnreachable, SchemaOnly
from services.sql.execution.pool import Pool, Pools
from services.sql.schema import Schema
from services.sql.schemas import introspect, semantic
from services.sql.schemas.merge import merged
from services.sql.schemas.semantic_schema import applied
from services.sql.store import Registered, State, Store
from services.sql.target import Target

log = telemetry.get_logger(__name__)

# Parsed schemas kept in memory: reading one from storage takes longer than a question.
CACHED_SCHEMAS = 32
# A check that takes longer than this is given up; the next one tries again, in seconds.
CHECK_SECONDS = 6.0


@dataclass(frozen=True)
class Folders:
    """Where databases that are files may lie; None allows none."""

    files: Path | None = None
    """SQLite and DuckDB files and chDB folders that people register."""
    uploads: Path | None = None
    """DuckDB files that this service makes of uploads."""


@dataclass(frozen=True)
class Found:
    """What a database looked like when it was read."""

    schema: Schema
    fingerprint: str
    read: datetime


class Databases:
    """Registered databases.

    Args:
        store: Where they are kept.
        folders: Where files may lie.
        pools: Connections to them.
        check_seconds: How old may be what is known about a database: whether it answers, whether its schema changed.
    """

    def __init__(self, store: Store, folders: Folders, pools: Pools, check_seconds: float = 30.0) -> None:
        self._store = store
        self._folders = folders
        self._pools = pools
        self._check_seconds = check_seconds
        self._cache: OrderedDict[tuple[str, datetime, datetime, str], Schema] = OrderedDict()
        self._checks: dict[str, float] = {}
        self._targets: dict[str, Target] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def create(
        self, identifier: str, url: str, display_name: str, description: str, given: Schema | None = None
    ) -> Registered:
        """Registers a database after reading its schema.

        Args:
            identifier: The id that it shall have.
            url: Where it is; may be empty where `given` says what it looks like.
            display_name: What people call it; the id where it is empty.
            description: What it holds.
            given: A schema from elsewhere. With a URL it adds descriptions and keys to what is read.

        Raises:
            InvalidArgument: The URL is missing or not one that may be registered.
            AlreadyExists: The id is taken.
            DatabaseUnavailable: It cannot be reached, or refuses; nothing is registered.
            StorageUnavailable: It cannot be stored; nothing is registered.
        """
        if not url and given is None:
            raise InvalidArgument(targets.FIELD, "it is required. Write postgresql://user:password@host:port/name.")
        await self.wants_new(identifier)
        now = datetime.now(UTC)
        if url:
            target = targets.parse(url, self._folders.files)
            found = await self._read(target, given)
            registered = Registered(identifier, display_name or identifier, description, target.dialect, now, now)
            registered = _active(registered, found)
        else:
            assert given is not None
            found = Found(given, "", now)
            registered = Registered(
                identifier, display_name or identifier, description, given.dialect, now, now, State.SCHEMA_ONLY
            )
        await self._store.add(registered, url, found.schema, given)
        self._checks[identifier] = time.monotonic()
        return registered

    async def create_upload(self, identifier: str, file: Path, display_name: str, description: str) -> Registered:
        """Registers a DuckDB file in the folder of uploads; on any error the file is deleted. Raises as `create`."""
        url = f"{targets.UPLOAD}:///{file.name}"
        try:
            target = targets.parse(url, None, self._folders.uploads)
            found = await self._read(target, None)
            now = datetime.now(UTC)
            registered = Registered(identifier, display_name or identifier, description, target.dialect, now, now)
            registered = _active(registered, found)
            await self._store.add(registered, url, found.schema)
        except BaseException:
            await asyncio.to_thread(file.unlink, missing_ok=True)
            raise
        return registered

    async def update(self, identifier: str, url: str, display_name: str, description: str) -> Registered:
        """Changes what is given; what is empty stays. A new URL is tried, and its schema read, before it is kept.

        Raises:
            NotFound: There is no such database.
            InvalidArgument: The URL may not be registered.
            DatabaseUnavailable: Nothing answers there, or refuses; all stays as it was.
            StorageUnavailable: It cannot be stored; all stays as it was.
        """
        registered = await self._store.get(identifier)
        registered = replace(
            registered,
            display_name=display_name or registered.display_name,
            description=description or registered.description,
        )
        if not url:
            return await self._store.change(registered)
        target = targets.parse(url, self._folders.files)
        found = await self._read(target, await self._store.given(identifier))
        old = await self._target_if_any(identifier)
        changed = await self._store.change(
            _active(replace(registered, dialect=target.dialect), found), url=url, schema=found.schema
        )
        self._forget(identifier, old)
        return changed

    async def get(self, identifier: str) -> Registered:
        """The database of that id, with its state as it is now. Raises NotFound, StorageUnavailable."""
        return await self._fresh(await self._store.get(identifier))

    async def list(self, page_size: int, page_token: str) -> tuple[list[Registered], str]:
        """A page of databases ordered by name, and the token of the next page; it is empty on the last.

        Their states are those of their last checks.

        Raises:
            InvalidArgument: The token is not from a previous page.
            StorageUnavailable: The storage does not answer.
        """
        size = paging.size(page_size)
        after = paging.key(page_token, str)[0] if page_token else ""
        found = await self._store.list(after, size + 1)
        return found[:size], paging.token(found[size - 1].id) if len(found) > size else ""

    async def delete(self, identifier: str) -> None:
        """Forgets a database, and deletes the file of an upload. Raises NotFound, StorageUnavailable."""
        old = await self._target_if_any(identifier)
        await self._store.remove(identifier)
        self._forget(identifier, old)

    async def schema(self, identifier: str) -> tuple[Schema, datetime]:
        """Its schema with its semantic layer, and when it was read: again where the database's fingerprint changed.

        Raises NotFound, StorageUnavailable. A database that does not answer keeps the schema that was last read.
        """
        registered = await self._fresh(await self._store.get(identifier))
        key = (identifier, registered.created, registered.schema_read, registered.semantics)
        if key not in self._cache:
            bare = await self._store.schema(identifier)
            self._cache[key] = await asyncio.to_thread(_meant, identifier, bare, registered.semantics)
            while len(self._cache) > CACHED_SCHEMAS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key], registered.schema_read

    async def refresh(self, identifier: str) -> tuple[Schema, datetime]:
        """Reads the schema again.

        Raises:
            NotFound: There is no such database.
            SchemaOnly: There is only a schema.
            DatabaseUnavailable: It cannot be read; the old schema stays.
            StorageUnavailable: It cannot be stored; the old schema stays.
        """
        registered = await self._store.get(identifier)
        try:
            found = await self._read(await self.target(identifier), await self._store.given(identifier))
        except DatabaseUnavailable as error:
            await self._store.change(_failed(registered, error))
            raise
        await self._store.change(_active(registered, found), schema=found.schema)
        self._checks[identifier] = time.monotonic()
        return await asyncio.to_thread(_meant, identifier, found.schema, registered.semantics), found.read

    async def bare_schema(self, identifier: str) -> Schema:
        """Its schema as last read, without its semantic layer. Raises NotFound, StorageUnavailable."""
        return await self._store.schema(identifier)

    async def semantics(self, identifier: str) -> str:
        """Its semantic layer, as YAML. Raises NotFound, StorageUnavailable."""
        return (await self._store.get(identifier)).semantics

    async def set_semantics(self, identifier: str, text: str) -> None:
        """Replaces its semantic layer, which fits it. Raises NotFound, StorageUnavailable."""
        await self._store.set_semantics(identifier, text)

    async def renewed(self, identifier: str, outdated: datetime) -> tuple[Schema, datetime]:
        """The schema, read again unless someone did so since the `outdated` one was. Raises what `refresh` raises."""
        schema, read = await self.schema(identifier)
        return (schema, read) if read > outdated else await self.refresh(identifier)

    async def target(self, identifier: str) -> Target:
        """Where it is.

        Raises:
            NotFound: There is no such database.
            SchemaOnly: There is only a schema.
            DatabaseUnavailable: Its file is gone or may no longer be read.
        """
        url = await self._store.url(identifier)
        if not url:
            raise SchemaOnly(f"databases/{identifier}")
        try:
            target = targets.parse(url, self._folders.files, self._folders.uploads)
            self._targets[identifier] = target
            return target
        except InvalidArgument as error:
            raise DatabaseUnavailable(
                f"The file of databases/{identifier} is gone or may no longer be read.", retry_after=None
            ) from error

    async def wants_new(self, identifier: str) -> None:
        """Raises AlreadyExists before anything is read; two that come at once are told apart when they are stored."""
        with contextlib.suppress(NotFound):
            raise AlreadyExists((await self._store.get(identifier)).name)

    async def _read(self, target: Target, given: Schema | None) -> Found:
        """Reads a database. Raises DatabaseUnavailable."""

        def work(pool: Pool) -> Found:
            with pool.session() as session:
                read = datetime.now(UTC)
                fingerprint = session.fingerprint()
                schema = introspect.read(session, target.dialect)
                return Found(merged(schema, given) if given else schema, fingerprint, read)

        return await asyncio.to_thread(work, self._pools.of(target))

    async def _fresh(self, registered: Registered) -> Registered:
        """The database as it is now, unless that was checked lately. A check that fails is in its state."""
        if registered.state is State.SCHEMA_ONLY or not self._stale(registered.id):
            return registered
        async with self._locks[registered.id]:
            if not self._stale(registered.id):
                return await self._store.get(registered.id)
            self._checks[registered.id] = time.monotonic()
            return await self._checked(await self._store.get(registered.id))

    def _stale(self, identifier: str) -> bool:
        checked = self._checks.get(identifier)
        if self._pools.doubted(self._targets.get(identifier)):
            return True
        return checked is None or time.monotonic() - checked >= self._check_seconds

    async def _checked(self, registered: Registered) -> Registered:
        """Asks the database for its fingerprint, and reads its schema again where that is another one."""
        now = datetime.now(UTC)
        try:
            pool = self._pools.of(await self.target(registered.id))
            async with asyncio.timeout(CHECK_SECONDS):
                fingerprint = await asyncio.to_thread(_fingerprint, pool)
        except DatabaseUnavailable as error:
            return await self._store.change(_failed(registered, error))
        except TimeoutError:
            message = "The database does not answer in time."
            return await self._store.change(
                replace(registered, state=State.UNREACHABLE, state_message=message, checked=now)
            )
        except ParleyError as error:
            # Its URL cannot be opened, or its catalogue not be read: whoever asks a question is told so.
            log.info("database cannot be checked", database=registered.id, error=type(error).__name__)
            return registered
        if fingerprint != registered.fingerprint:
            log.info("schema changed", database=registered.id)
            with contextlib.suppress(DatabaseUnavailable):
                await self.refresh(registered.id)
            return await self._store.get(registered.id)
        if registered.state is State.ACTIVE:
            return replace(registered, checked=now)
        return await self._store.change(replace(registered, state=State.ACTIVE, state_message="", checked=now))

    async def _target_if_any(self, identifier: str) -> Target | None:
        """Where it is, if that is known still. Raises NotFound."""
        try:
            return await self.target(identifier)
        except NotFound:
            raise
        except ParleyError:
            return None

    def _forget(self, identifier: str, old: Target | None) -> None:
        """Closes the connections to where a database was; an upload's file is deleted."""
        self._checks.pop(identifier, None)
        self._targets.pop(identifier, None)
        if old is None:
            return
        self._pools.drop(old)
        uploads = self._folders.uploads
        if uploads is not None and old.url.get_backend_name() == "duckdb" and old.path.parent == uploads:
            old.path.unlink(missing_ok=True)


def _meant(identifier: str, schema: Schema, layer: str) -> Schema:
    """A schema with its semantic layer; what no longer fits since the database changed is left out."""
    if not layer:
        return schema
    meant, faults = applied(semantic.parse(layer), schema)
    if faults:
        log.warning("semantic layer does not fit any more", database=identifier, faults=faults[:10])
    return meant


def _fingerprint(pool: Pool) -> str:
    try:
        with pool.session() as session:
            return session.fingerprint()
    except DatabaseUnreachable:
        # Only an idle connection may have died.
        with pool.session(new=True) as session:
            return session.fingerprint()


def _active(registered: Registered, found: Found) -> Registered:
    return replace(
        registered,
        schema_read=found.read,
        state=State.ACTIVE,
        state_message="",
        checked=found.read,
        fingerprint=found.fingerprint,
    )


def _failed(registered: Registered, error: DatabaseUnavailable) -> Registered:
    state = State.REFUSED if isinstance(error, DatabaseRefused) else State.UNREACHABLE
    return replace(registered, state=state, state_message=error.message, checked=datetime.now(UTC))
