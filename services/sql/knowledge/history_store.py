"""The history of questions, in this service's own database: what was asked, what came of it; no rows of results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import JSON, DateTime, Float, String, Text, delete, func, select, tuple_
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.mesh import tenancy
from services.mesh.database import Database
from services.mesh.errors import NotFound
from services.mesh.tenancy import Tenant
from services.sql.knowledge.knowledge_store import ExampleRow, KnowledgeBase, VerdictRow
from services.sql.store import DatabaseRow

COMMON_WORDS = 20
# Refusals that statistics look at for words that found no home, the newest first.
_READ_REFUSALS = 5000


class Outcome(StrEnum):
    """How a query ended; the values are the names in the contract."""

    GENERATED = "GENERATED"
    ANSWERED = "ANSWERED"
    REFUSED = "REFUSED"
    ASKED_BACK = "ASKED_BACK"
    FAILED = "FAILED"


class QueryRow(Tenant, KnowledgeBase):
    """A question that somebody asked."""

    __tablename__ = "queries"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    database: Mapped[str] = mapped_column(String(63))
    person: Mapped[str] = mapped_column(String(64))
    question: Mapped[str] = mapped_column(Text)
    sql: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(String(200))
    confidence: Mapped[float] = mapped_column(Float)
    outcome: Mapped[str] = mapped_column(String(20))
    verdict: Mapped[str] = mapped_column(String(20))
    unknown_words: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(DateTime)


@dataclass(frozen=True)
class Asked:
    """A question that somebody asked."""

    id: str
    database: str
    person: str
    """Who, as services.sql.knowledge.history.caller says it; empty where nobody is known."""
    question: str
    sql: str
    """Empty where there was none."""
    engine: str
    confidence: float
    outcome: Outcome
    created: datetime
    """In UTC."""
    verdict: str = ""
    """RIGHT, WRONG or empty."""
    unknown_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statistics:
    """What was asked, answered and judged."""

    questions: int
    answered: int
    """Those that got a statement."""
    refused: int
    """Those that were refused, or asked back."""
    failed: int
    right: int
    wrong: int
    examples: int
    """Examples in use."""
    proposed: int
    unknown_words: tuple[str, ...]


class HistoryStore:
    """Keeps the history.

    Args:
        database: The service's own database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, asked: Asked) -> None:
        """Stores a query, or what became of it. Nothing is stored for a database that was forgotten meanwhile."""

        def work(session: Session) -> None:
            if session.scalar(select(DatabaseRow.id).where(DatabaseRow.id == asked.database)) is None:
                return
            row = session.get(QueryRow, asked.id) or QueryRow(id=asked.id, verdict="")
            row.database, row.person, row.question = asked.database, asked.person, asked.question
            row.sql, row.engine, row.confidence = asked.sql, asked.engine[:200], asked.confidence
            row.outcome, row.created = asked.outcome.value, _naive(asked.created)
            row.unknown_words = list(asked.unknown_words)
            session.add(row)

        await self._database.run(work)

    async def get(self, database: str, identifier: str, person: str) -> Asked:
        """A person's query. Raises NotFound, also where it is somebody else's; StorageUnavailable."""

        def work(session: Session) -> Asked:
            row = session.get(QueryRow, identifier)
            if row is None or row.database != database or row.person != person:
                raise NotFound(f"databases/{database}/queries/{identifier}")
            return _asked(row)

        return await self._database.run(work)

    async def judge(self, identifier: str, verdict: str) -> None:
        """Notes what was said about a query that may be gone by now."""

        def work(session: Session) -> None:
            row = session.get(QueryRow, identifier)
            if row is not None:
                row.verdict = verdict

        await self._database.run(work)

    async def page(self, database: str, person: str, before: tuple[datetime, str] | None, count: int) -> list[Asked]:
        """At most `count` queries of a person, the newest first, from after the one with this time and id on."""
        query = select(QueryRow).where(QueryRow.database == database, QueryRow.person == person)
        if before is not None:
            query = query.where(tuple_(QueryRow.created, QueryRow.id) < (_naive(before[0]), before[1]))
        query = query.order_by(QueryRow.created.desc(), QueryRow.id.desc()).limit(count)
        return await self._database.run(lambda session: [_asked(row) for row in session.scalars(query)])

    async def forget(self, before: datetime) -> None:
        """Forgets queries that are older."""
        old = delete(QueryRow).where(QueryRow.created < _naive(before))
        with tenancy.everyone("nobody's questions are remembered for longer"):
            await self._database.run(lambda session: session.execute(old))

    async def statistics(self, database: str, since: datetime) -> Statistics:
        """Counts what was asked and judged since then, by everybody, and the examples that there are now."""

        def work(session: Session) -> Statistics:
            here = (QueryRow.database == database, QueryRow.created >= _naive(since))
            outcomes = dict(
                session.execute(select(QueryRow.outcome, func.count()).where(*here).group_by(QueryRow.outcome)).all()
            )
            judged = select(VerdictRow.right, func.count()).where(
                VerdictRow.database == database, VerdictRow.created >= _naive(since)
            )
            verdicts = dict(session.execute(judged.group_by(VerdictRow.right)).all())
            states = dict(
                session.execute(
                    select(ExampleRow.state, func.count())
                    .where(ExampleRow.database == database)
                    .group_by(ExampleRow.state)
                ).all()
            )
            refusals = select(QueryRow.unknown_words).where(*here).order_by(QueryRow.created.desc())
            words = Counter(
                word.lower() for found in session.scalars(refusals.limit(_READ_REFUSALS)) for word in found or ()
            )
            common = sorted(words.items(), key=lambda entry: (-entry[1], entry[0]))[:COMMON_WORDS]
            failed = outcomes.get(Outcome.FAILED, 0)
            return Statistics(
                questions=sum(outcomes.values()),
                answered=outcomes.get(Outcome.GENERATED, 0) + outcomes.get(Outcome.ANSWERED, 0) + failed,
                refused=outcomes.get(Outcome.REFUSED, 0) + outcomes.get(Outcome.ASKED_BACK, 0),
                failed=failed,
                right=verdicts.get(True, 0),
                wrong=verdicts.get(False, 0),
                examples=sum(count for state, count in states.items() if state != "REJECTED"),
                proposed=states.get("PROPOSED", 0),
                unknown_words=tuple(word for word, _count in common),
            )

        return await self._database.run(work)


def _asked(row: QueryRow) -> Asked:
    return Asked(
        row.id, row.database, row.person, row.question, row.sql, row.engine, row.confidence, Outcome(row.outcome),
        row.created.replace(tzinfo=UTC), row.verdict, tuple(row.unknown_words or ()),
    )  # fmt: skip


def _naive(time: datetime) -> datetime:
    """UTC without a zone: SQLite keeps none."""
    return time.astimezone(UTC).replace(tzinfo=None)
