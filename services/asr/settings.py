"""What the asr service can be told."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from services.asr.fetch import Fetcher
from services.asr.live import LiveOptions
from services.mesh.settings import ReportingSettings, listed


class AsrSettings(ReportingSettings):
    """The asr service: speech to text."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_ASR_")

    triton_target: str = "127.0.0.1:8001"
    """Address of Triton's gRPC endpoint, host:port."""
    default_model: str = "pocketsphinx"
    """The model of requests that name none; one of ListModels."""
    max_audio_seconds: float = Field(default=4 * 3600.0, gt=0)
    """Longest audio that is accepted, recorded or live, in seconds."""
    segments_in_flight: int = Field(default=len(os.sched_getaffinity(0)), ge=1, le=64)
    """How many segments of one recording are recognised at the same time. More than the model has instances only waits
    there; 1 lets no recording take the instances of another."""
    database_url: SecretStr = SecretStr("sqlite:///asr.db")
    """Where transcriptions are stored, as a SQLAlchemy URL (sqlite or postgresql)."""
    recordings_url: str = "recordings"
    """Where recordings are kept while transcriptions need them: a folder, or `s3://bucket/prefix` or another URL that
    fsspec knows. Every replica must reach it. Credentials come from the environment."""
    max_recording_bytes: int = Field(default=4 << 30, gt=0)
    """Largest recording that is uploaded or fetched, in bytes."""
    sources: Annotated[tuple[str, ...], NoDecode] = ()
    """Where recordings may be fetched from, separated by commas: hosts for https (`files.example.com`, `*.example.com`,
    `192.0.2.0/24`, `host:8443`; without a port they stand for 443) and buckets (`s3://bucket`). Empty: from nowhere;
    clients upload."""
    private_sources: bool = False
    """Whether the hosts among `sources` may be private addresses, inside the own network. Loopback, link-local and the
    metadata services of clouds have to be among `sources` by address or network, besides."""
    workers: int = Field(default=1, ge=0, le=64)
    """How many transcriptions this process works on in the background at the same time; 0: it only takes them."""
    transcriptions_waiting: int = Field(default=1000, ge=1)
    """How many transcriptions may wait or run; a further one gets RESOURCE_EXHAUSTED."""
    lease_seconds: float = Field(default=30.0, ge=1)
    """After how long without a sign of life a worker is given up for dead, in seconds: another one goes on with its
    transcription."""
    attempts: int = Field(default=8, ge=1)
    """After how many attempts a transcription has failed."""
    backoff_seconds: float = Field(default=5.0, gt=0)
    """Wait before a transcription's second attempt, in seconds; it doubles from one attempt to the next."""
    recording_seconds: float = Field(default=86400.0, gt=0)
    """How long an uploaded recording waits for a transcription, in seconds."""
    diarizer: str = "diarizer"
    """The diarization model of requests that name none; a task of ListModels."""
    diarization_chunk_seconds: float = Field(default=600.0, ge=60, le=900)
    """Length of the parts of a recording that are diarized by themselves, in seconds. Longer ones know more about each
    voice; memory and the wait for the first segment with a speaker grow with it."""
    enhancer: str = "enhancer"
    """The model that restores punctuation and casing."""
    fusion_models: tuple[str, str] = ("whisper", "phowhisper")
    """The two models that `fusion` hears; where they agree, the spelling is the first one's."""
    live_streams: int = Field(default=8 * len(os.sched_getaffinity(0)), ge=1, le=10_000)
    """How many live streams are recognised at the same time; another one gets RESOURCE_EXHAUSTED. The default is eight
    for each core: pocketsphinx needs an eighth of a core for one who speaks without a pause."""
    live_idle_seconds: float = Field(default=60.0, gt=0)
    """After how many seconds without a message of the client a live stream is ended."""
    live_patience_seconds: float = Field(default=10.0, ge=0)
    """How long a live stream waits for a Triton that is away before it ends with UNAVAILABLE, in seconds."""
    live_endpoint_silence: float = Field(default=0.25, ge=0.1, le=10)
    """Silence in seconds that ends a live segment, where a request does not say. The detector is sure of silence only
    after another tenth of a second. Longer ones cut fewer sentences apart, and every final result comes that much
    later."""

    _list = field_validator("sources", mode="before")(listed)

    @field_validator("sources")
    @classmethod
    def _understood(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        Fetcher(sources)
        return sources

    @property
    def live(self) -> LiveOptions:
        """How live streams are recognised."""
        return LiveOptions(
            self.live_streams,
            self.live_idle_seconds,
            self.live_patience_seconds,
            self.live_endpoint_silence,
            self.diarizer,
        )
