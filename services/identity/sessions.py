"""Sessions: a login, and the refresh tokens that follow one another from it.

A refresh token works once (RFC 9700, section 4.14.2). One that comes a second time was stolen, from its owner or by
them: the whole session ends, and with it all access tokens.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import CursorResult, delete, update
from sqlalchemy.orm import Session

from services.identity import audit
from services.identity.audit import Entry, Outcome
from services.identity.caller import Origin
from services.identity.errors import InvalidCredential
from services.identity.invalidation import Invalidations
from services.identity.keys import digest
from services.identity.tables import OrganisationRow, RefreshRow, SessionRow, UserRow, moment, now
from services.mesh.database import Database

SECRET = re.compile(r"rt-parley-[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A session as its user gets it."""

    id: str
    organisation: str
    user: str
    refresh_token: str
    expire_time: datetime


class Sessions:
    """The use cases.

    Args:
        database: Where sessions are kept.
        invalidations: Told when one ends.
        refresh_seconds: How long a refresh token waits to be used.
        session_seconds: How long a session lasts, however often it is refreshed.
    """

    def __init__(
        self, database: Database, invalidations: Invalidations, refresh_seconds: float, session_seconds: float
    ) -> None:
        self._database = database
        self._invalidations = invalidations
        self._refresh_micros = int(refresh_seconds * 1e6)
        self._session_micros = int(session_seconds * 1e6)

    async def open(self, organisation: str, user: str, how: str, origin: Origin) -> Opened:
        """Opens a session for somebody who has proved who they are.

        Args:
            organisation: The tenant.
            user: The user's id.
            how: For the audit log: `password`, or the provider's id.
            origin: From where.
        """

        def work(session: Session) -> Opened:
            at = now()
            row = SessionRow(
                id=secrets.token_hex(16),
                organisation=organisation,
                user_id=user,
                create_time=at,
                expire_time=at + self._session_micros,
            )
            session.add(row)
            session.flush()
            resource = f"users/{user}"
            audit.append_entry(session, Entry(organisation, user, "tokens.login", resource, detail=how, origin=origin))
            return self._issue(session, row)

        return await self._database.run(work)

    def _issue(self, session: Session, row: SessionRow) -> Opened:
        """The next refresh token of a session."""
        secret = f"rt-parley-{secrets.token_urlsafe(32)}"
        expires = min(now() + self._refresh_micros, row.expire_time)
        session.add(
            RefreshRow(hash=digest(secret), organisation=row.organisation, session_id=row.id, expire_time=expires)
        )
        return Opened(row.id, row.organisation, row.user_id, secret, moment(row.expire_time))

    async def refresh(self, refresh_token: str, origin: Origin) -> Opened:
        """The session with its next refresh token. Raises InvalidCredential."""

        def work(session: Session) -> Opened | None:
            found = _find(session, refresh_token)
            if found is None:
                return None
            token, row = found
            if not _alive(session, token, row):
                return None
            first = update(RefreshRow).where(RefreshRow.hash == token.hash, RefreshRow.used_time.is_(None))
            used = cast("CursorResult[object]", session.execute(first.values(used_time=now())))
            if used.rowcount == 1:
                return self._issue(session, row)
            # Kept, although the caller gets an error: this transaction commits.
            self._end(session, row)
            audit.append_entry(session, _reuse(row, origin))
            return None

        opened = await self._database.run(work)
        if opened is None:
            raise InvalidCredential("The refresh token is not valid, or was used before. Log in again.")
        return opened

    async def close(self, refresh_token: str, origin: Origin) -> None:
        """Ends the session of a refresh token; does nothing where there is none."""

        def work(session: Session) -> None:
            found = _find(session, refresh_token)
            if found is not None and found[1].revoke_time is None:
                row = found[1]
                self._end(session, row)
                audit.append_entry(
                    session,
                    Entry(row.organisation, row.user_id, "tokens.logout", f"users/{row.user_id}", origin=origin),
                )

        await self._database.run(work)

    def _end(self, session: Session, row: SessionRow) -> None:
        row.revoke_time = now()
        self._invalidations.publish(session, f"{row.organisation}/{row.user_id}")

    async def sweep(self) -> None:
        """Deletes sessions that ended a day ago or longer, with their refresh tokens."""
        ended = now() - 86_400_000_000
        await self._database.run(
            lambda session: session.execute(delete(SessionRow).where(SessionRow.expire_time < ended))
        )


def _find(session: Session, refresh_token: str) -> tuple[RefreshRow, SessionRow] | None:
    """A refresh token and its session."""
    if not SECRET.fullmatch(refresh_token):
        return None
    token = session.get(RefreshRow, digest(refresh_token))
    row = session.get(SessionRow, token.session_id) if token is not None else None
    return (token, row) if token is not None and row is not None else None


def _alive(session: Session, token: RefreshRow, row: SessionRow) -> bool:
    """Whether a session goes on: neither it nor its token has expired, and its user is still there."""
    at = now()
    user = session.get(UserRow, (row.organisation, row.user_id))
    organisation = session.get(OrganisationRow, row.organisation)
    if user is None or user.disabled or organisation is None or organisation.disabled:
        return False
    return row.revoke_time is None and min(row.expire_time, token.expire_time) > at


def _reuse(row: SessionRow, origin: Origin) -> Entry:
    return Entry(
        row.organisation,
        row.user_id,
        "tokens.refresh",
        f"users/{row.user_id}",
        Outcome.DENIED,
        "a refresh token came a second time: the session is ended",
        origin=origin,
    )
