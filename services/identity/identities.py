"""Looks up who a credential is: one query for a key or session, with its user, organisation and grants."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.identity import grants
from services.identity.cache import IdentityCache
from services.identity.identity import Identity
from services.identity.keys import digest
from services.identity.scopes import Role, scopes_of
from services.identity.tables import AccountRow, KeyRow, OrganisationRow, SessionRow, UserRow
from services.mesh.database import Database


class Identities:
    """Identities by credential, through the cache.

    Args:
        database: Where they are looked up.
        cache: Keeps them.
    """

    def __init__(self, database: Database, cache: IdentityCache) -> None:
        self._database = database
        self._cache = cache

    async def of_key(self, secret: str) -> Identity | None:
        """Who an API key is; None where there is no such key, or its user may not come in.

        Raises:
            StorageUnavailable: It cannot be looked up.
        """
        hashed = digest(secret)
        return await self._cache.find(f"key:{hashed}", lambda: self._database.run(lambda s: _of_key(s, hashed)))

    async def of_session(self, session_id: str) -> Identity | None:
        """Who a session is; None where there is none, it has ended, or its user may not come in.

        Raises:
            StorageUnavailable: It cannot be looked up.
        """
        return await self._cache.find(
            f"session:{session_id}", lambda: self._database.run(lambda s: _of_session(s, session_id))
        )

    async def of_account(self, organisation: str, issuer: str, subject: str) -> Identity | None:
        """Who an account at an OpenID provider is; None where nobody logged in with it, or its user may not come in.

        Raises:
            StorageUnavailable: It cannot be looked up.
        """
        key = issuer, subject, organisation
        # A subject may hold anything: what names it here cannot be mistaken for another.
        return await self._cache.find(f"account:{key!r}", lambda: self._database.run(lambda s: _of_account(s, key)))


def _of_key(session: Session, hashed: str) -> Identity | None:
    row = session.scalars(select(KeyRow).where(KeyRow.hash == hashed)).one_or_none()
    return None if row is None or row.revoke_time is not None else _identity(session, row)


def _of_session(session: Session, session_id: str) -> Identity | None:
    row = session.get(SessionRow, session_id)
    return None if row is None or row.revoke_time is not None else _identity(session, row)


def _of_account(session: Session, key: tuple[str, str, str]) -> Identity | None:
    row = session.get(AccountRow, key)
    return None if row is None else _identity(session, row)


def _identity(session: Session, row: KeyRow | SessionRow | AccountRow) -> Identity | None:
    """Who a key, session or account is; None where its user may not come in."""
    user = session.get(UserRow, (row.organisation, row.user_id))
    organisation = session.get(OrganisationRow, row.organisation)
    if user is None or organisation is None or user.disabled or organisation.disabled:
        return None
    scopes = scopes_of(user.roles)
    if isinstance(row, KeyRow) and row.scopes:
        scopes &= frozenset(row.scopes)
    return Identity(
        organisation=row.organisation,
        user=row.user_id,
        roles=tuple(Role(role) for role in user.roles),
        scopes=scopes,
        tier=user.tier or organisation.tier,
        grants=grants.of_user(session, organisation, user),
        key_id=row.id if isinstance(row, KeyRow) else "",
        session_id=row.id if isinstance(row, SessionRow) else "",
        # Of an account the token says it, which the gateway has checked.
        expire_time=None if isinstance(row, AccountRow) else row.expire_time,
    )
