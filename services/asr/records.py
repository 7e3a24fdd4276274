"""Segments and configurations as JSON, for the database."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from services.asr.transcript import Config, Diarization, Hints, KnownSpeaker, Segment, Speaker

_SEGMENT = TypeAdapter(Segment)
_SPEAKERS = TypeAdapter(list[Speaker])


def from_segment(segment: Segment) -> dict[str, Any]:
    """A segment as JSON; what is at its default is left out."""
    record: dict[str, Any] = _SEGMENT.dump_python(segment, mode="json", exclude_defaults=True)
    return record


def to_segment(record: dict[str, Any]) -> Segment:
    """The segment again."""
    return _SEGMENT.validate_python(record)


def from_speakers(speakers: list[Speaker]) -> list[dict[str, Any]]:
    """Speakers as JSON."""
    return [asdict(speaker) for speaker in speakers]


def to_speakers(record: list[dict[str, Any]]) -> list[Speaker]:
    """The speakers again."""
    return _SPEAKERS.validate_python(record)


def from_config(config: Config) -> dict[str, Any]:
    """A configuration as JSON; the recordings of known speakers in base64."""
    record = asdict(config)
    for speaker in (record["diarization"] or {}).get("known", ()):
        speaker["audio"] = base64.b64encode(speaker["audio"]).decode()
    return record


def to_config(record: dict[str, Any], *, voices: bool = True) -> Config:
    """The configuration again.

    Args:
        record: From `from_config`.
        voices: Whether the recordings of known speakers are wanted; without them only the names are there.
    """
    fields = dict(record)
    hints = fields.pop("hints")
    wanted = fields.pop("diarization")
    diarization = None
    if wanted is not None:
        known = tuple(
            KnownSpeaker(one["name"], base64.b64decode(one["audio"]) if voices else b"") for one in wanted["known"]
        )
        diarization = Diarization(**{**wanted, "known": known})
    return Config(
        **{**fields, "languages": tuple(fields["languages"])},
        hints=Hints(tuple(hints["phrases"]), hints["grammar"], hints["boost"]),
        diarization=diarization,
    )
