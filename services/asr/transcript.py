"""What was said: transcripts, their segments and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Hints:
    """What is likely to be said: phrases, or else a JSGF grammar."""

    phrases: tuple[str, ...] = ()
    grammar: str = ""
    boost: float = 0.0
    """How strongly phrases are preferred, from 0 to 20; 0 is the model's own."""


@dataclass(frozen=True, slots=True)
class KnownSpeaker:
    """Somebody whose voice is known, by a recording of it: a file's bytes."""

    name: str
    audio: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Diarization:
    """How to tell speakers apart; a number that is 0 is not known."""

    speakers: int = 0
    min_speakers: int = 0
    max_speakers: int = 0
    model: str = ""
    """Id of a diarization model; empty for the deployment's default."""
    known: tuple[KnownSpeaker, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """How to recognise: a model by its id, a language as BCP 47 (empty: the model's own or detected), and hints."""

    model: str = ""
    language: str = ""
    hints: Hints = Hints()
    diarization: Diarization | None = None
    """None: speakers are not told apart."""
    max_alternatives: int = 0
    profanity_filter: bool = False
    separate_channels: bool = False
    enhance: bool = False
    translate: bool = False
    """Into English."""
    languages: tuple[str, ...] = ()
    """What may be spoken where `language` is empty; empty: anything."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word; its times are seconds from the beginning of the audio, its confidence is from 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float
    speaker: str = ""
    language: str = ""
    model: str = ""
    """Which model heard it, where several were fused."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another transcript of a segment; its confidence is from 0 to 1."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Edit:
    """A change: code points `start` to `end` of the raw text, `before`, became `after`."""

    start: int
    end: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one model heard at a place."""

    model: str
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class FusionChoice:
    """A place, in seconds, where two models heard different words: what each heard, which was believed, and why."""

    start: float
    end: float
    candidates: tuple[Candidate, ...]
    chosen: str
    reason: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech; its times are seconds from the beginning of the audio."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    language: str = ""
    number: int = 0
    """Counts the segments of a transcript, from 1; 0 while it has no place in one."""
    speaker: str = ""
    """The id of its speaker; empty where nobody can be told."""
    channel: int = 0
    alternatives: tuple[Alternative, ...] = ()
    raw_text: str = ""
    """What was recognised, where `text` was enhanced."""
    edits: tuple[Edit, ...] = ()
    choices: tuple[FusionChoice, ...] = ()

    @property
    def confidence(self) -> float:
        """The mean over the words; 0 without words."""
        return sum(word.confidence for word in self.words) / len(self.words) if self.words else 0.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody who speaks: the id that segments have, what people call them, and for how many seconds they speak."""

    id: str
    display_name: str
    seconds: float = 0.0


@dataclass(slots=True)
class Transcript:
    """A recording's segments in order of time; `duration` is in seconds."""

    model: str
    language: str = ""
    duration: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    speakers: list[Speaker] = field(default_factory=list)
    """In order of appearance; empty without diarization."""

    @property
    def text(self) -> str:
        """The whole text."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def words(self) -> list[Word]:
        """All words."""
        return [word for segment in self.segments for word in segment.words]


def spoken(segments: Sequence[Segment], asked: str) -> str:
    """The language of most segments, as BCP 47; the one that was asked for where no segment says any."""
    languages = [segment.language for segment in segments if segment.language]
    return max(dict.fromkeys(languages), key=languages.count, default=asked)
