"""The speech models: which there are, what they are good for, and how they are asked."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.asr.errors import ModelNotFound
from services.asr.transcript import Alternative, Hints, Word
from services.mesh import authority

RATE = 16000
VAD = "vad"
"""Id of the voice activity detector."""
Samples = NDArray[np.float32]
Integers = NDArray[np.int16]


class Task(Enum):
    """What a speech model does."""

    RECOGNITION = "recognition"
    DIARIZATION = "diarization"
    ENHANCEMENT = "enhancement"


@dataclass(frozen=True, slots=True)
class Model:
    """A speech model: the name of its Triton model is its id."""

    id: str
    display_name: str
    description: str
    languages: tuple[str, ...]
    """As BCP 47."""
    task: Task = Task.RECOGNITION
    translates: bool = False
    """Whether it can translate into English."""

    def knows(self, language: str) -> bool:
        """Whether it knows a language, be it as another country speaks it."""
        known = {primary(known) for known in self.languages}
        return ANY_LANGUAGE in known or primary(language) in known


ANY_LANGUAGE = "mul"
"""What a model says that knows them all."""
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
    "OpenAI's Whisper, some 100 languages, detected or given; good dictation with punctuation; translates into "
    "English. Needs a model directory, and a GPU for the large versions.",
    (ANY_LANGUAGE,),
    translates=True,
)
WHISPER_TURBO = Model(
    "whisper_turbo",
    "Whisper turbo",
    "A distilled Whisper, several times as fast and nearly as good at transcribing; does not translate. Needs a model "
    "directory.",
    (ANY_LANGUAGE,),
)
PHOWHISPER = Model(
    "phowhisper",
    "PhoWhisper",
    "Whisper tuned on Vietnamese of all regions; better than Whisper there, worse at English words in Vietnamese "
    "speech. Needs a model directory, and a GPU for the large versions.",
    ("vi-VN",),
)
FUSION = Model(
    "fusion",
    "Whisper and PhoWhisper",
    "Two recognisers hear every segment, and the likelier word of each place is taken; the transcript says why. For "
    "Vietnamese speech with English words in it. Takes the time of both.",
    ("vi-VN", "en-US"),
)
DIARIZER = Model(
    "diarizer",
    "Diarizer (embedded)",
    "Tells speakers apart on a CPU, always there. Good where two to five people take turns; where they talk at the "
    "same time it finds one of them.",
    (ANY_LANGUAGE,),
    Task.DIARIZATION,
)
PYANNOTE = Model(
    "pyannote",
    "pyannote",
    "Tells speakers apart with the pyannote.audio pipeline, overlapping speech too. Needs a model directory and a GPU.",
    (ANY_LANGUAGE,),
    Task.DIARIZATION,
)
ENHANCER = Model(
    "enhancer",
    "Enhancer",
    "An instruction model that restores punctuation, casing and obvious errors. Needs a model directory.",
    (ANY_LANGUAGE,),
    Task.ENHANCEMENT,
)
MODELS = (POCKETSPHINX, WHISPER, WHISPER_TURBO, PHOWHISPER, FUSION, DIARIZER, PYANNOTE, ENHANCER)
RECOGNISERS = tuple(model for model in MODELS if model.task is Task.RECOGNITION)


def find(model: str, default: str, task: Task = Task.RECOGNITION) -> Model:
    """The model of that id for a task; the default where it is empty. Raises ModelNotFound."""
    wanted = model or default
    fitting = [known for known in MODELS if known.task is task]
    for known in fitting:
        if known.id == wanted:
            return known
    raise ModelNotFound(wanted, [known.id for known in fitting])


def chosen(model: str, default: str, task: Task = Task.RECOGNITION) -> Model:
    """As `find`, for the caller's own request. Raises NotGranted besides, where they may not use the model."""
    found = find(model, default, task)
    authority.current().require_model(found.id)
    return found


def primary(language: str) -> str:
    """`en-US` → `en`."""
    return language.partition("-")[0].lower()


class Heard(NamedTuple):
    """What a model understood of one segment; the words' times count from the segment's first sample."""

    text: str
    language: str
    words: tuple[Word, ...]
    alternatives: tuple[Alternative, ...] = ()
    """Other transcripts, best first."""


class DiarizationHints(NamedTuple):
    """What a diarization model is told about the number of speakers; 0 is not known."""

    speakers: int = 0
    min_speakers: int = 0
    max_speakers: int = 0


class Diarized(NamedTuple):
    """Who speaks when in a stretch of audio; times are seconds from its first sample.

    Speakers are numbers: those of the known ones first, in their order, then new ones.
    """

    turns: tuple[tuple[float, float, int], ...]
    """Start, end and speaker, ordered by start; turns of different speakers may overlap."""
    centroids: Samples
    """[speakers, d], of unit length: what a voice sounds like, to know it again."""
    seconds: tuple[float, ...]
    """How long each of them speaks here."""
    overlap: tuple[tuple[float, float], ...] = ()
    """Where more than one person speaks at once."""


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

    async def hear(
        self,
        model: str,
        samples: Samples,
        language: str,
        hints: bytes,
        *,
        translate: bool = False,
        alternatives: int = 0,
    ) -> Heard:
        """What is said in a segment.

        Args:
            model: Id of the model.
            samples: At 16 kHz, from -1 to 1.
            language: As BCP 47; empty for the model's own, or to detect it.
            hints: From `hints_tensor`.
            translate: Into English; only for models that can.
            alternatives: At most this many other transcripts.
        """
        ...

    async def diarize(
        self,
        model: str,
        samples: Samples | Integers,
        hints: DiarizationHints,
        known: Samples | None,
        speech: Samples | None = None,
    ) -> Diarized:
        """Who speaks when.

        Args:
            model: Id of the diarization model.
            samples: At 16 kHz, from -1 to 1 or 16-bit integers; up to 20 minutes.
            hints: How many people speak.
            known: [k, d]: the centroids of voices that are known already; None where none is.
            speech: How likely each window of 512 samples is speech, where that is known already: it is not found out
                again. The last window may be incomplete.
        """
        ...

    async def enhance(self, model: str, texts: Sequence[str], language: str) -> list[str]:
        """The texts with punctuation and casing, one for each.

        Args:
            model: Id of the enhancement model.
            texts: What was recognised.
            language: As BCP 47; empty where it is not known.
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
    fields = {"phrases": hints.phrases, "grammar": hints.grammar} | ({"boost": hints.boost} if hints.boost else {})
    return json.dumps(fields, ensure_ascii=False).encode()


def sixteen_bit(samples: Samples | Integers) -> Integers:
    """Samples from -1 to 1 as 16-bit integers; louder ones are clipped. Those that are integers stay as they are."""
    if samples.dtype == np.int16:
        return samples.astype(np.int16, copy=False)
    scaled: Integers = np.clip(samples * 32768, -32768, 32767).astype(np.int16)
    return scaled
