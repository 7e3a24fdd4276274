"""Examples and verdicts on statements, in this service's own database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    String,
    Text,
    case,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, NotFound
from services.mesh.tenancy import Tenant
from services.sql.examples.examples import Example, State
from services.sql.store import DatabaseRow


class KnowledgeBase(DeclarativeBase):
    """Tables of what is known about databases; each row goes with its database (0003_knowledge.py)."""


class ExampleRow(Tenant, KnowledgeBase):
    """An example."""

    __tablename__ = "examples"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    database: Mapped[str] = mapped_column(String(63))
    question: Mapped[str] = mapped_column(Text)
    sql: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    reviewed: Mapped[bool] = mapped_column(Boolean)
    comment: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(DateTime)
    changed: Mapped[datetime] = mapped_column(DateTime)
    use_count: Mapped[int] = mapped_column(BigInteger)


class VerdictRow(Tenant, KnowledgeBase):
    """What one person thinks of one statement as the answer to one question: the last thing that they said."""

    __tablename__ = "verdicts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    database: Mapped[str] = mapped_column(String(63))
    fingerprint: Mapped[str] = mapped_column(String(64))
    person: Mapped[str] = mapped_column(String(64))
    right: Mapped[bool] = mapped_column(Boolean)
    comment: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(DateTime)


@dataclass(frozen=True)
class Stored:
    """An example as it is kept."""

    example: Example
    fingerprint: str
    """Of its question and statement; see services.sql.knowledge.knowledge.fingerprint."""
    comment: str
    reviewed: bool
    """Whether a person set its state; verdicts then change it no more."""
    created: datetime
    """In UTC."""
    use_count: int = 0


@dataclass(frozen=True)
class Version:
    """Tells whether examples or verdicts of a database changed."""

    examples: int
    changed: datetime | None
    verdicts: int
    judged: datetime | None


class KnowledgeStore:
    """Keeps examples and verdicts.

    Args:
        database: The service's own database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, database: str) -> Version:
        """What tells whether `all` and `blocked` changed. Raises StorageUnavailable."""

        def work(session: Session) -> Version:
            examples = select(func.count(), func.max(ExampleRow.changed)).where(ExampleRow.database == database)
            verdicts = select(func.count(), func.max(VerdictRow.created)).where(VerdictRow.database == database)
            return Version(*session.execute(examples).one(), *session.execute(verdicts).one())

        return await self._database.run(work)

    async def all(self, database: str, count: int) -> list[Stored]:
        """The newest examples of a database. Raises StorageUnavailable."""
        query = (
            select(ExampleRow)
            .where(ExampleRow.database == database)
            .order_by(ExampleRow.created.desc(), ExampleRow.id)
            .limit(count)
        )
        return await self._database.run(lambda session: [_stored(row) for row in session.scalars(query)])

    async def page(
        self, database: str, state: State | None, before: tuple[datetime, str] | None, count: int
    ) -> list[Stored]:
        """At most `count` examples, the newest first, from after the one with this time and id on."""
        query = select(ExampleRow).where(ExampleRow.database == database)
        if state is not None:
            query = query.where(ExampleRow.state == state.value)
        if before is not None:
            place = tuple_(ExampleRow.created, ExampleRow.id)
            query = query.where(place < (before[0].replace(tzinfo=None), before[1]))
        query = query.order_by(ExampleRow.created.desc(), ExampleRow.id.desc()).limit(count)
        return await self._database.run(lambda session: [_stored(row) for row in session.scalars(query)])

    async def get(self, database: str, identifier: str) -> Stored:
        """The example of that id. Raises NotFound, StorageUnavailable."""
        return await self._database.run(lambda session: _stored(_find(session, database, identifier)))

    async def add(self, database: str, made: Stored) -> tuple[Stored, bool]:
        """Stores an example, or changes the state and comment of the one with the same question and statement.

        Returns:
            The example, and whether it is new. One that was reviewed keeps its state unless the new one is reviewed.

        Raises:
            NotFound: The database was forgotten meanwhile.
            StorageUnavailable: Nothing was stored.
        """
        return (await self.add_all(database, [made]))[0]

    async def add_all(self, database: str, made: Iterable[Stored]) -> list[tuple[Stored, bool]]:
        """Stores examples as `add` does: all of them, or none where one fails."""
        rows = list(made)
        return await self._database.run(lambda session: [_add(session, database, item) for item in rows])

    async def change(self, database: str, identifier: str, edit: Callable[[Stored], Stored]) -> Stored:
        """Changes an example in one transaction.

        Raises:
            NotFound: There is no such example.
            AlreadyExists: Another has the same question and statement now.
            StorageUnavailable: Nothing was changed.
        """

        def work(session: Session) -> Stored:
            row = _find(session, database, identifier)
            new = edit(_stored(row))
            twin = _same(session, database, new.fingerprint)
            if twin is not None and twin.id != identifier:
                raise AlreadyExists(f"databases/{database}/examples/{twin.id}")
            row.question, row.sql, row.fingerprint = new.example.question, new.example.sql, new.fingerprint
            row.state, row.reviewed, row.comment = new.example.state.value, new.reviewed, new.comment
            row.changed = _now()
            return _stored(row)

        return await self._database.run(work)

    async def remove(self, database: str, identifier: str) -> None:
        """Forgets an example. Raises NotFound, StorageUnavailable."""

        def work(session: Session) -> None:
            _find(session, database, identifier)
            session.execute(delete(ExampleRow).where(ExampleRow.id == identifier))

        await self._database.run(work)

    async def used(self, identifiers: Iterable[str]) -> None:
        """Counts that a query was written after these examples."""
        named = list(identifiers)
        change = update(ExampleRow).where(ExampleRow.id.in_(named)).values(use_count=ExampleRow.use_count + 1)
        if named:
            await self._database.run(lambda session: session.execute(change))

    async def judge(self, database: str, fingerprint: str, person: str, right: bool, comment: str) -> int:
        """Stores a person's verdict in place of their earlier one.

        Returns:
            How many more people say right than wrong; where they are as many, the last one decides: 1 or -1.

        Raises:
            NotFound: The database was forgotten meanwhile.
            StorageUnavailable: Nothing was stored.
        """

        def work(session: Session) -> int:
            _lock(session, database)
            of_this = (VerdictRow.database == database, VerdictRow.fingerprint == fingerprint)
            session.execute(delete(VerdictRow).where(*of_this, VerdictRow.person == person))
            session.add(
                VerdictRow(
                    id=uuid4().hex, database=database, fingerprint=fingerprint, person=person, right=right,
                    comment=comment, created=_now(),
                )
            )  # fmt: skip
            session.flush()
            balance = session.scalar(select(func.sum(case((VerdictRow.right, 1), else_=-1))).where(*of_this)) or 0
            return balance or (1 if right else -1)

        return await self._database.run(work)

    async def follow(self, database: str, fingerprint: str, state: State) -> Stored | None:
        """Sets the state of the example with that fingerprint unless it was reviewed; None where there is none."""

        def work(session: Session) -> Stored | None:
            row = _same(session, database, fingerprint)
            if row is not None and not row.reviewed:
                row.state, row.changed = state.value, _now()
            return _stored(row) if row is not None else None

        return await self._database.run(work)

    async def blocked(self, database: str) -> frozenset[str]:
        """Fingerprints of questions with statements that are wrong: by verdicts, or by a rejected example."""

        def work(session: Session) -> frozenset[str]:
            tally: dict[str, int] = {}
            query = select(VerdictRow).where(VerdictRow.database == database).order_by(VerdictRow.created)
            last: dict[str, bool] = {}
            for row in session.scalars(query):
                tally[row.fingerprint] = tally.get(row.fingerprint, 0) + (1 if row.right else -1)
                last[row.fingerprint] = row.right
            wrong = {key for key, balance in tally.items() if balance < 0 or (balance == 0 and not last[key])}
            query_states = select(ExampleRow.fingerprint, ExampleRow.state).where(ExampleRow.database == database)
            states = {row.fingerprint: row.state for row in session.execute(query_states)}
            kept = {key for key, state in states.items() if state != State.REJECTED.value}
            return frozenset((wrong - kept) | (states.keys() - kept))

        return await self._database.run(work)


def _add(session: Session, database: str, made: Stored) -> tuple[Stored, bool]:
    _lock(session, database)
    row = _same(session, database, made.fingerprint)
    if row is not None:
        if made.reviewed or not row.reviewed:
            row.state, row.reviewed = made.example.state.value, made.reviewed
        row.comment = made.comment or row.comment
        row.changed = _now()
        return _stored(row), False
    row = ExampleRow(
        id=made.example.id, database=database, question=made.example.question, sql=made.example.sql,
        fingerprint=made.fingerprint, state=made.example.state.value, reviewed=made.reviewed, comment=made.comment,
        created=made.created.astimezone(UTC).replace(tzinfo=None), changed=_now(), use_count=0,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return _stored(row), True


def _lock(session: Session, database: str) -> None:
    """Lets writers about one database wait for each other. Raises NotFound where it is gone."""
    # SQLite has one writer anyway and leaves the clause out; PostgreSQL locks the row until the transaction ends.
    query = select(DatabaseRow.id).where(DatabaseRow.id == database).with_for_update(key_share=True)
    if session.execute(query).first() is None:
        raise NotFound(f"databases/{database}")


def _same(session: Session, database: str, fingerprint: str) -> ExampleRow | None:
    query = select(ExampleRow).where(ExampleRow.database == database, ExampleRow.fingerprint == fingerprint)
    return session.scalars(query).first()


def _find(session: Session, database: str, identifier: str) -> ExampleRow:
    row = session.get(ExampleRow, identifier)
    if row is None or row.database != database:
        raise NotFound(f"databases/{database}/examples/{identifier}")
    return row


def _stored(row: ExampleRow) -> Stored:
    example = Example(row.id, row.question, row.sql, State(row.state))
    return Stored(example, row.fingerprint, row.comment, row.reviewed, row.created.replace(tzinfo=UTC), row.use_count)


def _now() -> datetime:
    """UTC without a zone: SQLite keeps none."""
    return datetime.now(UTC).replace(tzinfo=None)
