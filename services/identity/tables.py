"""The tables of the identity service.

Times are microseconds since 1970 in UTC. Every row has its organisation, but for the signing keys: those belong to the
deployment, whose one issuer signs for all.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MIGRATIONS = Path(__file__).parent / "migrations"
# SQLite numbers rows by itself only where the key is an INTEGER.
NUMBER = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Tables of this service."""


class OrganisationRow(Base):
    """A tenant."""

    __tablename__ = "organisations"

    organisation: Mapped[str] = mapped_column(String(63), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(200))
    tier: Mapped[str] = mapped_column(String(63))
    restrict_databases: Mapped[bool] = mapped_column(Boolean)
    restrict_models: Mapped[bool] = mapped_column(Boolean)
    disabled: Mapped[bool] = mapped_column(Boolean)
    create_time: Mapped[int] = mapped_column(BigInteger)


class UserRow(Base):
    """A person or service account. Without `password` there is no logging in by one."""

    __tablename__ = "users"

    organisation: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    display_name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(320))
    roles: Mapped[list[str]] = mapped_column(JSON)
    tier: Mapped[str] = mapped_column(String(63))
    disabled: Mapped[bool] = mapped_column(Boolean)
    password: Mapped[str] = mapped_column(Text)
    create_time: Mapped[int] = mapped_column(BigInteger)


class RetiredRow(Base):
    """The id of a user who was deleted: not given again, for what other services keep belongs to it."""

    __tablename__ = "retired_users"

    organisation: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    time: Mapped[int] = mapped_column(BigInteger)


class KeyRow(Base):
    """An API key: its hash, never its secret."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63))
    user_id: Mapped[str] = mapped_column(String(63))
    display_name: Mapped[str] = mapped_column(String(200))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    create_time: Mapped[int] = mapped_column(BigInteger)
    expire_time: Mapped[int | None] = mapped_column(BigInteger)
    revoke_time: Mapped[int | None] = mapped_column(BigInteger)
    last_used_time: Mapped[int | None] = mapped_column(BigInteger)


class GrantRow(Base):
    """What somebody may use, and as whom."""

    __tablename__ = "grants"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63))
    subject: Mapped[str] = mapped_column(String(80))
    resource: Mapped[str] = mapped_column(String(300))
    database_role: Mapped[str] = mapped_column(String(63))
    session_settings: Mapped[dict[str, str]] = mapped_column(JSON)
    create_time: Mapped[int] = mapped_column(BigInteger)


class SessionRow(Base):
    """A login and all tokens that come of it."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63))
    user_id: Mapped[str] = mapped_column(String(63))
    create_time: Mapped[int] = mapped_column(BigInteger)
    expire_time: Mapped[int] = mapped_column(BigInteger)
    revoke_time: Mapped[int | None] = mapped_column(BigInteger)


class RefreshRow(Base):
    """A refresh token: its hash, and when it was used."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63))
    session_id: Mapped[str] = mapped_column(String(32))
    expire_time: Mapped[int] = mapped_column(BigInteger)
    used_time: Mapped[int | None] = mapped_column(BigInteger)


class SigningKeyRow(Base):
    """A key that tokens are signed with; the private half is sealed."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    algorithm: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    public: Mapped[dict[str, Any]] = mapped_column(JSON)
    private: Mapped[str] = mapped_column(Text)
    change_time: Mapped[int] = mapped_column(BigInteger)


class AccountRow(Base):
    """A person's account at an OpenID provider: the issuer's subject, not an address that may change hands."""

    __tablename__ = "oidc_accounts"

    issuer: Mapped[str] = mapped_column(String(500), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(63))
    create_time: Mapped[int] = mapped_column(BigInteger)


class LoginRow(Base):
    """A login that was begun at an OpenID provider."""

    __tablename__ = "oidc_logins"

    state: Mapped[str] = mapped_column(String(64), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63))
    provider: Mapped[str] = mapped_column(String(63))
    redirect_uri: Mapped[str] = mapped_column(String(500))
    verifier: Mapped[str] = mapped_column(Text)
    nonce: Mapped[str] = mapped_column(String(100))
    expire_time: Mapped[int] = mapped_column(BigInteger)


class AuditRow(Base):
    """An entry of the audit log. Triggers of the database refuse to change or delete one."""

    __tablename__ = "audit_entries"

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63))
    time: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(63))
    key_id: Mapped[str] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(200))
    resource: Mapped[str] = mapped_column(String(300))
    outcome: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))
    detail: Mapped[str] = mapped_column(String(500))


class UsageRow(Base):
    """What was used on a day."""

    __tablename__ = "usage"

    organisation: Mapped[str] = mapped_column(String(63), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(63), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    service: Mapped[str] = mapped_column(String(63), primary_key=True)
    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    unit: Mapped[str] = mapped_column(String(20), primary_key=True)
    amount: Mapped[float] = mapped_column(Float)


class BatchRow(Base):
    """A batch of usage that was counted: sent again, it is not counted again."""

    __tablename__ = "usage_batches"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(63))
    time: Mapped[int] = mapped_column(BigInteger)


def now() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000


def moment(micros: int) -> datetime:
    """A stored time."""
    return datetime.fromtimestamp(micros / 1e6, UTC)


def micros(time: datetime) -> int:
    """A time as it is stored."""
    return round(time.timestamp() * 1e6)
