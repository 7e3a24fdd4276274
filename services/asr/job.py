"""A transcription as a job: where it stands, and what a worker needs to go on with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.asr.transcript import Config


class State(StrEnum):
    """Where a transcription stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a transcription failed."""

    reason: str
    """A name of parley.errors.v1.ErrorReason without its prefix."""
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A transcription as people see it; times are in UTC."""

    id: str
    display_name: str
    source: str
    """recordings/{recording}, or the URL without credentials and query; empty for audio that came in the request."""
    config: Config
    """Without the voices of known speakers."""
    state: State
    progress: float
    """Share of the audio that is done, from 0 to 1."""
    remaining: float | None
    """Seconds that it will take from now on; None while that cannot be said."""
    duration: float
    """Seconds of audio listened to so far; in the end, its length."""
    segment_count: int
    attempts: int
    failure: Failure | None
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"transcriptions/{self.id}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker has taken. Whatever it writes holds only while `attempt` is the job's latest."""

    id: str
    attempt: int
    recording: str
    """Id of the recording; empty while it has to be fetched from `uri`."""
    uri: str
    config: Config
    checkpoint: str
    """JSON of where to go on; empty at the beginning."""
    organisation: str = ""
    owner: str = ""
    """Whose it is."""
