"""Registered databases and their schemas, in this service's own database. URLs are encrypted where there is a key."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, String, Text, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from services.mesh import tenancy
from services.mesh.context import MAX_ORGANISATION
from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, NotFound
from services.mesh.sealing import Seal
from services.mesh.tenancy import DEFAULT_ORGANISATION, Tenant
from services.sql.schema import Dialect, Schema


class State(enum.StrEnum):
    """Whether a database answers; the names are those of the contract's enum."""

    UNSPECIFIED = "unspecified"
    ACTIVE = "active"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    SCHEMA_ONLY = "schema_only"


class _Base(DeclarativeBase):
    """Tables of this service."""


class DatabaseRow(Tenant, _Base):
    """A registered database; two organisations may have one of the same id each."""

    __tablename__ = "databases"

    organisation: Mapped[str] = mapped_column(
        String(MAX_ORGANISATION), primary_key=True, server_default=DEFAULT_ORGANISATION
    )
    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text)
    dialect: Mapped[str] = mapped_column(String(20))
    url: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(DateTime)
    schema_read: Mapped[datetime] = mapped_column(DateTime)
    schema: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20), default=State.UNSPECIFIED.value)
    state_message: Mapped[str] = mapped_column(Text, default="")
    checked: Mapped[datetime | None] = mapped_column(DateTime)
    fingerprint: Mapped[str] = mapped_column(String(64), default="")
    given: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    semantics: Mapped[str] = mapped_column(Text, default="")


@dataclass(frozen=True)
class Registered:
    """A registered database, without its URL."""

    id: str
    display_name: str
    description: str
    dialect: Dialect
    created: datetime
    """In UTC."""
    schema_read: datetime
    """When its schema was last read, in UTC."""
    state: State = State.UNSPECIFIED
    state_message: str = ""
    """Why it does not answer."""
    checked: datetime | None = None
    """When that was checked, in UTC."""
    fingerprint: str = ""
    """The database's fingerprint when its schema was read."""
    semantics: str = ""
    """Its semantic layer, as YAML."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"databases/{self.id}"


class Store:
    """Keeps registered databases."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    async def add(self, registered: Registered, url: str, schema: Schema, given: Schema | None = None) -> None:
        """Stores a new database.

        Args:
            registered: What is known about it.
            url: Where it is, with its credentials; empty for a schema without a database.
            schema: Its schema.
            given: The schema that came with it, whose descriptions and keys are added whenever it is read again.

        Raises:
            AlreadyExists: The id is taken.
            StorageUnavailable: It cannot be stored.
        """

        def work(session: Session) -> None:
            session.add(
                DatabaseRow(
                    id=registered.id,
                    display_name=registered.display_name,
                    description=registered.description,
                    dialect=registered.dialect.value,
                    url=self._seal.seal(url),
                    created=_naive(registered.created),
                    schema_read=_naive(registered.schema_read),
                    schema=schema.to_json(),
                    state=registered.state.value,
                    state_message=registered.state_message,
                    checked=_naive(registered.checked) if registered.checked else None,
                    fingerprint=registered.fingerprint,
                    given=given.to_json() if given else None,
                )
            )
            try:
                session.flush()
            except IntegrityError:
                raise AlreadyExists(registered.name) from None

        await self._database.run(work)

    async def change(self, registered: Registered, url: str | None = None, schema: Schema | None = None) -> Registered:
        """Stores what is known about a database now, with its URL and schema where they are given.

        Raises:
            NotFound: It is gone.
            StorageUnavailable: It cannot be stored; all stays as it was.
        """

        def work(session: Session) -> Registered:
            row = _find(session, registered.id)
            row.display_name, row.description = registered.display_name, registered.description
            row.dialect, row.schema_read = registered.dialect.value, _naive(registered.schema_read)
            row.state, row.state_message = registered.state.value, registered.state_message
            row.checked = _naive(registered.checked) if registered.checked else None
            row.fingerprint = registered.fingerprint
            if url is not None:
                row.url = self._seal.seal(url)
            if schema is not None:
                row.schema = schema.to_json()
            return _registered(row)

        return await self._database.run(work)

    async def renew_secrets(self) -> int:
        """Encrypts what lies under an older key, or under none, with the first; says how many. Others stay."""

        def work(session: Session) -> int:
            changed = 0
            for row in session.scalars(select(DatabaseRow)):
                sealed = self._seal.renewed(row.url)
                if sealed is not None:
                    row.url, changed = sealed, changed + 1
            return changed

        with tenancy.everyone("the key seals what everybody registered"):
            return await self._database.run(work)

    async def get(self, identifier: str) -> Registered:
        """The database of that id. Raises NotFound, StorageUnavailable."""
        return await self._database.run(lambda session: _registered(_find(session, identifier)))

    async def url(self, identifier: str) -> str:
        """Where it is, with its credentials. Raises NotFound, FailedPrecondition, StorageUnavailable."""
        stored = await self._database.run(lambda session: _find(session, identifier).url)
        name = f"databases/{identifier}"
        fault = f"{name} was stored under another encryption key. Set that key again, or register it anew."
        return self._seal.open(stored, fault, {"resource": name})

    async def schema(self, identifier: str) -> Schema:
        """Its schema as last read. Raises NotFound, StorageUnavailable."""
        return _schema(await self._database.run(lambda session: _find(session, identifier).schema))

    async def given(self, identifier: str) -> Schema | None:
        """The schema that came with it. Raises NotFound, StorageUnavailable."""
        found = await self._database.run(lambda session: _find(session, identifier).given)
        return _schema(found) if found else None

    async def set_semantics(self, identifier: str, text: str) -> None:
        """Replaces its semantic layer. Raises NotFound, StorageUnavailable."""

        def work(session: Session) -> None:
            _find(session, identifier).semantics = text

        await self._database.run(work)

    async def list(self, after: str, count: int) -> list[Registered]:
        """At most `count` databases whose ids follow `after`, ordered by id. Raises StorageUnavailable."""
        query = select(DatabaseRow).where(DatabaseRow.id > after).order_by(DatabaseRow.id).limit(count)
        return await self._database.run(lambda session: [_registered(row) for row in session.scalars(query)])

    async def remove(self, identifier: str) -> None:
        """Forgets a database. Raises NotFound, StorageUnavailable."""

        def work(session: Session) -> None:
            _find(session, identifier)
            session.execute(delete(DatabaseRow).where(DatabaseRow.id == identifier))

        await self._database.run(work)


def _find(session: Session, identifier: str) -> DatabaseRow:
    row = session.scalar(select(DatabaseRow).where(DatabaseRow.id == identifier))
    if row is None:
        raise NotFound(f"databases/{identifier}")
    return row


def _schema(data: dict[str, Any] | str) -> Schema:
    return Schema.from_json(json.loads(data) if isinstance(data, str) else data)


def _registered(row: DatabaseRow) -> Registered:
    return Registered(
        row.id,
        row.display_name,
        row.description,
        Dialect(row.dialect),
        row.created.replace(tzinfo=UTC),
        row.schema_read.replace(tzinfo=UTC),
        State(row.state),
        row.state_message,
        row.checked.replace(tzinfo=UTC) if row.checked else None,
        row.fingerprint,
        row.semantics,
    )


def _naive(time: datetime) -> datetime:
    """UTC without a zone: SQLite keeps none."""
    return time.astimezone(UTC).replace(tzinfo=None)
