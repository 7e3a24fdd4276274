"""Logging in: by password, or as whom an OpenID provider vouches for. Both end in a session and its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.identity import users
from services.identity.audit import AuditLog, Entry, Outcome, append_entry
from services.identity.caller import Origin
from services.identity.errors import InvalidCredential, NotAllowed
from services.identity.invalidation import Invalidations
from services.identity.limits import Limits
from services.identity.oidc import Account, OpenId
from services.identity.passwords import Passwords
from services.identity.scopes import Role
from services.identity.sessions import Opened, Sessions
from services.identity.tables import AccountRow, OrganisationRow, UserRow, now
from services.identity.tokens import Tokens
from services.identity.users import NewUser
from services.mesh.database import Database

WRONG = "The user or the password is wrong."
UNFIT = re.compile(r"[^a-z0-9._-]+")
"""What of a name at a provider cannot be in a user's id."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A session with its tokens."""

    session: Opened
    access_token: str
    expires_in: int
    """In seconds."""


class Logins:
    """The use cases.

    Args:
        database: Where users are kept.
        passwords: Checks them.
        sessions: Opens and refreshes them.
        tokens: Issues them.
        limits: Counts attempts.
        login_limit: How many there may be.
        open_id: The providers.
        audit: Told of failures.
        invalidations: Told where roles change.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        sessions: Sessions,
        tokens: Tokens,
        limits: Limits,
        login_limit: str,
        open_id: OpenId,
        audit: AuditLog,
        invalidations: Invalidations,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._sessions = sessions
        self._tokens = tokens
        self._limits = limits
        self._login_limit = login_limit
        self._open_id = open_id
        self._audit = audit
        self._invalidations = invalidations

    async def by_password(self, organisation: str, user_id: str, password: str, origin: Origin) -> LoggedIn:
        """Logs in with a password.

        Raises:
            InvalidCredential: The user or the password is wrong; which of them is not said.
            LimitReached: It was tried too often.
        """
        await self._limits.attempt(self._login_limit, "login", organisation, user_id)

        def work(session: Session) -> str:
            row = session.get(UserRow, (organisation, user_id))
            tenant = session.get(OrganisationRow, organisation)
            fit = row is not None and tenant is not None and not row.disabled and not tenant.disabled
            return row.password if row is not None and fit else ""

        stored = await self._database.run(work)
        if not await self._passwords.fits(stored, password):
            resource, detail = f"users/{user_id}", "wrong user or password"
            self._audit.later(
                Entry(
                    organisation, user_id, "tokens.login", resource, Outcome.DENIED, detail, origin=origin, time=now()
                )
            )
            raise InvalidCredential(WRONG)
        if self._passwords.is_weak(stored):
            await self._rehash(organisation, user_id, stored, await self._passwords.hash(password))
        return self._logged_in(await self._sessions.open(organisation, user_id, "password", origin))

    async def _rehash(self, organisation: str, user_id: str, old: str, new: str) -> None:
        """Stores a password's stronger hash, unless it was changed meanwhile."""

        def work(session: Session) -> None:
            row = session.get(UserRow, (organisation, user_id))
            if row is not None and row.password == old:
                row.password = new

        await self._database.run(work)

    async def by_provider(self, state: str, code: str, issuer: str, origin: Origin) -> LoggedIn:
        """Logs in whom an OpenID provider vouches for: a known account's user, or a new one.

        Raises:
            InvalidCredential: The provider does not vouch, or the user is disabled.
            NotAllowed: No group of theirs gives a role.
            Unavailable: The provider does not answer.
        """
        account = await self._open_id.complete(state, code, issuer)
        roles = account.provider.roles_of(account.claims)
        if not roles:
            raise NotAllowed(
                "role", f"No group of this account at {account.provider.display_name} may use this deployment."
            )
        user_id = await self._database.run(lambda session: self._linked(session, account, list(roles), origin))
        organisation = account.provider.organisation
        return self._logged_in(await self._sessions.open(organisation, user_id, account.provider.id, origin))

    def _linked(self, session: Session, account: Account, roles: list[Role], origin: Origin) -> str:
        """The user of an account, with the roles of today; made where the account is new."""
        organisation = account.provider.organisation
        key = account.provider.issuer, account.subject, organisation
        link = session.get(AccountRow, key)
        if link is None:
            wanted = NewUser(
                _free_id(session, organisation, account),
                display_name=str(account.claims.get("name", ""))[:200],
                email=str(account.claims.get("email", ""))[:320],
                roles=roles,
            )
            users.add(session, organisation, wanted)
            session.add(
                AccountRow(
                    issuer=key[0], subject=key[1], organisation=organisation, user_id=wanted.id, create_time=now()
                )
            )
            resource, detail = f"users/{wanted.id}", f"by {account.provider.id}"
            append_entry(
                session, Entry(organisation, wanted.id, "users.create", resource, detail=detail, origin=origin)
            )
            return wanted.id
        row, tenant = session.get(UserRow, (organisation, link.user_id)), session.get(OrganisationRow, organisation)
        if row is None or row.disabled or tenant is None or tenant.disabled:
            raise InvalidCredential("This user may not come in: ask an administrator.")
        if row.roles != users.ordered(roles):
            row.roles = users.ordered(roles)
            self._invalidations.publish(session, f"{organisation}/{row.id}")
        return row.id

    async def refresh(self, refresh_token: str, origin: Origin) -> LoggedIn:
        """The next tokens of a session. Raises InvalidCredential."""
        return self._logged_in(await self._sessions.refresh(refresh_token, origin))

    async def logout(self, refresh_token: str, origin: Origin) -> None:
        """Ends a session; does nothing where there is none."""
        await self._sessions.close(refresh_token, origin)

    def _logged_in(self, opened: Opened) -> LoggedIn:
        token = self._tokens.issue(opened.organisation, opened.user, opened.id)
        return LoggedIn(opened, token, self._tokens.seconds)


def _free_id(session: Session, organisation: str, account: Account) -> str:
    """An id that is free, after the person's name at the provider."""
    name = str(account.claims.get("preferred_username") or account.claims.get("email") or account.subject)
    base = UNFIT.sub("-", name.partition("@")[0].lower()).strip("._-")[:50] or "user"
    number, taken = 1, base
    while not users.is_free(session, organisation, taken):
        number += 1
        taken = f"{base}-{number}"
    return taken
