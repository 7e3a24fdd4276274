"""Stores transcriptions, their segments, and which recordings there are: SQLite on a laptop, PostgreSQL in a cluster.

A worker claims a job for a while and writes only as long as it holds it: every claim counts `attempts` up, and every
write of a worker says which attempt it belongs to. A worker that was given up for dead and comes back writes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Integer,
    String,
    Text,
    and_,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from services.asr import records
from services.asr.enhance import reverted
from services.asr.job import Claim, Failure, Job, State
from services.asr.transcript import Config, Segment, Speaker, Transcript, spoken
from services.mesh import paging, tenancy
from services.mesh.database import Database
from services.mesh.errors import InvalidArgument, NotFound, ResourceExhausted
from services.mesh.tenancy import Owned

MIGRATIONS = Path(__file__).parent / "migrations"
SECOND = 1_000_000
"""Of the database's times."""


class Base(DeclarativeBase):
    """The tables of the asr service. Times are microseconds since 1970 in UTC: alike in every database, sortable."""


class RecordingRow(Owned, Base):
    """A recording that was uploaded or fetched."""

    __tablename__ = "recordings"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    expire_time: Mapped[int] = mapped_column(BigInteger)


class TranscriptionRow(Owned, Base):
    """A transcription. `lease_time`: until when a worker has it, or before when none may take it.

    `request_id` is not the client's own, which somebody else may have used, but what `tenancy.own` makes of it.
    """

    __tablename__ = "transcriptions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(200))
    recording: Mapped[str] = mapped_column(String(64))
    uri: Mapped[str] = mapped_column(Text)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    request_id: Mapped[str | None] = mapped_column(String(64), unique=True)
    request_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    total_seconds: Mapped[float] = mapped_column(Float)
    done_seconds: Mapped[float] = mapped_column(Float)
    heard_seconds: Mapped[float] = mapped_column(Float)
    segment_count: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer)
    checkpoint: Mapped[str] = mapped_column(Text)
    attempt_time: Mapped[int] = mapped_column(BigInteger)
    attempt_seconds: Mapped[float] = mapped_column(Float)
    lease_time: Mapped[int] = mapped_column(BigInteger)
    speakers: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    names: Mapped[dict[str, str]] = mapped_column(JSON)
    error_reason: Mapped[str] = mapped_column(String(64))
    error_message: Mapped[str] = mapped_column(Text)
    create_time: Mapped[int] = mapped_column(BigInteger)
    start_time: Mapped[int | None] = mapped_column(BigInteger)
    end_time: Mapped[int | None] = mapped_column(BigInteger)


class SegmentRow(Owned, Base):
    """A finished segment."""

    __tablename__ = "segments"

    transcription_id: Mapped[str] = mapped_column(ForeignKey("transcriptions.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    segment: Mapped[dict[str, Any]] = mapped_column(JSON)


def _now() -> int:
    return time.time_ns() // 1000


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / SECOND, UTC)


def _job(row: TranscriptionRow) -> Job:
    state = State(row.state)
    created = _time(row.create_time)
    assert created is not None
    return Job(
        id=row.id,
        display_name=row.display_name,
        source=_source(row),
        config=records.to_config(row.config, voices=False),
        state=state,
        progress=_progress(row, state),
        remaining=_remaining(row, state),
        duration=row.heard_seconds,
        segment_count=row.segment_count,
        attempts=row.attempts,
        failure=Failure(row.error_reason, row.error_message) if row.error_reason else None,
        create_time=created,
        start_time=_time(row.start_time),
        end_time=_time(row.end_time),
    )


def _source(row: TranscriptionRow) -> str:
    """Where the audio came from, fit to be shown: a query may hold a signature."""
    return row.uri.partition("?")[0].partition("#")[0] if row.uri else f"recordings/{row.recording}"


def _progress(row: TranscriptionRow, state: State) -> float:
    if state is State.SUCCEEDED:
        return 1.0
    total = max(row.total_seconds, row.heard_seconds)
    # What is transcribed is not complete before the end was seen.
    return min(row.done_seconds / total, 0.999) if total else 0.0


def _remaining(row: TranscriptionRow, state: State) -> float | None:
    """What is left by how fast this attempt has been; None before it has got anywhere."""
    total = max(row.total_seconds, row.heard_seconds)
    done = row.done_seconds - row.attempt_seconds
    if state is not State.RUNNING or done <= 0 or not total:
        return None
    elapsed = (_now() - row.attempt_time) / SECOND
    return max(0.0, (total - row.done_seconds) * elapsed / done)


def _found(session: Session, identifier: str) -> TranscriptionRow:
    row = session.get(TranscriptionRow, identifier)
    if row is None:
        raise NotFound(f"transcriptions/{identifier}")
    return row


class Store:
    """Transcriptions and recordings. Every method is one transaction; each raises StorageUnavailable without storage.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep_recording(self, identifier: str, size: int, seconds: float) -> datetime:
        """Remembers a recording for so long; returns when it expires."""
        expires = _now() + round(seconds * SECOND)

        def work(session: Session) -> None:
            session.add(RecordingRow(id=identifier, size=size, expire_time=expires))

        await self._database.run(work)
        return datetime.fromtimestamp(expires / SECOND, UTC)

    async def expired_recordings(self) -> list[str]:
        """Forgets the recordings that are over their time and belong to no transcription; returns their ids."""

        def work(session: Session) -> list[str]:
            used = select(TranscriptionRow.id).where(TranscriptionRow.recording == RecordingRow.id).exists()
            query = select(RecordingRow.id).where(RecordingRow.expire_time < _now(), ~used).limit(100)
            gone = list(session.scalars(query))
            session.execute(delete(RecordingRow).where(RecordingRow.id.in_(gone)))
            return gone

        with tenancy.everyone("nobody's recordings are kept for longer"):
            return await self._database.run(work)

    async def create(
        self,
        config: Config,
        *,
        recording: str = "",
        uri: str = "",
        display_name: str = "",
        request_id: str = "",
        digest: str = "",
        limit: int = 0,
    ) -> tuple[Job, bool]:
        """Queues a transcription; the one that the same request made, where there is one.

        Returns:
            The transcription, and whether it is new.

        Raises:
            NotFound: The recording is not there.
            InvalidArgument: The request id was used for another request.
            ResourceExhausted: As many as `limit` have not ended.
        """  # fmt: skip
        key = tenancy.own(request_id) if request_id else None
        with tenancy.everyone("the queue is everybody's"):
            waiting = await self._database.run(_waiting) if limit else 0

        def work(session: Session) -> tuple[Job, bool]:
            if key is not None:
                earlier = session.scalar(select(TranscriptionRow).where(TranscriptionRow.request_id == key))
                if earlier is not None:
                    if earlier.request_digest != digest:
                        raise InvalidArgument("request_id", "was used for another request. Make a new UUID.")
                    return _job(earlier), False
            if recording and session.get(RecordingRow, recording) is None:
                raise NotFound(f"recordings/{recording}")
            if limit and waiting >= limit:
                raise ResourceExhausted(f"{limit} transcriptions wait or run already.", retry_after=60)
            now = _now()
            row = TranscriptionRow(
                id=uuid.uuid4().hex, display_name=display_name, recording=recording, uri=uri,
                config=records.from_config(config), request_id=key, request_digest=digest,
                state=State.QUEUED.value, total_seconds=0.0, done_seconds=0.0, heard_seconds=0.0, segment_count=0,
                attempts=0, checkpoint="", attempt_time=0, attempt_seconds=0.0, lease_time=0, speakers=[],
                names={}, error_reason="", error_message="", create_time=now, start_time=None, end_time=None,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return _job(row), True

        return await self._database.run(work)

    async def get(self, identifier: str) -> Job:
        """One transcription. Raises NotFound."""
        return await self._database.run(lambda session: _job(_found(session, identifier)))

    async def page(self, size: int, token: str) -> tuple[list[Job], str]:
        """A page of transcriptions, the newest first, and the token of the next. Raises InvalidArgument."""
        size = paging.size(size)

        def work(session: Session) -> tuple[list[Job], str]:
            order = TranscriptionRow.create_time, TranscriptionRow.id
            query = select(TranscriptionRow).order_by(*(column.desc() for column in order))
            if token:
                micros, last = paging.key(token, paging.micros, str)
                query = query.where(tuple_(*order) < tuple_(micros, last))
            rows = session.scalars(query.limit(size + 1)).all()
            page = rows[:size]
            more = paging.token(page[-1].create_time, page[-1].id) if len(rows) > size else ""
            return [_job(row) for row in page], more

        return await self._database.run(work)

    async def segments(self, identifier: str, after: int, count: int) -> list[Segment]:
        """At most `count` segments whose numbers follow `after`, in order."""
        query = (
            select(SegmentRow.segment)
            .where(SegmentRow.transcription_id == identifier, SegmentRow.number > after)
            .order_by(SegmentRow.number)
            .limit(count)
        )
        return await self._database.run(
            lambda session: [records.to_segment(record) for record in session.scalars(query)]
        )

    async def transcript(self, identifier: str) -> Transcript:
        """The transcript as far as there is one, with the speakers' names. Raises NotFound."""

        def work(session: Session) -> Transcript:
            row = _found(session, identifier)
            query = select(SegmentRow.segment).where(SegmentRow.transcription_id == identifier)
            segments = [records.to_segment(record) for record in session.scalars(query.order_by(SegmentRow.number))]
            config = records.to_config(row.config, voices=False)
            language = spoken(segments, config.language)
            return Transcript(config.model, language, row.heard_seconds, segments, _speakers(row))

        return await self._database.run(work)

    async def rename(self, identifier: str, speaker: str, display_name: str) -> list[Speaker]:
        """Names a speaker. Raises NotFound for the transcription or the speaker."""

        def work(session: Session) -> list[Speaker]:
            row = _found(session, identifier)
            if speaker not in {known.id for known in records.to_speakers(row.speakers)}:
                raise NotFound(f"transcriptions/{identifier}/speakers/{speaker}")
            row.names = {**row.names, speaker: display_name}
            return _speakers(row)

        return await self._database.run(work)

    async def revert(self, identifier: str, numbers: Sequence[int]) -> int:
        """Gives segments, all of them where none is named, their raw text again; returns how many. Raises NotFound."""

        def work(session: Session) -> int:
            _found(session, identifier)
            query = select(SegmentRow).where(SegmentRow.transcription_id == identifier)
            if numbers:
                query = query.where(SegmentRow.number.in_(numbers))
            count = 0
            for row in session.scalars(query):
                segment = records.to_segment(row.segment)
                if segment.raw_text:
                    row.segment = records.from_segment(reverted(segment))
                    count += 1
            return count

        return await self._database.run(work)

    async def cancel(self, identifier: str) -> Job:
        """Ends a transcription that has not ended. Raises NotFound."""

        def work(session: Session) -> Job:
            row = _found(session, identifier)
            if not State(row.state).ended:
                row.state, row.end_time = State.CANCELLED.value, _now()
            return _job(row)

        return await self._database.run(work)

    async def delete(self, identifier: str) -> str:
        """Deletes a transcription with its segments; returns its recording if nobody else needs it. Raises NotFound."""

        def work(session: Session) -> str:
            recording = _found(session, identifier).recording
            session.execute(delete(SegmentRow).where(SegmentRow.transcription_id == identifier))
            session.execute(delete(TranscriptionRow).where(TranscriptionRow.id == identifier))
            others = select(TranscriptionRow.id).where(TranscriptionRow.recording == recording).limit(1)
            if not recording or session.scalar(others) is not None:
                return ""
            session.execute(delete(RecordingRow).where(RecordingRow.id == recording))
            return recording

        return await self._database.run(work)

    async def claim(self, lease_seconds: float) -> Claim | None:
        """Takes the job that has waited longest: one that is queued, or whose worker is given up for dead."""

        def work(session: Session) -> Claim | None:
            now = _now()
            waiting = or_(TranscriptionRow.state == State.QUEUED.value, TranscriptionRow.state == State.RUNNING.value)
            query = (
                select(TranscriptionRow)
                .where(and_(waiting, TranscriptionRow.lease_time < now))
                .order_by(TranscriptionRow.create_time, TranscriptionRow.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = session.scalar(query)
            if row is None:
                return None
            row.state, row.attempts = State.RUNNING.value, row.attempts + 1
            row.start_time = row.start_time or now
            row.attempt_time, row.attempt_seconds = now, row.done_seconds
            row.lease_time = now + round(lease_seconds * SECOND)
            config = records.to_config(row.config)
            return Claim(
                row.id, row.attempts, row.recording, row.uri, config, row.checkpoint, row.organisation, row.owner
            )

        with tenancy.everyone("workers take whosever job has waited longest"):
            return await self._database.run(work)

    async def _write(self, claim: Claim, **values: Any) -> bool:
        """Changes a job that a worker holds; False where it holds it no more."""
        return await self._database.run(lambda session: _written(session, claim, values))

    async def renew(self, claim: Claim, lease_seconds: float) -> bool:
        """Keeps a job for longer; False where the worker holds it no more."""
        return await self._write(claim, lease_time=_now() + round(lease_seconds * SECOND))

    async def fetched(self, claim: Claim, recording: str, size: int) -> bool:
        """The job's URL was fetched into a recording; False where the worker holds the job no more."""

        def work(session: Session) -> bool:
            if not _written(session, claim, {"recording": recording}):
                return False
            # It goes with the job, or soon after it.
            session.add(RecordingRow(id=recording, size=size, expire_time=_now()))
            return True

        return await self._database.run(work)

    async def measured(self, claim: Claim, seconds: float) -> bool:
        """How long the audio says that it is; False where the worker holds the job no more."""
        return await self._write(claim, total_seconds=seconds)

    async def save(
        self,
        claim: Claim,
        segments: Sequence[Segment],
        checkpoint: str,
        done: float,
        heard: float,
        speakers: Sequence[Speaker],
    ) -> bool:
        """Adds finished segments with the checkpoint behind them, both or neither.

        Returns:
            False where the worker holds the job no more: nothing was written.
        """  # fmt: skip

        def work(session: Session) -> bool:
            changes = {
                "checkpoint": checkpoint,
                "done_seconds": done,
                "heard_seconds": heard,
                "segment_count": TranscriptionRow.segment_count + len(segments),
                "speakers": records.from_speakers(list(speakers)),
            }
            if not _written(session, claim, changes):
                return False
            session.add_all(
                SegmentRow(transcription_id=claim.id, number=one.number, segment=records.from_segment(one))
                for one in segments
            )
            return True

        return await self._database.run(work)

    async def succeed(self, claim: Claim) -> bool:
        """The job is complete; False where the worker holds it no more."""
        return await self._write(claim, state=State.SUCCEEDED.value, end_time=_now())

    async def fail(self, claim: Claim, failure: Failure) -> bool:
        """The job is given up; False where the worker holds it no more."""
        return await self._write(
            claim,
            state=State.FAILED.value,
            error_reason=failure.reason,
            error_message=failure.message,
            end_time=_now(),
        )

    async def release(self, claim: Claim, seconds: float, *, counted: bool = True) -> bool:
        """Puts the job back into the queue, for after so many seconds; False where the worker holds it no more.

        Args:
            claim: The job.
            seconds: How long nobody shall take it.
            counted: Whether this was an attempt; not when the worker merely stops.
        """
        attempts = TranscriptionRow.attempts if counted else TranscriptionRow.attempts - 1
        lease = _now() + round(seconds * SECOND)
        return await self._write(claim, state=State.QUEUED.value, lease_time=lease, attempts=attempts)


def _waiting(session: Session) -> int:
    """How many transcriptions have not ended."""
    query = select(func.count()).where(TranscriptionRow.state.in_((State.QUEUED.value, State.RUNNING.value)))
    return int(session.scalar(query) or 0)


def _written(session: Session, claim: Claim, values: dict[str, Any]) -> bool:
    """Changes the job if it still runs in this attempt."""
    held = and_(
        TranscriptionRow.id == claim.id,
        TranscriptionRow.attempts == claim.attempt,
        TranscriptionRow.state == State.RUNNING.value,
    )
    result = session.execute(update(TranscriptionRow).where(held).values(**values))
    return bool(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it


def _speakers(row: TranscriptionRow) -> list[Speaker]:
    """The speakers, called what people call them."""
    return [
        replace(speaker, display_name=row.names.get(speaker.id, speaker.display_name))
        for speaker in records.to_speakers(row.speakers)
    ]
