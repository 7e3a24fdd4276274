"""Recognises speech while it is spoken: endpoints, interim and final results.

Interim results come from recognising the open segment again from its beginning, each time it has grown enough. That
costs more than a decoder that goes on from where it was, and buys three things: models stay stateless, so any instance
(of any replica) can take the next step and a restart loses nothing; every model works this way, Whisper too; and an
interim result is what the final one would be if the segment ended there. The cost stays bounded: segments have a
longest length, one interim is in flight at most, and the wait before the next grows with the segment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import av
import numpy as np

from services.asr.endpoint import EndpointOptions
from services.asr.errors import AudioTooLong, InvalidAudio
from services.asr.listen import Listener, Utterance
from services.asr.models import RATE, Samples
from services.asr.recognise import Recogniser
from services.asr.transcript import Config, Segment

FIRST_INTERIM = 0.5
"""Seconds of speech before the first interim result."""
GROWTH = 0.25
"""Share by which a segment must have grown before it is recognised again."""


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """How to recognise live; times are in seconds, the rate is in samples per second."""

    config: Config
    rate: int = RATE
    interim: bool = False
    silence: float = 0.6
    single: bool = False


class Activity(Enum):
    """Whether somebody speaks."""

    BEGIN = "begin"
    END = "end"


@dataclass(frozen=True, slots=True)
class ActivityEvent:
    """Speech began or ended, at seconds from the beginning of the audio."""

    activity: Activity
    time: float


@dataclass(frozen=True, slots=True)
class ResultEvent:
    """A segment as understood so far, or finally."""

    segment: Segment
    final: bool


Event = ActivityEvent | ResultEvent


class PcmReader:
    """Turns signed 16-bit little-endian mono samples at any rate into float32 at 16 kHz.

    Args:
        rate: Samples per second of what comes in.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._odd = b""
        self._resampler = None if rate == RATE else av.AudioResampler(format="flt", layout="mono", rate=RATE)

    def read(self, data: bytes) -> Samples:
        """The samples of the next bytes; a sample that is cut in half waits for its other half."""
        data = self._odd + data
        self._odd = data[len(data) - len(data) % 2 :]
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
        if self._resampler is None or not len(samples):
            return samples.astype(np.float32) / 32768
        frame: Any = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._rate
        return self._joined(self._resampler.resample(frame))

    def finish(self) -> Samples:
        """What the resampler held back. Raises InvalidAudio when half a sample is left."""
        if self._odd:
            raise InvalidAudio("it ends in the middle of a 16-bit sample; send an even number of bytes")
        return self._joined([] if self._resampler is None else self._resampler.resample(None))

    @staticmethod
    def _joined(frames: list[Any]) -> Samples:
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class LiveRecognition:
    """One live recognition.

    Args:
        recogniser: Recognises the segments.
        live: How.
    """

    def __init__(self, recogniser: Recogniser, live: LiveConfig) -> None:
        self._recogniser = recogniser
        self._live = live
        self._model = recogniser.model(live.config).id
        self._listener = Listener(recogniser.engine, replace(EndpointOptions(), silence=live.silence))
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._interim: asyncio.Task[None] | None = None
        self._shown = 0.0  # length in seconds of the open segment when it was last recognised
        self._speaking = False

    async def events(self, audio: AsyncIterator[bytes]) -> AsyncIterator[Event]:
        """What happens while audio comes in. Closing the iterator stops the work.

        Raises:
            AudioTooLong, InvalidAudio, InvalidArgument, Unavailable: see `Recogniser.transcribe`.
        """
        work = asyncio.create_task(self._listen(audio))
        try:
            while (event := await self._events.get()) is not None:
                yield event
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _listen(self, audio: AsyncIterator[bytes]) -> None:
        reader = PcmReader(self._live.rate)
        try:
            async for data in audio:
                if await self._heard(await self._listener.feed(reader.read(data))):
                    return
            utterances = await self._listener.feed(reader.finish())
            await self._heard(utterances + await self._listener.finish())
        finally:
            await self._drop_interim()
            self._events.put_nowait(None)

    async def _heard(self, utterances: list[Utterance]) -> bool:
        """Tells what follows from the audio heard last; True when the recognition is complete."""
        if self._listener.heard > self._recogniser.max_seconds * RATE:
            raise AudioTooLong(self._recogniser.max_seconds)
        for utterance in utterances:
            self._begin(utterance.start)
            await self._final(utterance)
            if self._live.single:
                return True
        spoken = self._listener.open
        if spoken is not None:
            self._begin(spoken.start)
            self._consider_interim(spoken)
        elif self._speaking:  # a click that was taken for speech
            self._end(self._listener.heard / RATE)
        return False

    def _begin(self, time: float) -> None:
        if not self._speaking:
            self._speaking, self._shown = True, 0.0
            self._events.put_nowait(ActivityEvent(Activity.BEGIN, time))

    def _end(self, time: float) -> None:
        self._speaking = False
        self._events.put_nowait(ActivityEvent(Activity.END, time))

    async def _final(self, utterance: Utterance) -> None:
        await self._drop_interim()
        self._end(utterance.end)
        segment = await self._recogniser.recognise(self._model, utterance, self._live.config)
        if segment.text:
            self._events.put_nowait(ResultEvent(segment, final=True))

    def _consider_interim(self, spoken: Utterance) -> None:
        length = spoken.end - spoken.start
        if not self._live.interim or length < max(FIRST_INTERIM, self._shown * (1 + GROWTH)):
            return
        if self._interim is None or self._interim.done():
            self._shown = length
            copied = Utterance(spoken.samples.copy(), spoken.start)
            self._interim = asyncio.create_task(self._show(copied))

    async def _show(self, utterance: Utterance) -> None:
        segment = await self._recogniser.recognise(self._model, utterance, self._live.config)
        if segment.text:
            self._events.put_nowait(ResultEvent(segment, final=False))

    async def _drop_interim(self) -> None:
        """Stops the interim in flight. What failed in it is not lost: the final of the segment meets it again."""
        if self._interim is not None:
            self._interim.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._interim
            self._interim = None
