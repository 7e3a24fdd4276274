"""The recognition models: which there are, what they are good for, and how they are asked."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.asr.errors import ModelNotFound
from services.asr.transcript import Hints, Word

RATE = 16000
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Model:
    """A recognition model: the name of its Triton model is its id."""

    id: str
    display_name: str
    description: str
    languages: tuple[str, ...]
    """As BCP 47."""


POCKETSPHINX = Model(
    "pocketsphinx",
    "PocketSphinx (embedded)",
    "US English on a CPU, always there. Good when the request says what is likely to be spoken: with hints or a "
    "grammar it understands commands, digits and questions about a known database. Weak at free dictation: about one "
    "word in four is wrong on clear read speech, most are on telephone calls. No punctuation.",
    ("en-US",),
)
WHISPER = Model(
    "whisper",
    "Whisper",
    "OpenAI's Whisper, some 100 languages, detected or given; good dictation with punctuation. Needs a model "
    "directory, and a GPU for the large versions.",
    ("mul",),
)
MODELS = (POCKETSPHINX, WHISPER)


def find(model: str, default: str) -> Model:
    """The model of that id; the default where it is empty. Raises ModelNotFound."""
    wanted = model or default
    for known in MODELS:
        if known.id == wanted:
            return known
    raise ModelNotFound(wanted, [known.id for known in MODELS])


class Heard(NamedTuple):
    """What a model understood of one segment; the words' times count from the segment's first sample."""

    text: str
    language: str
    words: tuple[Word, ...]


class Engine(Protocol):
    """What recognition needs of a model server."""

    async def speech(self, samples: Samples, state: Samples | None) -> tuple[Samples, Samples]:
        """How likely each window of 512 samples is speech.

        Args:
            samples: At 16 kHz; a multiple of 512.
            state: What the last call returned; None at the beginning of an audio.

        Returns:
            The probabilities, and the state for the audio that follows.
        """
        ...

    async def hear(self, model: str, samples: Samples, language: str, hints: bytes) -> Heard:
        """What is said in a segment.

        Args:
            model: Id of the model.
            samples: At 16 kHz, from -1 to 1.
            language: As BCP 47; empty for the model's own, or to detect it.
            hints: From `hints_tensor`.
        """
        ...

    async def ready(self, model: str) -> bool:
        """Whether a model is loaded and answers."""
        ...


@functools.lru_cache(maxsize=64)
def hints_tensor(hints: Hints) -> bytes:
    """The hints as the models read them; the same hints give the same bytes, by which models know them again."""
    if not hints.phrases and not hints.grammar:
        return b""
    return json.dumps({"phrases": hints.phrases, "grammar": hints.grammar}, ensure_ascii=False).encode()


def sixteen_bit(samples: Samples) -> NDArray[np.int16]:
    """Samples from -1 to 1 as 16-bit integers; louder ones are clipped."""
    scaled: NDArray[np.int16] = np.clip(samples * 32768, -32768, 32767).astype(np.int16)
    return scaled
