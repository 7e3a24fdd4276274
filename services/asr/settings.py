"""What the asr service can be told."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.mesh.settings import ServiceSettings


class AsrSettings(ServiceSettings):
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
