"""Use cases about registered databases: register, change, list, get, forget, check, read the schema.

What the caller may use is looked at here, for all of them: a database without a grant is refused, and one whose grant
names a role is shown as that role sees it (services/sql/schemas/views.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from services.mesh import authority, paging, telemetry, tenancy
from services.mesh.authority import Persona
from services.mesh.errors import AlreadyExists, InvalidArgument, NotFound, ParleyError
from services.mesh.tenancy import DEFAULT_ORGANISATION
from services.sql import target as targets
from services.sql.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    DatabaseUnreachable,
    HostRefused,
    NoRoles,
    NotOpen,
    SchemaOnly,
)
from services.sql.execution.pool import Pool, Pools
from services.sql.schema import Schema
from services.sql.schemas import introspect, semantic
from services.sql.schemas.merge import merged
from services.sql.schemas.semantic_schema import applied
from services.sql.schemas.views import Found, Views, seen
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

    def files_of(self, organisation: str) -> Path | None:
        """Where an organisation's files may lie: the operator's own anywhere, another's in a folder of its name."""
        if self.files is None or organisation in ("", DEFAULT_ORGANISATION):
            return self.files
        return self.files / organisation


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
        self._views = Views(check_seconds)
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
            InvalidArgument: The URL is missing or not one that may be registered, or leads to a host that is not.
            AlreadyExists: The id is taken.
            NotGranted: The caller could not use a database of that id.
            DatabaseUnavailable: It cannot be reached, or refuses; nothing is registered.
            StorageUnavailable: It cannot be stored; nothing is registered.
        """
        if not url and given is None:
            raise InvalidArgument(targets.FIELD, "it is required. Write postgresql://user:password@host:port/name.")
        await self.wants_new(identifier)
        now = datetime.now(UTC)
        if url:
            target = self._parsed(url)
            found = await self._tried(target, given)
            registered = Registered(identifier, display_name or identifier, description, target.dialect, now, now)
            registered = _active(registered, found)
        else:
            assert given is not None
            found = Found(given, "", now)
            registered = Registered(
                identifier, display_name or identifier, description, given.dialect, now, now, State.SCHEMA_ONLY
            )
        await self._store.add(registered, url, found.schema, given)
        self._checks[tenancy.key(identifier)] = time.monotonic()
        return registered

    async def create_upload(self, identifier: str, file: Path, display_name: str, description: str) -> Registered:
        """Registers a DuckDB file in the folder of uploads; on any error the file is deleted. Raises as `create`."""
        url = f"{targets.UPLOAD}:///{file.name}"
        try:
            target = self._parsed(url, self._folders.uploads)
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
            NotGranted: The caller may not use it.
            NotFound: There is no such database.
            InvalidArgument: The URL may not be registered, or leads to a host that may not.
            DatabaseUnavailable: Nothing answers there, or refuses; all stays as it was.
            StorageUnavailable: It cannot be stored; all stays as it was.
        """
        _persona(identifier)
        registered = await self._store.get(identifier)
        registered = replace(
            registered,
            display_name=display_name or registered.display_name,
            description=description or registered.description,
        )
        if not url:
            return await self._store.change(registered)
        target = self._parsed(url)
        found = await self._tried(target, await self._store.given(identifier))
        old = await self._target_if_any(identifier)
        changed = await self._store.change(
            _active(replace(registered, dialect=target.dialect), found), url=url, schema=found.schema
        )
        self._forget(identifier, old)
        return changed

    async def get(self, identifier: str) -> Registered:
        """The database of that id, with its state as it is now. Raises NotGranted, NotFound, StorageUnavailable."""
        _persona(identifier)
        return await self._fresh(await self._store.get(identifier))

    async def list(self, page_size: int, page_token: str) -> tuple[list[Registered], str]:
        """A page of the databases that the caller may use, ordered by name, and the token of the next page.

        The token is empty on the last page. Their states are those of their last checks.

        Raises:
            InvalidArgument: The token is not from a previous page.
            StorageUnavailable: The storage does not answer.
        """
        size = paging.size(page_size)
        after = paging.key(page_token, str)[0] if page_token else ""
        allowed, found = authority.current(), list[Registered]()
        while len(found) <= size:
            some = await self._store.list(after, size + 1)
            found += [one for one in some if allowed.may_use_database(one.id)]
            if len(some) <= size:
                break
            after = some[-1].id
        return found[:size], paging.token(found[size - 1].id) if len(found) > size else ""

    async def delete(self, identifier: str) -> None:
        """Forgets a database, and deletes the file of an upload. Raises NotGranted, NotFound, StorageUnavailable."""
        _persona(identifier)
        old = await self._target_if_any(identifier)
        await self._store.remove(identifier)
        self._forget(identifier, old)

    async def schema(self, identifier: str) -> tuple[Schema, datetime]:
        """Its schema with its semantic layer, and when it was read: again where the database's fingerprint changed.

        Where the caller's grant names a role, it is what that role may read, with values that it sees. A database that
        does not answer keeps the schema that was last read.

        Raises NotGranted, NotFound, StorageUnavailable; with a role, NoRoles, RoleRefused, and DatabaseUnavailable
        where it was never read as that role.
        """
        persona = _persona(identifier)
        registered = await self._fresh(await self._store.get(identifier))
        return await self._view(registered, persona) if persona else await self._all(registered)

    async def whole(self, identifier: str) -> Schema:
        """Its schema as the connection's user sees it: for judging, never for showing. Raises as `schema` does."""
        _persona(identifier)
        return (await self._all(await self._store.get(identifier)))[0]

    async def _all(self, registered: Registered) -> tuple[Schema, datetime]:
        identifier = registered.id
        key = (tenancy.key(identifier), registered.created, registered.schema_read, registered.semantics)
        if key not in self._cache:
            bare = await self._store.schema(identifier)
            self._cache[key] = await asyncio.to_thread(_meant, identifier, bare, registered.semantics)
            while len(self._cache) > CACHED_SCHEMAS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key], registered.schema_read

    async def _view(self, registered: Registered, persona: Persona) -> tuple[Schema, datetime]:
        """What a persona sees of a database."""
        if registered.state is State.SCHEMA_ONLY:
            raise NoRoles("a schema without a database")
        target = (await self._target(registered.id)).seen_by(persona)

        async def read() -> Found:
            found = await self._read(target, await self._store.given(registered.id))
            meant = await asyncio.to_thread(_meant, registered.id, found.schema, registered.semantics, whole=False)
            return replace(found, schema=seen(meant))

        version = (registered.created, registered.schema_read, registered.semantics)
        found = await self._views.get(
            tenancy.key(registered.id),
            persona,
            version,
            read,
            lambda: asyncio.to_thread(_fingerprint, self._pools.of(target)),
        )
        return found.schema, found.read

    async def refresh(self, identifier: str) -> tuple[Schema, datetime]:
        """Reads the schema again.

        Raises:
            NotGranted: The caller may not use it.
            NotFound: There is no such database.
            SchemaOnly: There is only a schema.
            DatabaseUnavailable: It cannot be read; the old schema stays.
            StorageUnavailable: It cannot be stored; the old schema stays.
        """
        persona = _persona(identifier)
        registered = await self._store.get(identifier)
        found = await self._renew(registered)
        if persona:
            return await self.schema(identifier)
        return await asyncio.to_thread(_meant, identifier, found.schema, registered.semantics), found.read

    async def _renew(self, registered: Registered) -> Found:
        """Reads the schema of the connection's user again, and stores it. Raises what `refresh` raises."""
        identifier = registered.id
        try:
            found = await self._read(await self._target(identifier), await self._store.given(identifier))
        except DatabaseUnavailable as error:
            await self._store.change(_failed(registered, error))
            raise
        await self._store.change(_active(registered, found), schema=found.schema)
        self._checks[tenancy.key(identifier)] = time.monotonic()
        return found

    async def bare_schema(self, identifier: str) -> Schema:
        """Its schema as last read, without its semantic layer. Raises as `semantics` does."""
        _require_all(identifier)
        return await self._store.schema(identifier)

    async def semantics(self, identifier: str) -> str:
        """Its semantic layer, as YAML.

        Raises NotGranted, NotFound, StorageUnavailable; NotOpen where the caller's role might not see all of it.
        """
        _require_all(identifier)
        return (await self._store.get(identifier)).semantics

    async def set_semantics(self, identifier: str, text: str) -> None:
        """Replaces its semantic layer, which fits it. Raises as `semantics` does."""
        _require_all(identifier)
        await self._store.set_semantics(identifier, text)

    async def renewed(self, identifier: str, outdated: datetime) -> tuple[Schema, datetime]:
        """The schema, read again unless someone did so since the `outdated` one was. Raises what `refresh` raises."""
        schema, read = await self.schema(identifier)
        return (schema, read) if read > outdated else await self.refresh(identifier)

    async def target(self, identifier: str) -> Target:
        """Where it is, and as whom it is to see the caller.

        Raises:
            NotGranted: The caller may not use it.
            NotFound: There is no such database.
            NoRoles: The caller's grant names a role, and it has none.
            SchemaOnly: There is only a schema.
            DatabaseUnavailable: It may no longer be registered: its file is gone, for instance.
        """
        persona = _persona(identifier)
        return (await self._target(identifier)).seen_by(persona)

    async def _target(self, identifier: str) -> Target:
        """Where it is, for Parley's own statements. Raises as `target` does."""
        url = await self._store.url(identifier)
        if not url:
            raise SchemaOnly(f"databases/{identifier}")
        try:
            target = self._parsed(url, self._folders.uploads)
            self._targets[tenancy.key(identifier)] = target
            return target
        except InvalidArgument as error:
            why = error.violations[0].description
            raise DatabaseUnavailable(
                f"databases/{identifier} is gone or may no longer be used: {why}", retry_after=None
            ) from error

    async def wants_new(self, identifier: str) -> None:
        """Raises AlreadyExists, or NotGranted, before anything is read.

        Two that come at once are told apart when they are stored.
        """
        _persona(identifier)
        with contextlib.suppress(NotFound):
            raise AlreadyExists((await self._store.get(identifier)).name)

    def _parsed(self, url: str, uploads: Path | None = None) -> Target:
        """Where a URL of the caller's organisation leads to. Raises InvalidArgument."""
        organisation = tenancy.organisation()
        target = targets.parse(url, self._folders.files_of(organisation), uploads)
        return replace(target, organisation=organisation)

    async def _tried(self, target: Target, given: Schema | None) -> Found:
        """Reads a database that the caller gave the URL of. Raises InvalidArgument, DatabaseUnavailable."""
        try:
            return await self._read(target, given)
        except HostRefused as error:
            raise InvalidArgument(targets.FIELD, error.WHY) from None

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
        async with self._locks[tenancy.key(registered.id)]:
            if not self._stale(registered.id):
                return await self._store.get(registered.id)
            self._checks[tenancy.key(registered.id)] = time.monotonic()
            return await self._checked(await self._store.get(registered.id))

    def _stale(self, identifier: str) -> bool:
        checked = self._checks.get(tenancy.key(identifier))
        if self._pools.doubted(self._targets.get(tenancy.key(identifier))):
            return True
        return checked is None or time.monotonic() - checked >= self._check_seconds

    async def _checked(self, registered: Registered) -> Registered:
        """Asks the database for its fingerprint, and reads its schema again where that is another one."""
        now = datetime.now(UTC)
        try:
            pool = self._pools.of(await self._target(registered.id))
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
                await self._renew(registered)
            return await self._store.get(registered.id)
        if registered.state is State.ACTIVE:
            return replace(registered, checked=now)
        return await self._store.change(replace(registered, state=State.ACTIVE, state_message="", checked=now))

    async def _target_if_any(self, identifier: str) -> Target | None:
        """Where it is, if that is known still. Raises NotFound."""
        try:
            return await self._target(identifier)
        except NotFound:
            raise
        except ParleyError:
            return None

    def _forget(self, identifier: str, old: Target | None) -> None:
        """Closes the connections to where a database was; an upload's file is deleted."""
        self._checks.pop(tenancy.key(identifier), None)
        self._targets.pop(tenancy.key(identifier), None)
        self._views.forget(tenancy.key(identifier))
        if old is None:
            return
        self._pools.drop(old)
        uploads = self._folders.uploads
        if uploads is not None and old.url.get_backend_name() == "duckdb" and old.path.parent == uploads:
            old.path.unlink(missing_ok=True)


def _persona(identifier: str) -> Persona:
    """As whom a database sees the caller. Raises NotGranted where it is not open to them."""
    return authority.current().persona(identifier)


def _require_all(identifier: str) -> None:
    """Raises NotOpen where the caller's role might see only a part of a database, NotGranted where they see nothing."""
    if _persona(identifier):
        raise NotOpen(
            f"The semantic layer describes all of databases/{identifier}, of which your grant's database role may read "
            "only a part. Ask an administrator for a grant without a role."
        )


def _meant(identifier: str, schema: Schema, layer: str, *, whole: bool = True) -> Schema:
    """A schema with its semantic layer; what no longer fits since the database changed is left out.

    Args:
        identifier: The database's.
        schema: The schema.
        layer: The layer, as YAML.
        whole: Whether all should fit, and what does not is worth a line in the log.
    """
    if not layer:
        return schema
    meant, faults = applied(semantic.parse(layer), schema)
    if faults and whole:
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
