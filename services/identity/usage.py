"""What was used, summed up by day, user, key, service and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.identity import metrics
from services.identity.caller import Caller
from services.identity.limits import Limits
from services.identity.tables import BatchRow, OrganisationRow, UsageRow, UserRow, now
from services.mesh.database import Database
from services.mesh.errors import InvalidArgument

ADMIN = "usage:admin"
DAYS = 30
"""Days of a query that says none."""
SUMS = 10_000
DIMENSIONS = ("day", "user_id", "key_id", "service", "model")
USUAL = ("day", "service", "model")
REMEMBERED_MICROS = 86_400_000_000
"""How long a batch is known by its id."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something that was used."""

    organisation: str
    user: str
    key_id: str
    service: str
    model: str
    unit: str
    amount: float
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What sums are wanted of."""

    start: str = ""
    """YYYY-MM-DD; so is the next. Empty: DAYS ago, and today."""
    end: str = ""
    user: str = ""
    key_id: str = ""
    service: str = ""
    model: str = ""
    group_by: Sequence[str] = ()
    """Of DIMENSIONS; empty: USUAL."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum, for the values of its dimensions."""

    unit: str
    amount: float
    values: dict[str, str]
    """By dimension."""


class Usage:
    """The use cases.

    Args:
        database: Where it is kept.
        limits: Told what was used.
    """

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def record(self, batch_id: str, records: Sequence[Record]) -> None:
        """Adds what was used; a batch that was counted already is not counted again. Raises StorageUnavailable."""
        sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for record in records:
            day = (record.time or datetime.now(UTC)).astimezone(UTC).date().isoformat()
            key = (record.organisation, day, record.user, record.key_id, record.service, record.model, record.unit)
            sums[key] += record.amount

        def work(session: Session) -> dict[tuple[str, str], str] | None:
            organisation = records[0].organisation
            session.add(BatchRow(id=batch_id, organisation=organisation, time=now()))
            session.flush()
            _add(session, sums)
            session.execute(delete(BatchRow).where(BatchRow.time < now() - REMEMBERED_MICROS))
            return _tiers(session, {(r.organisation, r.user) for r in records})

        try:
            tiers = await self._database.run(work)
        except IntegrityError:
            # The batch was counted: its answer was lost on the way, and it came again.
            return
        for record in records:
            metrics.USAGE.labels(record.service, record.model, record.unit).inc(record.amount)
            tier = (tiers or {}).get((record.organisation, record.user), "")
            await self._limits.use(f"{record.organisation}/{record.user}", tier, record.unit, record.amount)

    async def query(self, caller: Caller, wanted: Query) -> list[Sum]:
        """Sums, ordered by their dimensions.

        Raises:
            NotAllowed: They are others', and the caller lacks usage:admin.
            InvalidArgument: A day is none.
        """
        if wanted.user not in ("", caller.user):
            caller.require(ADMIN)
        user = wanted.user or ("" if caller.may(ADMIN) else caller.user)
        end = _day("end_day", wanted.end) or datetime.now(UTC).date()
        start = _day("start_day", wanted.start) or end - timedelta(days=DAYS - 1)
        names = [name for name in DIMENSIONS if name in (wanted.group_by or USUAL)]
        columns = [getattr(UsageRow, name) for name in names]
        query = select(*columns, UsageRow.unit, func.sum(UsageRow.amount)).where(
            UsageRow.organisation == caller.organisation,
            UsageRow.day.between(start.isoformat(), end.isoformat()),
        )
        equal = {"user_id": user, "key_id": wanted.key_id, "service": wanted.service, "model": wanted.model}
        for name, value in equal.items():
            if value:
                query = query.where(getattr(UsageRow, name) == value)
        query = query.group_by(*columns, UsageRow.unit).order_by(*columns, UsageRow.unit).limit(SUMS)

        def work(session: Session) -> list[Sum]:
            return [
                Sum(unit, amount, dict(zip(names, values, strict=True)))
                for *values, unit, amount in session.execute(query)
            ]

        return await self._database.run(work)


def _add(session: Session, sums: dict[tuple[str, ...], float]) -> None:
    """Adds to the rows of these keys, or makes them."""
    columns = [column.name for column in UsageRow.__table__.primary_key]
    insert: Callable[..., Any] = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    # In one order everywhere: two batches that share rows must not wait for each other.
    rows = [dict(zip(columns, key, strict=True)) | {"amount": amount} for key, amount in sorted(sums.items())]
    added = insert(UsageRow).values(rows)
    total = UsageRow.amount + added.excluded.amount
    session.execute(added.on_conflict_do_update(index_elements=columns, set_={"amount": total}))


def _tiers(session: Session, users: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The tier of each user that there is."""
    found = {}
    for organisation, user in users:
        row, tenant = session.get(UserRow, (organisation, user)), session.get(OrganisationRow, organisation)
        if row is not None and tenant is not None:
            found[organisation, user] = row.tier or tenant.tier
    return found


def _day(field: str, text: str) -> date | None:
    """A day; None where none is said. Raises InvalidArgument."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidArgument(field, "must be a day of the calendar, e.g. 2026-07-01") from None
