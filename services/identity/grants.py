"""Grants: which databases and models somebody may use, and as whom a database sees them.

What a user may use travels with every call as one line of JSON (`parse` reads it):

    {"databases": {"*": {}, "shop": {"role": "reporting", "settings": {"app.tenant": "7"}}}, "models": ["*"]}

`*` stands for all that are not named. Of several grants on one database the nearest counts: the user's own, then a
role's, then everybody's.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.identity import audit
from services.identity.caller import Caller
from services.identity.invalidation import Invalidations
from services.identity.scopes import ADMINISTRATORS, Role
from services.identity.tables import GrantRow, OrganisationRow, UserRow, moment, now
from services.mesh import paging
from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

LARGEST = 6000
"""Bytes of that line at most: it travels as a header, and every hop limits those."""
EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Grant:
    """Lets somebody use a database or model."""

    subject: str
    """users/{user}, roles/{role} or `everyone`."""
    resource: str
    """databases/{database}, models/{model}, or `*` in the place of either id."""
    database_role: str = ""
    session_settings: dict[str, str] = field(default_factory=dict)
    id: str = ""
    create_time: datetime | None = None


def subjects(user: str, roles: Iterable[Role]) -> list[str]:
    """Whom grants may name to mean this user, the nearest last."""
    return [EVERYONE, *(f"roles/{role}" for role in roles), f"users/{user}"]


def line(
    grants: Iterable[Grant], nearest: Collection[str], *, all_databases: bool = False, all_models: bool = False
) -> str:
    """The line of JSON for a user.

    Args:
        grants: Grants of the organisation.
        nearest: Whom grants may name to mean this user, the nearest last; see `subjects`.
        all_databases: Whether the user may use every database.
        all_models: Whether the user may use every model.
    """
    order = {subject: rank for rank, subject in enumerate(nearest)}
    databases: dict[str, dict[str, Any]] = {"*": {}} if all_databases else {}
    models = {"*"} if all_models else set()
    for grant in sorted((g for g in grants if g.subject in order), key=lambda g: order[g.subject]):
        kind, _, identifier = grant.resource.partition("/")
        if kind == "models":
            models.add(identifier)
        else:
            given: dict[str, Any] = {"role": grant.database_role} if grant.database_role else {}
            databases[identifier] = given | ({"settings": grant.session_settings} if grant.session_settings else {})
    return json.dumps({"databases": databases, "models": sorted(models)}, separators=(",", ":"))


def of_user(session: Session, organisation: OrganisationRow, user: UserRow) -> str:
    """The line of JSON for a user as the database has it now."""
    roles = [Role(role) for role in user.roles]
    named = subjects(user.id, roles)
    query = select(GrantRow).where(GrantRow.organisation == organisation.organisation, GrantRow.subject.in_(named))
    free = bool(ADMINISTRATORS & set(roles))
    return line(
        [_grant(row) for row in session.scalars(query)],
        named,
        all_databases=free or not organisation.restrict_databases,
        all_models=free or not organisation.restrict_models,
    )


class Grants:
    """The use cases.

    Args:
        database: Where grants are kept.
        invalidations: Told of every change.
    """

    def __init__(self, database: Database, invalidations: Invalidations) -> None:
        self._database = database
        self._invalidations = invalidations

    async def create(self, caller: Caller, wanted: Grant) -> Grant:
        """Makes a grant.

        Raises:
            NotFound: The user that it names does not exist.
            AlreadyExists: There is one for that subject and resource.
            InvalidArgument: It gives a model a database role.
            FailedPrecondition: Some user's grants together would be larger than a header may be.
        """
        if wanted.resource.startswith("models/") and (wanted.database_role or wanted.session_settings):
            raise InvalidArgument("grant.resource", "is a model, which has no database role or session settings")

        def work(session: Session) -> Grant:
            kind, _, user = wanted.subject.partition("/")
            if kind == "users" and session.get(UserRow, (caller.organisation, user)) is None:
                raise NotFound(wanted.subject)
            row = GrantRow(
                id=secrets.token_hex(8),
                organisation=caller.organisation,
                subject=wanted.subject,
                resource=wanted.resource,
                database_role=wanted.database_role,
                session_settings=wanted.session_settings,
                create_time=now(),
            )
            session.add(row)
            try:
                session.flush()
            except IntegrityError:
                raise AlreadyExists(f"A grant of {wanted.resource} to {wanted.subject}") from None
            _check_size(session, caller.organisation)
            audit.append(session, caller, "grants.create", f"grants/{row.id}", f"{wanted.subject} {wanted.resource}")
            self._publish(session, caller.organisation, wanted.subject)
            return _grant(row)

        return await self._database.run(work)

    def _publish(self, session: Session, organisation: str, subject: str) -> None:
        kind, _, user = subject.partition("/")
        self._invalidations.publish(session, f"{organisation}/{user if kind == 'users' else ''}")

    async def page(self, caller: Caller, size: int, token: str) -> tuple[list[Grant], str]:
        """A page of the organisation's grants, the oldest first, and the token of the next."""
        size = paging.size(size)
        query = select(GrantRow).where(GrantRow.organisation == caller.organisation)
        if token:
            query = query.where(tuple_(GrantRow.create_time, GrantRow.id) > paging.key(token, paging.micros, str))
        query = query.order_by(GrantRow.create_time, GrantRow.id).limit(size + 1)

        def work(session: Session) -> tuple[list[Grant], str]:
            rows = session.scalars(query).all()
            more = paging.token(rows[size - 1].create_time, rows[size - 1].id) if rows[size:] else ""
            return [_grant(row) for row in rows[:size]], more

        return await self._database.run(work)

    async def delete(self, caller: Caller, grant_id: str) -> None:
        """Takes a grant back. Raises NotFound."""

        def work(session: Session) -> None:
            row = session.get(GrantRow, grant_id)
            if row is None or row.organisation != caller.organisation:
                raise NotFound(f"grants/{grant_id}")
            session.execute(delete(GrantRow).where(GrantRow.id == grant_id))
            audit.append(session, caller, "grants.delete", f"grants/{grant_id}", f"{row.subject} {row.resource}")
            self._publish(session, caller.organisation, row.subject)

        await self._database.run(work)


def _check_size(session: Session, organisation: str) -> None:
    """Raises FailedPrecondition where a user of the organisation might have more grants than a header holds."""
    query = select(GrantRow).where(GrantRow.organisation == organisation)
    grants = [_grant(row) for row in session.scalars(query)]
    shared = {g.subject for g in grants if not g.subject.startswith("users/")}
    for user in {g.subject for g in grants} - shared or {""}:
        if len(line(grants, [*shared, user], all_databases=True, all_models=True)) > LARGEST:
            raise FailedPrecondition(
                f"The grants of {user or 'everyone'} together would be more than {LARGEST} bytes. Delete some, or "
                "grant databases/* or models/* in their place."
            )


def _grant(row: GrantRow) -> Grant:
    settings = dict(row.session_settings)
    return Grant(row.subject, row.resource, row.database_role, settings, row.id, moment(row.create_time))
