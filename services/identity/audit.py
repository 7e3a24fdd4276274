"""The audit log: who did what to what, from where, and how it ended.

An entry about a change is written in the transaction of that change: there is neither without the other. Refusals are
written in batches beside the calls, and what other services did comes from those, also in batches. The database's
triggers refuse to change or delete any. Entries hold names and no values: no prompt, no secret, no address of a
database.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.identity.caller import NOWHERE, Caller, Origin
from services.identity.tables import AuditRow, BatchRow, micros, moment, now
from services.mesh import paging, telemetry
from services.mesh.database import Database
from services.mesh.errors import StorageUnavailable

log = telemetry.get_logger(__name__)

EXPORTED = 1000
"""Entries that are read at a time for an export."""
WAITING = 10_000
"""Entries that wait to be written, at most."""


class Outcome(enum.StrEnum):
    """How something ended."""

    DONE = "done"
    ALLOWED = "allowed"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that somebody did."""

    organisation: str
    actor: str
    action: str
    resource: str = ""
    outcome: Outcome = Outcome.DONE
    detail: str = ""
    key_id: str = ""
    origin: Origin = NOWHERE
    time: int = 0
    """In microseconds since 1970; 0 until it is stored."""
    number: int = 0

    @property
    def moment(self) -> datetime:
        """When."""
        return moment(self.time)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries; what is empty lets all through."""

    actor: str = ""
    action: str = ""
    """How the action begins."""
    resource: str = ""
    """How the resource begins."""
    outcome: Outcome | None = None
    start: datetime | None = None
    end: datetime | None = None


def append(session: Session, caller: Caller, action: str, resource: str, detail: str = "") -> None:
    """Writes what the caller does in this transaction."""
    identity = caller.identity
    entry = Entry(
        identity.organisation, identity.user, action, resource, Outcome.DONE, detail, identity.key_id, caller.origin
    )
    session.execute(insert(AuditRow), [_values(entry)])


def append_entry(session: Session, entry: Entry) -> None:
    """Writes an entry in this transaction."""
    session.execute(insert(AuditRow), [_values(entry)])


def _values(entry: Entry) -> dict[str, str | int]:
    """An entry's columns, cut to what they hold."""
    return {
        "organisation": entry.organisation,
        "time": entry.time or now(),
        "actor": entry.actor,
        "key_id": entry.key_id,
        "action": entry.action[:200],
        "resource": entry.resource[:300],
        "outcome": entry.outcome.value,
        "address": entry.origin.address[:64],
        "request_id": entry.origin.request_id[:128],
        "detail": entry.detail[:500],
    }


def _entry(row: AuditRow) -> Entry:
    return Entry(
        row.organisation,
        row.actor,
        row.action,
        row.resource,
        Outcome(row.outcome),
        row.detail,
        row.key_id,
        Origin(row.address, row.request_id),
        row.time,
        row.number,
    )


class AuditLog:
    """Reads the log, and writes what need not be in a transaction with anything.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Entry] = []
        self._lost = 0

    def later(self, entry: Entry) -> None:
        """Writes an entry with the next batch. Where the storage is away for long, what is over WAITING is counted."""
        if len(self._waiting) < WAITING:
            self._waiting.append(entry)
        else:
            self._lost += 1

    async def flush(self) -> None:
        """Writes what waits. Where the storage is away it goes on waiting."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        try:
            await self._database.run(lambda session: session.execute(insert(AuditRow), list(map(_values, batch))))
        except StorageUnavailable:
            self._waiting = batch + self._waiting
            return
        if self._lost:
            log.error("audit entries were lost while the storage was away", count=self._lost)
            self._lost = 0

    async def write(self, entry: Entry) -> None:
        """Writes an entry now. Raises StorageUnavailable."""
        await self._database.run(lambda session: append_entry(session, entry))

    async def record(self, batch_id: str, entries: Sequence[Entry]) -> None:
        """Writes what services report; a batch that was written already is not written again.

        Raises StorageUnavailable.
        """

        def work(session: Session) -> None:
            session.add(BatchRow(id=batch_id, organisation=entries[0].organisation, time=now()))
            session.flush()
            session.execute(insert(AuditRow), list(map(_values, entries)))

        # One that came again was written: its answer was lost on the way.
        with contextlib.suppress(IntegrityError):
            await self._database.run(work)

    async def page(self, caller: Caller, wanted: Filter, size: int, token: str) -> tuple[list[Entry], str]:
        """A page of the organisation's entries, the newest first, and the token of the next."""
        await self.flush()
        size = paging.size(size)
        query = _query(caller.organisation, wanted).order_by(AuditRow.number.desc())
        if token:
            query = query.where(AuditRow.number < paging.key(token, paging.micros)[0])

        def work(session: Session) -> tuple[list[Entry], str]:
            rows = session.scalars(query.limit(size + 1)).all()
            return [_entry(row) for row in rows[:size]], paging.token(rows[size - 1].number) if rows[size:] else ""

        return await self._database.run(work)

    async def export(self, caller: Caller, wanted: Filter) -> AsyncIterator[list[Entry]]:
        """All entries that a filter lets through, the oldest first, in batches: it never holds them all."""
        await self.flush()
        last, rows = 0, [Entry("", "", "")]
        while rows:
            query = _query(caller.organisation, wanted).where(AuditRow.number > last).order_by(AuditRow.number)
            rows = await self._database.run(_entries(query.limit(EXPORTED)))
            if rows:
                last = rows[-1].number
                yield rows


def _entries(query: Select[AuditRow]) -> Callable[[Session], list[Entry]]:
    """Reads entries in a transaction."""
    return lambda session: [_entry(row) for row in session.scalars(query)]


def _query(organisation: str, wanted: Filter) -> Select[AuditRow]:
    """The organisation's entries that a filter lets through."""
    query = select(AuditRow).where(AuditRow.organisation == organisation)
    if wanted.actor:
        query = query.where(AuditRow.actor == wanted.actor)
    if wanted.action:
        query = query.where(AuditRow.action.startswith(wanted.action, autoescape=True))
    if wanted.resource:
        query = query.where(AuditRow.resource.startswith(wanted.resource, autoescape=True))
    if wanted.outcome:
        query = query.where(AuditRow.outcome == wanted.outcome.value)
    if wanted.start:
        query = query.where(AuditRow.time >= micros(wanted.start))
    if wanted.end:
        query = query.where(AuditRow.time < micros(wanted.end))
    return query
