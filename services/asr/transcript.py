"""What was said: transcripts, their segments and words."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Hints:
    """What is likely to be said: phrases, or else a JSGF grammar."""

    phrases: tuple[str, ...] = ()
    grammar: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """How to recognise: a model by its id, a language as BCP 47 (empty: the model's own or detected), and hints."""

    model: str = ""
    language: str = ""
    hints: Hints = Hints()


@dataclass(frozen=True, slots=True)
class Word:
    """A word; its times are seconds from the beginning of the audio, its confidence is from 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech; its times are seconds from the beginning of the audio."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    language: str = ""

    @property
    def confidence(self) -> float:
        """The mean over the words; 0 without words."""
        return sum(word.confidence for word in self.words) / len(self.words) if self.words else 0.0


@dataclass(slots=True)
class Transcript:
    """A recording's segments in order of time; `duration` is in seconds."""

    model: str
    language: str = ""
    duration: float = 0.0
    segments: list[Segment] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole text."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def words(self) -> list[Word]:
        """All words."""
        return [word for segment in self.segments for word in segment.words]
