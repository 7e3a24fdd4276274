"""Where speech begins and ends, from the probabilities of a voice activity detector: for recorded and live audio alike.

After the hysteresis of Silero's own `get_speech_timestamps`: speech begins above one threshold and ends when it stayed
below a lower one for long enough. What goes on for too long is cut at the quietest place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW = 512
"""Samples at 16 kHz that a probability stands for."""
WINDOW_SECONDS = WINDOW / 16000


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """When speech begins and ends; times are in seconds, thresholds are probabilities.

    The defaults serve recognition of recordings: sensitive, because a lost word costs more than a little noise, and
    slow to end, because longer segments give the language model more to go by.
    """

    begin: float = 0.35
    end: float = 0.15
    silence: float = 1.0
    """Silence that ends a segment."""
    shortest: float = 0.12
    """Speech shorter than this is taken for a click."""
    longest: float = 18.0
    """A segment is cut at its quietest place before it gets longer."""
    pad: float = 0.25
    """What is added on either side, as far as there is audio that no other segment has."""
    sure: float = 0.5
    """A segment that never reaches this is no speech: music and noise that sound a little like it stay below."""
    sure_for: float = 0.1
    """How long it has to reach that, altogether."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A segment of speech: its first sample, and the one after its last."""

    start: int
    end: int


class Endpointer:
    """Follows the probabilities of one audio stream, window by window.

    Args:
        options: When speech begins and ends.
    """

    def __init__(self, options: EndpointOptions | None = None) -> None:
        self.options = options or EndpointOptions()
        self._window = 0  # the next one
        self._started: int | None = None
        self._quiet: int | None = None  # since when it is quiet, inside speech
        self._free = 0  # the first sample that no segment has yet
        self._recent: deque[float] = deque(maxlen=self._windows(self.options.longest))

    @staticmethod
    def _windows(seconds: float) -> int:
        return max(1, round(seconds / WINDOW_SECONDS))

    @property
    def open(self) -> int | None:
        """The first sample of the segment that is being spoken, padded; None in silence."""
        return None if self._started is None else self._padded_start(self._started)

    @property
    def quiet(self) -> int | None:
        """The sample since which whoever spoke is quiet; None while they speak, and outside of segments."""
        return None if self._started is None or self._quiet is None else self._quiet * WINDOW

    @property
    def needed(self) -> int:
        """The first sample that a later segment may still want; earlier ones can be forgotten."""
        pad = round(self.options.pad * 16000)
        return self.open if self.open is not None else max(self._free, self._window * WINDOW - pad)

    def feed(self, probabilities: Iterable[float]) -> list[Stretch]:
        """Takes the next windows and returns the segments that ended in them."""
        return [stretch for probability in probabilities for stretch in self._step(float(probability))]

    def finish(self) -> list[Stretch]:
        """The audio is over: returns the segment that is open, if there is one."""
        if self._started is None:
            return []
        return self._close(self._quiet if self._quiet is not None else self._window)

    def _step(self, probability: float) -> list[Stretch]:
        window = self._window
        self._window += 1
        if self._started is None:
            if probability >= self.options.begin:
                self._started, self._quiet = window, None
                self._recent.clear()
                self._recent.append(probability)
            return []
        self._recent.append(probability)
        if probability >= self.options.end:
            self._quiet = None
        elif self._quiet is None:
            self._quiet = window
        if self._quiet is not None and self._window - self._quiet >= self._windows(self.options.silence):
            return self._close(self._quiet)
        if self._window - self._started >= self._windows(self.options.longest):
            return self._cut()
        return []

    def _close(self, end: int) -> list[Stretch]:
        started = self._started
        assert started is not None
        start = self._padded_start(started)
        self._started = self._quiet = None
        if end - started < self._windows(self.options.shortest) or not self._convincing(list(self._recent)):
            return []
        stop = min(end * WINDOW + round(self.options.pad * 16000), self._window * WINDOW)
        self._free = stop
        return [Stretch(start, stop)]

    def _cut(self) -> list[Stretch]:
        """Ends the segment at the quietest window of its second half, and begins the next one there."""
        assert self._started is not None
        recent = list(self._recent)
        later = range(len(recent) // 2, len(recent))
        offset = min(later, key=lambda index: recent[index])
        place = self._window - len(recent) + offset
        stretch = Stretch(self._padded_start(self._started), place * WINDOW)
        self._free, self._started = place * WINDOW, place
        if self._quiet is not None:
            self._quiet = max(self._quiet, place)
        kept = recent[offset:]
        self._recent.clear()
        self._recent.extend(kept)
        return [stretch] if self._convincing(recent[:offset]) else []

    def _convincing(self, probabilities: list[float]) -> bool:
        """Whether a segment is surely speech in enough of its windows."""
        sure = sum(probability >= self.options.sure for probability in probabilities)
        return sure >= self._windows(self.options.sure_for)

    def _padded_start(self, window: int) -> int:
        return max(self._free, window * WINDOW - round(self.options.pad * 16000))
