"""Registered databases and their schemas, in this service's own database. URLs are encrypted where there is a key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import JSON, DateTime, String, Text, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, FailedPrecondition, NotFound
from services.sql.schema import Dialect, Schema


class _Base(DeclarativeBase):
    """Tables of this service."""


class _Row(_Base):
    """A registered database."""

    __tablename__ = "databases"

    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text)
    dialect: Mapped[str] = mapped_column(String(20))
    url: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(DateTime)
    schema_read: Mapped[datetime] = mapped_column(DateTime)
    schema: Mapped[dict[str, Any]] = mapped_column(JSON)


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

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"databases/{self.id}"


@dataclass(frozen=True)
class Secrets:
    """Encrypts and decrypts URLs.

    Args:
        key: A Fernet key; empty leaves them as they are.
    """

    key: str = field(default="", repr=False)

    def seal(self, text: str) -> str:
        """What is stored for a URL."""
        return "fernet:" + Fernet(self.key).encrypt(text.encode()).decode() if self.key else "plain:" + text

    def open(self, stored: str, resource: str) -> str:
        """The URL again. Raises FailedPrecondition where the key is missing or another."""
        scheme, _, text = stored.partition(":")
        if scheme == "plain":
            return text
        try:
            return Fernet(self.key).decrypt(text.encode()).decode()
        except (InvalidToken, ValueError):
            raise FailedPrecondition(
                f"{resource} was stored under another encryption key. Set that key again, or register it anew.",
                metadata={"resource": resource},
            ) from None


class Store:
    """Keeps registered databases."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        self._database = database
        self._secrets = secrets

    async def add(self, registered: Registered, url: str, schema: Schema) -> None:
        """Stores a new database. Raises AlreadyExists, StorageUnavailable."""

        def work(session: Session) -> None:
            session.add(
                _Row(
                    id=registered.id,
                    display_name=registered.display_name,
                    description=registered.description,
                    dialect=registered.dialect.value,
                    url=self._secrets.seal(url),
                    created=_naive(registered.created),
                    schema_read=_naive(registered.schema_read),
                    schema=schema.to_json(),
                )
            )
            try:
                session.flush()
            except IntegrityError:
                raise AlreadyExists(registered.name) from None

        await self._database.run(work)

    async def get(self, identifier: str) -> Registered:
        """The database of that id. Raises NotFound, StorageUnavailable."""
        return await self._database.run(lambda session: _registered(_find(session, identifier)))

    async def url(self, identifier: str) -> str:
        """Where it is, with its credentials. Raises NotFound, FailedPrecondition, StorageUnavailable."""
        stored = await self._database.run(lambda session: _find(session, identifier).url)
        return self._secrets.open(stored, f"databases/{identifier}")

    async def schema(self, identifier: str) -> tuple[Schema, datetime]:
        """Its schema as last read, and when. Raises NotFound, StorageUnavailable."""

        def work(session: Session) -> tuple[dict[str, Any], datetime]:
            row = _find(session, identifier)
            return row.schema, row.schema_read

        data, read = await self._database.run(work)
        return Schema.from_json(json.loads(data) if isinstance(data, str) else data), read.replace(tzinfo=UTC)

    async def put_schema(self, identifier: str, schema: Schema, read: datetime) -> Registered:
        """Stores a schema that was read anew. Raises NotFound, StorageUnavailable."""

        def work(session: Session) -> Registered:
            row = _find(session, identifier)
            row.schema, row.schema_read = schema.to_json(), _naive(read)
            return _registered(row)

        return await self._database.run(work)

    async def list(self, after: str, count: int) -> list[Registered]:
        """At most `count` databases whose ids follow `after`, ordered by id. Raises StorageUnavailable."""
        query = select(_Row).where(_Row.id > after).order_by(_Row.id).limit(count)
        return await self._database.run(lambda session: [_registered(row) for row in session.scalars(query)])

    async def remove(self, identifier: str) -> None:
        """Forgets a database. Raises NotFound, StorageUnavailable."""

        def work(session: Session) -> None:
            _find(session, identifier)
            session.execute(delete(_Row).where(_Row.id == identifier))

        await self._database.run(work)


def _find(session: Session, identifier: str) -> _Row:
    row = session.get(_Row, identifier)
    if row is None:
        raise NotFound(f"databases/{identifier}")
    return row


def _registered(row: _Row) -> Registered:
    found = Registered(row.id, row.display_name, row.description, Dialect(row.dialect), row.created, row.schema_read)
    return replace(found, created=row.created.replace(tzinfo=UTC), schema_read=row.schema_read.replace(tzinfo=UTC))


def _naive(time: datetime) -> datetime:
    """UTC without a zone: SQLite keeps none."""
    return time.astimezone(UTC).replace(tzinfo=None)
