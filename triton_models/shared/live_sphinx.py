"""pocketsphinx while it is spoken: stretches of speech that come in pieces, each with a decoder of its own.

The decoder goes on from where it was, so that the work for a piece does not depend on what came before it. Two things
differ from recognising the whole (sphinx.py). The cepstral mean cannot be that of the whole: it is measured over the
first second and a half, which serves as well (word error rates on read English differ by less than they vary), and over
what there is until then. And the second pass over the whole is left out: it makes the last answer late, and nothing
better.
"""

from __future__ import annotations

import time
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.room import FLOOR, SEED
from triton_models.shared.sphinx import MARGIN, RATE, Recogniser, Recognisers, Word

SOONEST, ENOUGH = RATE // 2, RATE * 3 // 2
"""Samples over which the mean is measured at first, so that there are early words, and for good."""
DECODERS = 3
"""Decoders of an instance, those in use and those kept for the next sequence. One for dictation takes 100 MB."""
ABANDONED = 10.0
"""Seconds after which a sequence that did not end gives its decoder back."""

Pieces = NDArray[np.int16]


class Session:
    """One stretch of speech.

    Args:
        recogniser: Its decoder, which nobody else uses meanwhile.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser
        self.touched = time.monotonic()
        self._begun = 0  # samples over which the mean was measured; 0: nothing is decoded yet
        self._early: Pieces = np.zeros(0, np.int16)  # what there is, until the mean is measured for good
        self._length = self._peak = 0
        self._noise = np.random.default_rng(SEED)

    def feed(self, samples: Pieces, *, last: bool) -> list[Word]:
        """The words so far; all of them with the last piece."""
        self.touched = time.monotonic()
        self._length += len(samples)
        if self._begun < ENOUGH:
            self._early = np.concatenate([self._early, samples])
            if len(self._early) >= ENOUGH or last or (not self._begun and len(self._early) >= SOONEST):
                self._restart()
            elif self._begun:
                self._decode(samples)
        else:
            self._decode(samples)
        if last:
            self._decode(np.zeros(MARGIN, np.int16))
            self.recogniser.end()
        return self.recogniser.found(self._length / RATE) if self._begun else []

    def stop(self) -> None:
        """The sequence was given up."""
        if self._begun:
            self.recogniser.end()

    def _restart(self) -> None:
        """Decodes what there is from its beginning, with the mean of what there is."""
        if self._begun:
            self.recogniser.end()
        self._begun = max(1, len(self._early))
        padded = self._in_room(np.pad(self._early, (MARGIN, 0)))
        self.recogniser.begin(padded)
        self.recogniser.decode(padded)

    def _decode(self, samples: Pieces) -> None:
        self.recogniser.decode(self._in_room(samples))

    def _in_room(self, samples: Pieces) -> Pieces:
        """As in room.py; the peak is that of what was heard so far."""
        self._peak = max(self._peak, int(np.abs(samples.astype(np.int32)).max(initial=0)))
        noise = self._noise.standard_normal(len(samples), np.float32) * max(1.0, self._peak / FLOOR)
        louder: Pieces = np.clip(np.rint(samples + noise), -32768, 32767).astype(np.int16)
        return louder


class Sessions:
    """The sequences of an instance, and its decoders.

    Args:
        limit: How many decoders there are at most.
    """

    def __init__(self, limit: int = DECODERS) -> None:
        self._limit = limit
        self._recognisers = Recognisers(kept=0)
        self._running: dict[int, tuple[bytes, Session]] = {}
        self._idle: OrderedDict[int, tuple[bytes, Recogniser]] = OrderedDict()  # the one used longest ago first

    def feed(self, sequence: int, samples: Pieces, hints: bytes, *, first: bool, last: bool) -> list[Word] | None:
        """The words of a sequence so far; None where there is no decoder for it, or it is not known here.

        Args:
            sequence: Its id.
            samples: Its next piece.
            hints: As in sphinx.py; looked at in the first piece only. Raises HintsError.
            first: Whether the sequence begins.
            last: Whether it ends.
        """
        if first:
            self._give_back(sequence)
            recogniser = self._taken(hints)
            if recogniser is None:
                return None
            self._running[sequence] = hints, Session(recogniser)
        elif sequence not in self._running:
            return None
        words = self._running[sequence][1].feed(samples, last=last)
        if last:
            self._free(sequence)
        return words

    def _taken(self, hints: bytes) -> Recogniser | None:
        """A decoder for the hints: an idle one, or a new one where there is room."""
        for key, (kept, recogniser) in self._idle.items():
            if kept == hints:
                del self._idle[key]
                return recogniser
        for sequence, (_, session) in list(self._running.items()):
            if time.monotonic() - session.touched > ABANDONED:
                self._give_back(sequence)
        if len(self._running) >= self._limit:
            return None
        while self._idle and len(self._running) + len(self._idle) >= self._limit:
            self._idle.popitem(last=False)
        return self._recognisers.make(hints, fwdflat=False)

    def _give_back(self, sequence: int) -> None:
        if sequence in self._running:
            self._running[sequence][1].stop()
            self._free(sequence)

    def _free(self, sequence: int) -> None:
        hints, session = self._running.pop(sequence)
        self._idle[sequence] = hints, session.recogniser
