"""Stores jobs and what is known of pictures: SQLite on a laptop, PostgreSQL in a cluster.

A job runs in the process that took it, and that process alone writes it, for as long as it gives a sign of life. Others
read it, leave a wish in it (interrupt, skip), and give it up when the signs have stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Float,
    Integer,
    LargeBinary,
    Select,
    String,
    Text,
    delete,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, defer, mapped_column

from services.image.drawing import Current, Failure, Job, JobState, Picture, Preview, Progress
from services.mesh import paging, tenancy
from services.mesh.context import MAX_OWNER
from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, NotFound
from services.mesh.tenancy import DEFAULT_OWNER, Owned

MIGRATIONS = Path(__file__).parent / "migrations"
SECOND = 1_000_000
"""Of the database's times."""
UNFINISHED = (JobState.QUEUED.value, JobState.RUNNING.value)
BATCH = 100
"""Rows that a sweep takes at a time."""
GIVEN_UP = Failure("INTERNAL", "The service that drew it ended before it was done. Ask for it again.")
INTERRUPT, SKIP = "interrupt", "skip"
"""Wishes."""


class Base(DeclarativeBase):
    """The tables of the image service. Times are microseconds since 1970 in UTC: alike in every database, sortable."""


class JobRow(Owned, Base):
    """A job. `lease_time`: until when its process counts as alive."""

    __tablename__ = "jobs"

    owner: Mapped[str] = mapped_column(String(MAX_OWNER), primary_key=True, server_default=DEFAULT_OWNER)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    wish: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(200))
    count: Mapped[int] = mapped_column(Integer)
    position: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(Integer)
    steps: Mapped[int] = mapped_column(Integer)
    images_done: Mapped[int] = mapped_column(Integer)
    fraction: Mapped[float] = mapped_column(Float)
    remaining: Mapped[float | None] = mapped_column(Float)
    skipped: Mapped[int] = mapped_column(Integer)
    preview: Mapped[bytes | None] = mapped_column(LargeBinary)
    preview_type: Mapped[str] = mapped_column(String(100))
    preview_index: Mapped[int] = mapped_column(Integer)
    preview_step: Mapped[int] = mapped_column(Integer)
    error_reason: Mapped[str] = mapped_column(String(64))
    error_message: Mapped[str] = mapped_column(Text)
    lease_time: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[int] = mapped_column(BigInteger)
    start_time: Mapped[int | None] = mapped_column(BigInteger)
    end_time: Mapped[int | None] = mapped_column(BigInteger)
    expire_time: Mapped[int] = mapped_column(BigInteger)


class PictureRow(Owned, Base):
    """A picture; its bytes are in the object store under its id."""

    __tablename__ = "pictures"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job: Mapped[str] = mapped_column(String(64))
    number: Mapped[int] = mapped_column(Integer)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    content_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(BigInteger)
    seed: Mapped[int] = mapped_column(BigInteger)
    infotext: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(String(200))
    create_time: Mapped[int] = mapped_column(BigInteger)
    expire_time: Mapped[int] = mapped_column(BigInteger)


Row = TypeVar("Row", JobRow, PictureRow)


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life of a job: how it stands."""

    owner: str
    job: Job
    preview: Preview | None
    skipped: bool


def now() -> int:
    """The time as the database has it."""
    return time.time_ns() // 1000


def moment(micros: int) -> datetime:
    """A time of the database's."""
    return datetime.fromtimestamp(micros / SECOND, UTC)


def micros(time: datetime | None) -> int | None:
    """A time as the database has it."""
    return None if time is None else round(time.timestamp() * SECOND)


def _of(kind: type[Row], owner: str | None) -> Select[Any]:
    """The rows that are there for an owner: the only way to any of them, but for the sweeps.

    Those of all in the scope's organisation where the owner is None.
    """
    there = select(kind).where(kind.expire_time > now())
    return there if owner is None else there.where(kind.owner == owner)


def _job_row(session: Session, owner: str, identifier: str) -> JobRow:
    row: JobRow | None = session.scalar(
        _of(JobRow, owner).where(JobRow.id == identifier).options(defer(JobRow.preview))
    )
    if row is None:
        raise NotFound(f"imageJobs/{identifier}")
    return row


def _picture_row(session: Session, owner: str | None, identifier: str) -> PictureRow:
    row: PictureRow | None = session.scalar(_of(PictureRow, owner).where(PictureRow.id == identifier))
    if row is None:
        raise NotFound(f"images/{identifier}", f"images/{identifier} does not exist, or has expired.")
    return row


def _drawn(session: Session, owner: str, jobs: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the pictures of jobs, in order."""
    query = select(PictureRow.job, PictureRow.id).where(
        PictureRow.owner == owner, PictureRow.job.in_(jobs), PictureRow.expire_time > now()
    )
    found: dict[str, list[str]] = {}
    for job, picture in session.execute(query.order_by(PictureRow.number)):
        found.setdefault(job, []).append(picture)
    return found


def _job(row: JobRow, pictures: Sequence[str]) -> Job:
    return Job(
        id=row.id,
        state=JobState(row.state),
        position=row.position,
        progress=Progress(row.step, row.steps, row.images_done, row.fraction, row.remaining),
        model=row.model,
        count=row.count,
        pictures=tuple(pictures),
        failure=Failure(row.error_reason, row.error_message) if row.error_reason else None,
        create_time=moment(row.create_time),
        start_time=None if row.start_time is None else moment(row.start_time),
        end_time=None if row.end_time is None else moment(row.end_time),
    )


def _picture(row: PictureRow) -> Picture:
    return Picture(
        id=row.id,
        index=row.number,
        width=row.width,
        height=row.height,
        content_type=row.content_type,
        size=row.size,
        seed=row.seed,
        infotext=row.infotext,
        model=row.model,
        job=row.job,
        create_time=moment(row.create_time),
        expire_time=moment(row.expire_time),
    )


def _values(job: Job) -> dict[str, Any]:
    """The columns that say how a job stands."""
    progress, failure = job.progress, job.failure
    return {
        "state": job.state.value,
        "position": job.position,
        "step": progress.step,
        "steps": progress.steps,
        "images_done": progress.images_done,
        "fraction": progress.fraction,
        "remaining": progress.remaining,
        "error_reason": failure.reason if failure else "",
        # PostgreSQL keeps no NUL in a text, and a message may quote what a client sent.
        "error_message": failure.message.replace("\0", "") if failure else "",
        "start_time": micros(job.start_time),
        "end_time": micros(job.end_time),
    }


class Store:
    """Jobs and pictures. Every method is one transaction; each raises StorageUnavailable without storage.

    Args:
        database: Where they are kept.
        lease_seconds: After how long without a sign of life a job's process counts as dead.
        keep_seconds: How long pictures and jobs are kept.
    """

    def __init__(self, database: Database, lease_seconds: float, keep_seconds: float) -> None:
        self._database = database
        self._lease, self._keep = round(lease_seconds * SECOND), round(keep_seconds * SECOND)

    async def create(self, owner: str, job: Job) -> None:
        """A new job of this process. Raises AlreadyExists for an id that the owner used before."""
        created = micros(job.create_time)
        assert created is not None

        def work(session: Session) -> None:
            row = JobRow(
                owner=owner, id=job.id, wish="", model=job.model, count=job.count, skipped=0,
                preview=None, preview_type="", preview_index=0, preview_step=0, lease_time=now() + self._lease,
                create_time=created, expire_time=created + self._keep, **_values(job),
            )  # fmt: skip
            # One that has expired and is not swept yet gives its name free.
            session.execute(
                delete(JobRow).where(JobRow.owner == owner, JobRow.id == job.id, JobRow.expire_time <= now())
            )
            session.add(row)
            session.flush()

        try:
            await self._database.run(work)
        except IntegrityError:
            raise AlreadyExists(job.name) from None

    async def end(self, owner: str, job: Job) -> None:
        """How a job of this process has ended."""
        query = update(JobRow).where(JobRow.owner == owner, JobRow.id == job.id, JobRow.state.in_(UNFINISHED))
        await self._database.run(lambda session: session.execute(query.values(preview=None, **_values(job))))

    async def beat(self, alive: Sequence[tuple[str, str]], signs: Sequence[Sign]) -> dict[tuple[str, str], str]:
        """Gives a sign of life of this process's jobs, and says how they stand.

        Args:
            alive: Owner and id of every job that it works on.
            signs: Those that stand differently than before.

        Returns:
            The wishes that others left, by owner and id; each is given once.
        """

        def work(session: Session) -> dict[tuple[str, str], str]:
            mine = tuple_(JobRow.owner, JobRow.id).in_(alive), JobRow.state.in_(UNFINISHED)
            session.execute(update(JobRow).where(*mine).values(lease_time=now() + self._lease))
            for sign in signs:
                values = {"skipped": int(sign.skipped), **_values(sign.job)}
                if sign.preview is not None:
                    values |= _preview_values(sign.preview)
                this = JobRow.owner == sign.owner, JobRow.id == sign.job.id, JobRow.state.in_(UNFINISHED)
                session.execute(update(JobRow).where(*this).values(**values))
            wishing = *mine, JobRow.wish != ""
            wishes = {
                (owner, identifier): wish
                for owner, identifier, wish in session.execute(
                    select(JobRow.owner, JobRow.id, JobRow.wish).where(*wishing)
                )
            }
            if wishes:
                session.execute(update(JobRow).where(*wishing).values(wish=""))
            return wishes

        with tenancy.everyone("a process draws for whoever asked"):
            return await self._database.run(work)

    async def wish(self, owner: str, identifier: str, wish: str) -> Job:
        """Leaves a wish for the process that has a job; one that has ended stays as it is. Raises NotFound."""

        def work(session: Session) -> Job:
            row = _job_row(session, owner, identifier)
            if row.state in UNFINISHED and row.wish != INTERRUPT:
                row.wish = wish
            return _job(row, _drawn(session, owner, [identifier]).get(identifier, ()))

        return await self._database.run(work)

    async def give_up_dead(self) -> int:
        """Marks the jobs of processes that show no sign of life as failed; returns how many."""
        dead = update(JobRow).where(JobRow.state.in_(UNFINISHED), JobRow.lease_time < now())
        values = {
            "state": JobState.FAILED.value,
            "position": 0,
            "remaining": None,
            "preview": None,
            "error_reason": GIVEN_UP.reason,
            "error_message": GIVEN_UP.message,
            "end_time": now(),
        }

        def work(session: Session) -> int:
            return int(session.execute(dead.values(**values)).rowcount)  # type: ignore[attr-defined]  # an UPDATE's has it

        with tenancy.everyone("a process that is gone drew for whoever asked"):
            return await self._database.run(work)

    async def job(self, owner: str, identifier: str) -> Job:
        """One job. Raises NotFound."""

        def work(session: Session) -> Job:
            row = _job_row(session, owner, identifier)
            return _job(row, _drawn(session, owner, [identifier]).get(identifier, ()))

        return await self._database.run(work)

    async def jobs(self, owner: str, size: int, token: str) -> tuple[list[Job], str]:
        """A page of jobs, the newest first, and the token of the next. Raises InvalidArgument."""

        def work(session: Session) -> tuple[list[Job], str]:
            rows, more = _page(session, _of(JobRow, owner).options(defer(JobRow.preview)), JobRow, size, token)
            drawn = _drawn(session, owner, [row.id for row in rows])
            return [_job(row, drawn.get(row.id, ())) for row in rows], more

        return await self._database.run(work)

    async def current(self, owner: str) -> Current | None:
        """The newest job that has not ended, with what its process last said of it."""
        query = _of(JobRow, owner).where(JobRow.state.in_(UNFINISHED)).order_by(JobRow.create_time.desc()).limit(1)

        def work(session: Session) -> Current | None:
            row: JobRow | None = session.scalar(query)
            if row is None:
                return None
            preview = None
            if row.preview is not None:
                preview = Preview(row.preview_index, row.preview_step, row.preview, row.preview_type)
            job = _job(row, _drawn(session, owner, [row.id]).get(row.id, ()))
            return Current(job, preview, bool(row.skipped))

        return await self._database.run(work)

    def expiry(self, created: int) -> int:
        """When what was made at a time expires."""
        return created + self._keep

    async def keep(self, owner: str, picture: Picture) -> None:
        """Remembers a picture whose bytes are kept."""
        created, expires = micros(picture.create_time), micros(picture.expire_time)
        assert created is not None
        assert expires is not None
        row = PictureRow(
            id=picture.id, owner=owner, job=picture.job, number=picture.index, width=picture.width,
            height=picture.height, content_type=picture.content_type, size=picture.size, seed=picture.seed,
            infotext=picture.infotext, model=picture.model, create_time=created, expire_time=expires,
        )  # fmt: skip
        await self._database.run(lambda session: session.add(row))

    async def picture(self, owner: str | None, identifier: str) -> Picture:
        """One picture; anybody's of the scope's organisation where the owner is None. Raises NotFound."""
        return await self._database.run(lambda session: _picture(_picture_row(session, owner, identifier)))

    async def several(self, owner: str, identifiers: Sequence[str]) -> list[Picture]:
        """Those of some pictures that there are, in no order."""
        query = _of(PictureRow, owner).where(PictureRow.id.in_(identifiers))
        return await self._database.run(lambda session: [_picture(row) for row in session.scalars(query)])

    async def pictures(self, owner: str, size: int, token: str) -> tuple[list[Picture], str]:
        """A page of pictures, the newest first, and the token of the next. Raises InvalidArgument."""

        def work(session: Session) -> tuple[list[Picture], str]:
            rows, more = _page(session, _of(PictureRow, owner), PictureRow, size, token)
            return [_picture(row) for row in rows], more

        return await self._database.run(work)

    async def forget(self, owner: str, identifier: str) -> None:
        """Forgets a picture. Raises NotFound."""
        await self._database.run(lambda session: session.delete(_picture_row(session, owner, identifier)))

    async def expired(self) -> list[str]:
        """Ids of some pictures that are over their time."""
        query = select(PictureRow.id).where(PictureRow.expire_time <= now()).limit(BATCH)
        with tenancy.everyone("nobody's pictures are kept for longer"):
            return await self._database.run(lambda session: list(session.scalars(query)))

    async def sweep(self, pictures: Sequence[str]) -> None:
        """Forgets expired pictures whose bytes are gone, and the jobs that are over their time."""

        def work(session: Session) -> None:
            session.execute(delete(PictureRow).where(PictureRow.id.in_(pictures)))
            session.execute(delete(JobRow).where(JobRow.expire_time <= now(), JobRow.state.not_in(UNFINISHED)))

        with tenancy.everyone("nobody's pictures are kept for longer"):
            await self._database.run(work)


def _preview_values(preview: Preview) -> dict[str, Any]:
    return {
        "preview": preview.content,
        "preview_type": preview.content_type,
        "preview_index": preview.index,
        "preview_step": preview.step,
    }


def _page(session: Session, query: Select[Any], kind: type[Row], size: int, token: str) -> tuple[Sequence[Row], str]:
    """A page of rows, the newest first, and the token of the next."""
    size = paging.size(size)
    order = kind.create_time, kind.id
    query = query.order_by(*(column.desc() for column in order))
    if token:
        at, last = paging.key(token, paging.micros, str)
        query = query.where(tuple_(*order) < tuple_(at, last))
    rows: Sequence[Row] = session.scalars(query.limit(size + 1)).all()
    page = rows[:size]
    return page, paging.token(page[-1].create_time, page[-1].id) if len(rows) > size else ""
