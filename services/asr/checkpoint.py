"""How far a transcription has come: enough to go on behind its last finished segment."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.asr.models import RATE, Samples
from services.asr.transcript import Speaker


@dataclass(frozen=True, slots=True)
class Place:
    """How far one channel is done, in samples at 16 kHz."""

    start: int = 0
    """Where its present chunk begins: the models start afresh there, and so does whoever goes on."""
    done: int = 0
    """Up to where its segments are finished."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is done of a transcription, and who was heard so far."""

    places: tuple[Place, ...] = ()
    """One for each channel that is recognised by itself; empty at the beginning."""
    number: int = 1
    """Of the next segment."""
    centroids: tuple[bytes, ...] = ()
    """Of the voices that were known when the present chunk began: float32, little-endian."""
    heard: tuple[int, ...] = ()
    """Which of them had spoken by then, by their positions."""
    labels: tuple[tuple[int, str], ...] = ()
    """Which voice, by its position among the centroids, got which speaker's id."""
    speakers: tuple[Speaker, ...] = ()
    """Those who spoke in the finished segments, in order of appearance."""

    @property
    def seconds(self) -> float:
        """The end of the last finished segment, in seconds from the beginning of the audio."""
        return max((place.done for place in self.places), default=0) / RATE

    @property
    def voices(self) -> Samples | None:
        """The centroids, [k, d]; None where none is known."""
        if not self.centroids:
            return None
        voices: Samples = np.stack([np.frombuffer(row, "<f4") for row in self.centroids])
        return voices

    def to_json(self) -> str:
        """The checkpoint as text."""
        return json.dumps(
            {
                "places": [[place.start, place.done] for place in self.places],
                "number": self.number,
                "centroids": [base64.b64encode(row).decode() for row in self.centroids],
                "heard": self.heard,
                "labels": [list(label) for label in self.labels],
                "speakers": [[speaker.id, speaker.display_name, speaker.seconds] for speaker in self.speakers],
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Checkpoint:
        """Reads what `to_json` wrote. Raises ValueError or KeyError for anything else."""
        fields: dict[str, Any] = json.loads(text)
        return cls(
            tuple(Place(int(start), int(done)) for start, done in fields["places"]),
            int(fields["number"]),
            tuple(base64.b64decode(row) for row in fields["centroids"]),
            tuple(map(int, fields["heard"])),
            tuple((int(voice), str(label)) for voice, label in fields["labels"]),
            tuple(Speaker(str(id_), str(name), float(seconds)) for id_, name, seconds in fields["speakers"]),
        )


def rows(centroids: Samples | None) -> tuple[bytes, ...]:
    """The centroids as a checkpoint has them."""
    return () if centroids is None else tuple(row.astype("<f4").tobytes() for row in centroids)
