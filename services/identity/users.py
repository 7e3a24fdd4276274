"""Users of an organisation: people and service accounts."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.identity import audit
from services.identity.caller import Caller
from services.identity.errors import InvalidCredential
from services.identity.invalidation import Invalidations
from services.identity.organisations import OPERATOR, check_tier
from services.identity.passwords import SHORTEST, Passwords
from services.identity.scopes import Role, scopes_of
from services.identity.tables import GrantRow, RetiredRow, SessionRow, UserRow, moment, now
from services.mesh import paging
from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

ADMIN = "users:admin"
ME = "me"
"""In the place of a user's id: the caller."""


class Kind(enum.StrEnum):
    """What kind of caller a user is."""

    PERSON = "person"
    SERVICE_ACCOUNT = "service_account"


@dataclass(frozen=True, slots=True)
class User:
    """A person or program of an organisation."""

    organisation: str
    id: str
    kind: Kind
    display_name: str
    email: str
    roles: tuple[Role, ...]
    tier: str
    """Empty: the organisation's."""
    disabled: bool
    create_time: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be added."""

    id: str
    kind: Kind = Kind.PERSON
    display_name: str = ""
    email: str = ""
    roles: Sequence[Role] = ()
    tier: str = ""


def add(session: Session, organisation: str, wanted: NewUser, password: str = "") -> UserRow:
    """Adds a user in this transaction.

    Args:
        session: The transaction.
        organisation: Whose user it is.
        wanted: The user.
        password: The password's hash; empty for none.

    Raises:
        AlreadyExists: The id is taken.
        FailedPrecondition: It was somebody's who was deleted.
    """
    if session.get(RetiredRow, (organisation, wanted.id)) is not None:
        raise FailedPrecondition(
            f"users/{wanted.id} was deleted. An id is not given again: what they left would become another's."
        )
    row = UserRow(
        organisation=organisation,
        id=wanted.id,
        kind=wanted.kind.value,
        display_name=wanted.display_name or wanted.id,
        email=wanted.email,
        roles=ordered(wanted.roles),
        tier=wanted.tier,
        disabled=False,
        password=password,
        create_time=now(),
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise AlreadyExists(f"users/{wanted.id}") from None
    return row


def ordered(roles: Sequence[Role]) -> list[str]:
    """Roles as they are stored: each once, the weakest first."""
    return [role.value for role in Role if role in roles]


def user(row: UserRow) -> User:
    """A user as it is stored."""
    return User(
        row.organisation,
        row.id,
        Kind(row.kind),
        row.display_name,
        row.email,
        tuple(Role(role) for role in row.roles),
        row.tier,
        row.disabled,
        moment(row.create_time),
    )


def is_free(session: Session, organisation: str, user_id: str) -> bool:
    """Whether an id may be given to somebody."""
    key = organisation, user_id
    return user_id != ME and session.get(UserRow, key) is None and session.get(RetiredRow, key) is None


def find(session: Session, caller: Caller, user_id: str) -> UserRow:
    """A user of the caller's organisation; `me` is the caller. Raises NotFound."""
    row = session.get(UserRow, (caller.organisation, caller.user if user_id == ME else user_id))
    if row is None:
        raise NotFound(f"users/{user_id}")
    return row


class Users:
    """The use cases.

    Args:
        database: Where users are kept.
        invalidations: Told of every change.
        passwords: Makes and checks hashes.
        tiers: The tiers that there are.
    """

    def __init__(
        self, database: Database, invalidations: Invalidations, passwords: Passwords, tiers: frozenset[str]
    ) -> None:
        self._database = database
        self._invalidations = invalidations
        self._passwords = passwords
        self._tiers = tiers

    async def create(self, caller: Caller, wanted: NewUser, password: str) -> User:
        """Adds a user.

        Raises:
            AlreadyExists: The id is taken.
            InvalidArgument: `me` means the caller; a password is too short, or a service account's; no tier.
            NotAllowed: The roles are more than the caller has.
        """
        if wanted.id == ME:
            raise InvalidArgument("user_id", "'me' stands for the caller; take another")
        if password and wanted.kind is Kind.SERVICE_ACCOUNT:
            raise InvalidArgument("password", "is for people; a service account has API keys: leave it out")
        if password and len(password) < SHORTEST:
            raise InvalidArgument("password", f"must be at least {SHORTEST} characters")
        self._check(caller, {"roles": wanted.roles, **({"tier": wanted.tier} if wanted.tier else {})})
        stored = await self._passwords.hash(password) if password else ""

        def work(session: Session) -> User:
            row = add(session, caller.organisation, wanted, stored)
            audit.append(session, caller, "users.create", f"users/{row.id}", ", ".join(row.roles))
            return user(row)

        return await self._database.run(work)

    def _check(self, caller: Caller, changes: Mapping[str, Any]) -> None:
        """Raises what is wrong with a user's new values, whoever the user is."""
        if "tier" in changes:
            caller.require(OPERATOR)
            check_tier(self._tiers, "user.tier", changes["tier"])
        caller.outranks(scopes_of(changes.get("roles", ())))

    async def get(self, caller: Caller, user_id: str) -> User:
        """A user. Raises NotFound; NotAllowed for others without users:admin."""
        if user_id not in (ME, caller.user):
            caller.require(ADMIN)
        return await self._database.run(lambda session: user(find(session, caller, user_id)))

    async def page(self, caller: Caller, size: int, token: str) -> tuple[list[User], str]:
        """A page of the organisation's users, ordered by id, and the token of the next."""
        size = paging.size(size)
        query = select(UserRow).where(UserRow.organisation == caller.organisation).order_by(UserRow.id).limit(size + 1)
        if token:
            query = query.where(UserRow.id > paging.key(token, str)[0])

        def work(session: Session) -> tuple[list[User], str]:
            rows = session.scalars(query).all()
            return [user(row) for row in rows[:size]], paging.token(rows[size - 1].id) if rows[size:] else ""

        return await self._database.run(work)

    async def update(self, caller: Caller, user_id: str, changes: Mapping[str, Any]) -> User:
        """Changes a user.

        Args:
            caller: Who wants it.
            user_id: Which.
            changes: Values by the names of fields: display_name, email, roles, tier, disabled.

        Raises:
            NotFound: There is none.
            NotAllowed: The user has, or would have, more than the caller; the tier is the operator's.
            InvalidArgument: There is no such tier.
            FailedPrecondition: The caller would lock themselves out.
        """
        self._check(caller, changes)

        def work(session: Session) -> User:
            row = find(session, caller, user_id)
            caller.outranks(scopes_of(row.roles))
            if row.id == caller.user and ({"roles", "disabled"} & set(changes)):
                raise FailedPrecondition("Nobody changes their own roles or locks themselves out: ask another one.")
            for name, value in changes.items():
                setattr(row, name, ordered(value) if name == "roles" else value)
            audit.append(session, caller, "users.update", f"users/{row.id}", ", ".join(sorted(changes)))
            self._invalidations.publish(session, f"{caller.organisation}/{row.id}")
            return user(row)

        return await self._database.run(work)

    async def delete(self, caller: Caller, user_id: str) -> None:
        """Deletes a user with all keys, sessions and grants.

        Raises:
            NotFound: There is none.
            NotAllowed: The user has more than the caller.
            FailedPrecondition: It is the caller.
        """

        def work(session: Session) -> None:
            row = find(session, caller, user_id)
            caller.outranks(scopes_of(row.roles))
            if row.id == caller.user:
                raise FailedPrecondition("Nobody deletes themselves: ask another one.")
            named = GrantRow.organisation == caller.organisation, GrantRow.subject == f"users/{row.id}"
            session.execute(delete(GrantRow).where(*named))
            # Keys, sessions and accounts go with it: the database cascades.
            session.delete(row)
            session.add(RetiredRow(organisation=row.organisation, id=row.id, time=now()))
            audit.append(session, caller, "users.delete", f"users/{row.id}")
            self._invalidations.publish(session, f"{caller.organisation}/{row.id}")

        await self._database.run(work)

    async def set_password(self, caller: Caller, user_id: str, current: str, new: str) -> None:
        """Sets a password and ends all of the user's sessions.

        Raises:
            NotFound: There is no such user.
            NotAllowed: It is another's, and the caller lacks users:admin; or the user has more than the credential,
                with which nobody may make themselves a better one.
            InvalidArgument: It is a service account.
            InvalidCredential: It is one's own, and the current one is wrong.
        """
        own = user_id in (ME, caller.user)
        if not own:
            caller.require(ADMIN)
        stored = await self._database.run(lambda session: find(session, caller, user_id).password)
        if own and stored and not await self._passwords.fits(stored, current):
            raise InvalidCredential("The current password is wrong.")
        hashed = await self._passwords.hash(new)

        def work(session: Session) -> None:
            row = find(session, caller, user_id)
            caller.outranks(scopes_of(row.roles))
            if row.kind == Kind.SERVICE_ACCOUNT:
                raise InvalidArgument("name", "is a service account, which has API keys and no password")
            row.password = hashed
            mine = SessionRow.organisation == row.organisation, SessionRow.user_id == row.id
            session.execute(update(SessionRow).where(*mine, SessionRow.revoke_time.is_(None)).values(revoke_time=now()))
            audit.append(session, caller, "users.setPassword", f"users/{row.id}")
            self._invalidations.publish(session, f"{caller.organisation}/{row.id}")

        await self._database.run(work)
