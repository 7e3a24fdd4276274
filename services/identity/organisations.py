"""Organisations: the tenants. Only the operator's use cases here look beyond the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.identity import audit
from services.identity.caller import Caller
from services.identity.errors import NotAllowed
from services.identity.invalidation import Invalidations
from services.identity.tables import OrganisationRow, moment, now
from services.mesh import paging
from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

DEFAULT = "default"
"""The organisation of a deployment that has only one."""
OPERATOR = "organisations:operator"
OPERATORS_FIELDS = frozenset({"tier", "disabled"})


@dataclass(frozen=True, slots=True)
class Organisation:
    """A tenant."""

    id: str
    display_name: str
    tier: str
    restrict_databases: bool
    restrict_models: bool
    disabled: bool
    create_time: datetime


def add(session: Session, organisation_id: str, display_name: str, tier: str) -> OrganisationRow:
    """Adds an organisation in this transaction. Raises AlreadyExists."""
    row = OrganisationRow(
        organisation=organisation_id,
        display_name=display_name or organisation_id,
        tier=tier,
        restrict_databases=False,
        restrict_models=False,
        disabled=False,
        create_time=now(),
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise AlreadyExists(f"organisations/{organisation_id}") from None
    return row


def organisation(row: OrganisationRow) -> Organisation:
    """An organisation as it is stored."""
    return Organisation(
        row.organisation,
        row.display_name,
        row.tier,
        row.restrict_databases,
        row.restrict_models,
        row.disabled,
        moment(row.create_time),
    )


class Organisations:
    """The use cases.

    Args:
        database: Where organisations are kept.
        invalidations: Told of every change.
        tiers: The tiers that there are.
    """

    def __init__(self, database: Database, invalidations: Invalidations, tiers: frozenset[str]) -> None:
        self._database = database
        self._invalidations = invalidations
        self._tiers = tiers

    async def get(self, caller: Caller, organisation_id: str) -> Organisation:
        """An organisation. Raises NotFound, also for another's where the caller is no operator."""
        return await self._database.run(lambda session: organisation(_visible(session, caller, organisation_id)))

    async def page(self, caller: Caller, size: int, token: str) -> tuple[list[Organisation], str]:
        """A page of all organisations, ordered by id, and the token of the next. Raises NotAllowed."""
        caller.require(OPERATOR)
        size = paging.size(size)
        query = select(OrganisationRow).order_by(OrganisationRow.organisation).limit(size + 1)
        if token:
            query = query.where(OrganisationRow.organisation > paging.key(token, str)[0])

        def work(session: Session) -> tuple[list[Organisation], str]:
            rows = session.scalars(query).all()
            more = paging.token(rows[size - 1].organisation) if rows[size:] else ""
            return [organisation(row) for row in rows[:size]], more

        return await self._database.run(work)

    async def update(self, caller: Caller, organisation_id: str, changes: Mapping[str, Any]) -> Organisation:
        """Changes an organisation.

        Args:
            caller: Who wants it.
            organisation_id: Which.
            changes: Values by the names of fields.

        Raises:
            NotFound: There is none that the caller sees.
            NotAllowed: Tier and `disabled` are the operator's.
            InvalidArgument: There is no such tier.
            FailedPrecondition: An operator would lock themselves out.
        """
        if OPERATORS_FIELDS & set(changes) and not caller.may(OPERATOR):
            raise NotAllowed(OPERATOR)
        check_tier(self._tiers, "organisation.tier", changes.get("tier", DEFAULT_TIER))
        if changes.get("disabled") and organisation_id == caller.organisation:
            raise FailedPrecondition("Nobody disables their own organisation: that would lock them out.")

        def work(session: Session) -> Organisation:
            row = _visible(session, caller, organisation_id)
            for name, value in changes.items():
                setattr(row, name, value)
            audit.append(
                session, caller, "organisations.update", f"organisations/{organisation_id}", ", ".join(sorted(changes))
            )
            self._invalidations.publish(session, f"{organisation_id}/")
            return organisation(row)

        return await self._database.run(work)


DEFAULT_TIER = ""
"""Stands for the organisation's tier, and in an organisation for the deployment's default."""


def check_tier(tiers: frozenset[str], field: str, tier: str) -> None:
    """Raises InvalidArgument where there is no such tier."""
    if tier and tier not in tiers:
        raise InvalidArgument(field, f"is none of the tiers {', '.join(sorted(tiers))}")


def _visible(session: Session, caller: Caller, organisation_id: str) -> OrganisationRow:
    row = session.get(OrganisationRow, organisation_id)
    if row is None or not (caller.organisation == organisation_id or caller.may(OPERATOR)):
        raise NotFound(f"organisations/{organisation_id}")
    return row
