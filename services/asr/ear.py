"""One channel of a recording: its segments of speech, and the chunks that they lie in.

The speech detector is recurrent, and who speaks is found out for whole stretches of audio. So that a transcription can
go on where it was broken off and gives what it would have given, both start afresh at the beginning of a chunk, which
is a matter of the audio alone: some minutes after the last one, in a pause if there is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.asr.endpoint import WINDOW, EndpointOptions
from services.asr.listen import Listener, Utterance
from services.asr.models import RATE, Engine, Samples, sixteen_bit

BLOCK = 320 * WINDOW
"""Samples that are listened to at a time, counted from the beginning of the chunk: 10.24 seconds."""
GRACE = 60 * RATE
"""How much longer than wanted a chunk may get, in samples, to end in a pause."""


class Chunk:
    """A part of the audio, of some minutes.

    Args:
        start: Its first sample.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self.audio: list[NDArray[np.int16]] = []
        """Its samples, where they were asked for."""
        self.likely: list[Samples] = []
        """How likely its windows are speech, where that was asked for; some more than its samples have."""

    def drop(self, samples: int) -> None:
        """Forgets its last samples: they belong to the next one."""
        while samples:
            last = self.audio.pop()
            if len(last) > samples:
                self.audio.append(last[: len(last) - samples].copy())
            samples -= min(samples, len(last))

    @property
    def seconds(self) -> float:
        """Its length, as far as its samples are there."""
        return sum(map(len, self.audio)) / RATE


def together(chunks: Sequence[Chunk]) -> tuple[NDArray[np.int16], Samples]:
    """The audio of chunks that follow one another, and how likely each of its windows is speech.

    Each chunk's own windows begin with its first sample; a window of the whole has the probability of the one that its
    middle lies in.
    """
    audio = [np.concatenate([np.zeros(0, np.int16), *chunk.audio]) for chunk in chunks]
    likely = [np.concatenate([np.zeros(0, np.float32), *chunk.likely]) for chunk in chunks]
    lengths, windows = np.array([len(own) for own in audio]), np.array([len(own) for own in likely])
    ends = np.cumsum(lengths)
    middles = np.minimum(np.arange(WINDOW // 2, ends[-1] + WINDOW // 2, WINDOW), ends[-1] - 1)
    which = np.searchsorted(ends, middles, side="right")
    places = (np.cumsum(windows) - windows)[which] + (middles - (ends - lengths)[which]) // WINDOW
    return np.concatenate(audio), np.concatenate(likely)[places]


class Cut(NamedTuple):
    """A segment of speech, cut out of its channel."""

    chunk: Chunk
    start: int
    """Its first sample, from the beginning of the audio."""
    samples: NDArray[np.int16]

    @property
    def end(self) -> int:
        """The sample after its last."""
        return self.start + len(self.samples)

    @property
    def utterance(self) -> Utterance:
        """What a recogniser wants."""
        return Utterance(self.samples.astype(np.float32) / 32768, self.start / RATE)


class Ear:
    """Listens to one channel.

    Args:
        engine: Judges what is speech.
        options: When speech begins and ends.
        start: The sample to begin with: the beginning of a chunk. What comes before is passed over.
        length: Samples after which a new chunk begins.
        keep: Whether chunks keep their audio.
    """

    def __init__(self, engine: Engine, options: EndpointOptions, start: int, length: int, keep: bool) -> None:
        self._engine, self._options, self._length, self._keep = engine, options, length, keep
        self._skip = start
        self._waiting: Samples = np.zeros(0, np.float32)
        self.chunk = Chunk(start)
        """The one that is being heard."""
        self.over: list[Chunk] = []
        """Those before it that keep their audio; whoever uses it forgets them."""
        self._listener = self._listening()

    @property
    def frontier(self) -> int:
        """The sample before which no further segment begins."""
        return self.chunk.start + self._listener.heard - len(self._listener.kept)

    async def feed(self, samples: Samples) -> AsyncIterator[Cut]:
        """Takes the next samples, any number, and yields the segments that ended in them."""
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        self._waiting = np.concatenate([self._waiting, samples[skipped:]])
        while len(self._waiting) >= BLOCK:
            async for cut in self._listen(BLOCK):
                yield cut
            self._turn_over()

    async def finish(self) -> AsyncIterator[Cut]:
        """The audio is over: yields what was still being spoken."""
        async for cut in self._listen(len(self._waiting)):
            yield cut
        for utterance in await self._listener.finish():
            yield self._cut(utterance)

    async def _listen(self, count: int) -> AsyncIterator[Cut]:
        block, self._waiting = self._waiting[:count], self._waiting[count:].copy()
        if self._keep:
            self.chunk.audio.append(sixteen_bit(block))
        for utterance in await self._listener.feed(block):
            yield self._cut(utterance)

    def _cut(self, utterance: Utterance) -> Cut:
        start = self.chunk.start + round(utterance.start * RATE)
        return Cut(self.chunk, start, sixteen_bit(utterance.samples))

    def _turn_over(self) -> None:
        """Begins a new chunk when it is time: with what later segments may still want of the audio."""
        heard = self._listener.heard
        if heard < self._length or (self._listener.open is not None and heard < self._length + GRACE):
            return
        rest = self._listener.kept
        if len(rest) >= heard:  # one single segment since the chunk began: it has to end first
            return
        chunk = self.chunk
        if chunk.audio:
            chunk.drop(len(rest))
            self.over.append(chunk)
        self.chunk = Chunk(chunk.start + heard - len(rest))
        self._waiting = np.concatenate([rest, self._waiting])
        self._listener = self._listening()

    def _listening(self) -> Listener:
        """A listener to the chunk that begins."""
        return Listener(self._engine, self._options, self.chunk.likely if self._keep else None)
