"""Finds the segments of speech in a stream of samples, and keeps only the audio that is still needed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.asr.endpoint import WINDOW, Endpointer, EndpointOptions, Stretch
from services.asr.models import RATE, Engine, Samples

SILENT = 1e-4
"""Peak (-80 dBFS) below which nobody needs to be asked whether it is speech."""


class Utterance(NamedTuple):
    """The audio of one segment of speech."""

    samples: Samples
    start: float
    """Seconds from the beginning of the audio."""

    @property
    def end(self) -> float:
        """Seconds from the beginning of the audio."""
        return self.start + len(self.samples) / RATE


class Listener:
    """Listens to one audio stream.

    Args:
        engine: Judges what is speech.
        options: When speech begins and ends.
        judged: Gets the probabilities of speech as they are found, a piece of windows at a time.
    """

    def __init__(
        self, engine: Engine, options: EndpointOptions | None = None, judged: list[Samples] | None = None
    ) -> None:
        self._engine, self._told = engine, judged
        self._endpointer = Endpointer(options)
        self._state: Samples | None = None
        self._kept: Samples = np.zeros(0, np.float32)  # from sample self._offset on
        self._offset = 0
        self._judged = 0  # samples whose windows the detector has seen
        self.heard = 0
        """Samples taken so far."""

    async def feed(self, samples: Samples) -> list[Utterance]:
        """Takes the next samples, any number, and returns the segments that ended in them."""
        self._kept = np.concatenate([self._kept, samples])
        self.heard += len(samples)
        whole = (self.heard - self._judged) // WINDOW * WINDOW
        if not whole:
            return []
        return await self._judge(self._slice(self._judged, self._judged + whole))

    async def finish(self) -> list[Utterance]:
        """The audio is over: returns what was still being spoken."""
        rest = self._slice(self._judged, self.heard)
        found: list[Utterance] = []
        if len(rest):
            found = await self._judge(np.pad(rest, (0, WINDOW - len(rest))))
        return found + self._cut(self._endpointer.finish())

    @property
    def open(self) -> Utterance | None:
        """What is being spoken, as far as it was heard; None in silence."""
        start = self._endpointer.open
        return None if start is None else Utterance(self._slice(start, self.heard), start / RATE)

    @property
    def quiet(self) -> float | None:
        """Since when, in seconds, whoever spoke is quiet; None while they speak, and outside of segments."""
        since = self._endpointer.quiet
        return None if since is None else since / RATE

    @property
    def kept(self) -> Samples:
        """The last samples heard, as far as a later segment may want them."""
        return self._slice(self._offset, self.heard)

    async def _judge(self, windows: Samples) -> list[Utterance]:
        if float(np.abs(windows).max()) < SILENT:
            probabilities, self._state = np.zeros(len(windows) // WINDOW, np.float32), None
        else:
            probabilities, self._state = await self._engine.speech(windows, self._state)
        self._judged += len(windows)
        if self._told is not None:
            self._told.append(probabilities)
        found = self._cut(self._endpointer.feed(probabilities))
        self._forget(self._endpointer.needed)
        return found

    def _cut(self, stretches: list[Stretch]) -> list[Utterance]:
        return [Utterance(self._slice(s.start, min(s.end, self.heard)), s.start / RATE) for s in stretches]

    def _slice(self, start: int, end: int) -> Samples:
        return self._kept[start - self._offset : end - self._offset]

    def _forget(self, before: int) -> None:
        before = min(before, self._judged, self.heard)
        if before > self._offset:
            # A copy: a view would keep the whole of the old audio alive.
            self._kept = self._kept[before - self._offset :].copy()
            self._offset = before
