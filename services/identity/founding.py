"""Founds an organisation: with an administrator and their key, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from services.identity import audit, keys, organisations, users
from services.identity.caller import Caller
from services.identity.organisations import OPERATOR, Organisation, check_tier
from services.identity.scopes import Role
from services.identity.users import ME, NewUser, User
from services.mesh.database import Database
from services.mesh.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Founded:
    """A new organisation."""

    organisation: Organisation
    admin: User
    secret: str = field(repr=False)
    """The administrator's API key."""


class Founding:
    """The use case.

    Args:
        database: Where organisations are kept.
        tiers: The tiers that there are.
    """

    def __init__(self, database: Database, tiers: frozenset[str]) -> None:
        self._database = database
        self._tiers = tiers

    async def found(self, caller: Caller, organisation_id: str, display_name: str, tier: str, admin: str) -> Founded:
        """Founds an organisation.

        Args:
            caller: Who wants it: an operator.
            organisation_id: Its id.
            display_name: What people call it.
            tier: Its tier; empty: the deployment's default.
            admin: The administrator's id.

        Raises:
            NotAllowed: The caller is no operator.
            AlreadyExists: The id is taken.
            InvalidArgument: There is no such tier; `me` means the caller.
        """
        caller.require(OPERATOR)
        check_tier(self._tiers, "organisation.tier", tier)
        if admin == ME:
            raise InvalidArgument("admin_id", "'me' stands for the caller; take another")

        def work(session: Session) -> Founded:
            row = organisations.add(session, organisation_id, display_name, tier)
            user = users.add(session, organisation_id, NewUser(admin, roles=(Role.ADMIN,)))
            _key, secret = keys.add(session, organisation_id, admin, "first key")
            audit.append(session, caller, "organisations.create", f"organisations/{organisation_id}")
            return Founded(organisations.organisation(row), users.user(user), secret)

        return await self._database.run(work)
