"""Recognises speech while it is spoken: interim and final results, endpoints, and who speaks.

Events come in order: what belongs to a segment comes before anything of the next one on its channel. How much a client
may be ahead of the recognition is bounded, and so is how far it may lag behind in reading results: a stream that sends
faster than it is recognised is read more slowly, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from services.asr.codecs import Encoding, LiveReader
from services.asr.endpoint import EndpointOptions
from services.asr.errors import AudioTooLong, ModelNotLoaded
from services.asr.live_speakers import LiveSpeakers, Revised
from services.asr.live_track import BLOCK, Began, Closed, Draft, Ended, Heard, Shown, Track
from services.asr.models import DIARIZER, RATE, Samples, Task, chosen
from services.asr.patience import PatientEngine
from services.asr.recognise import Recogniser
from services.asr.sessions import Sessions
from services.asr.transcript import Config, Segment
from services.mesh import usage
from services.mesh.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ParleyError,
    ResourceExhausted,
    TooLarge,
    Unavailable,
)
from services.mesh.usage import Unit

T = TypeVar("T")
LONGEST = 12.0
"""Seconds after which a live segment is cut, where a request does not say: captions should not wait for long."""
END = 0.25
"""Probability below which live speech may end, where a request does not say: higher than for recordings, because the
detector is sure of silence 20 ms earlier."""
UNFINISHED = 4
"""Segments of a stream that may wait for their final result before no more audio is taken."""
CROWDED = 8
"""Events that a client has not read yet, from which on it gets no interim results."""
RETRY_SECONDS = 5.0
"""When another try makes sense for a stream that there is no room for."""


@dataclass(frozen=True, slots=True)
class Endpointing:
    """When a request wants live speech to begin and end, as in EndpointOptions; what is 0 is left to the deployment."""

    silence: float = 0.0
    begin: float = 0.0
    end: float = 0.0
    shortest: float = 0.0
    longest: float = 0.0

    def options(self, silence: float) -> EndpointOptions:
        """What follows from it. Raises InvalidArgument where the thresholds contradict each other.

        Args:
            silence: The deployment's.
        """
        own = EndpointOptions()
        begin = self.begin or own.begin
        if self.end > begin:
            raise InvalidArgument(
                "config.endpointing.end_threshold",
                f"must not be above begin_threshold, {begin:g}: speech would end before it begins",
            )
        wanted = self.silence or silence
        return replace(
            own,
            begin=begin,
            end=self.end or min(END, begin),
            silence=wanted,
            shortest=self.shortest or own.shortest,
            longest=self.longest or LONGEST,
            # What is added behind a segment is there when it ends.
            pad=min(own.pad, wanted),
        )


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """How to recognise a live stream; the rate is in samples per second."""

    config: Config
    encoding: Encoding = Encoding.PCM
    rate: int = RATE
    channels: int = 1
    interim: bool = False
    single: bool = False
    """End with the first final result."""
    endpointing: Endpointing = Endpointing()


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a deployment recognises live."""

    streams: int = 8 * len(os.sched_getaffinity(0))
    """How many at once."""
    idle_seconds: float = 60.0
    """After how long without a message of the client a stream is ended; see `timely`."""
    patience: float = 10.0
    """How long a model server that is away is waited for, in seconds."""
    silence: float = 0.25
    """Seconds of silence that end a segment, where a request does not say."""
    diarizer: str = DIARIZER.id
    """The diarization model of requests that name none."""


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
    stability: float = 1.0
    """How much of it is likely to stay, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class RevisionEvent:
    """Segments that were final have other speakers."""

    segments: tuple[Revised, ...]


Event = ActivityEvent | ResultEvent | RevisionEvent


async def timely(messages: AsyncIterator[T], seconds: float) -> AsyncGenerator[T, None]:
    """The messages of a client. Raises DeadlineExceeded where none comes for so many seconds."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                message = await anext(messages, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"Nothing came for {seconds:g} seconds: the stream is closed. Send audio, silence too, as long as it "
                "is open, and close it when the audio is over."
            ) from None
        if message is None:
            return
        yield message


class Live:
    """Recognises live streams, as many at once as there is room for.

    Args:
        recogniser: Recognises.
        options: How the deployment does it.
        sessions: Begins to follow speech with models that can; None where there is none.
    """

    def __init__(
        self, recogniser: Recogniser, options: LiveOptions | None = None, sessions: Sessions | None = None
    ) -> None:
        self.options = options or LiveOptions()
        self.sessions = sessions
        patient = PatientEngine(recogniser.engine, self.options.patience)
        self.recogniser = Recogniser(
            patient, recogniser.default_model, recogniser.max_seconds, recogniser.in_flight, recogniser.fused
        )
        # Two at least: where one is being cancelled, the next one need not wait for that.
        self.slots = asyncio.Semaphore(max(2, recogniser.in_flight))
        self.turn = asyncio.Semaphore(1)
        self.running = 0

    async def events(self, live: LiveConfig, audio: AsyncIterator[bytes]) -> AsyncGenerator[Event, None]:
        """What happens while audio comes in. Closing the iterator stops the work.

        Where the audio turns out to be at fault, or stops to come, what was said before is recognised to its end first.

        Raises:
            ResourceExhausted: there is no room for another stream.
            ModelNotFound, ModelNotLoaded, InvalidArgument: the configuration is at fault.
            InvalidAudio, AudioTooLong: the audio is.
            DeadlineExceeded: `audio` raised it.
            Unavailable: the model server is away, and did not come back in time.
        """
        with self._admitted():
            stream = _Stream(self, live)
            try:
                async for event in stream.events(audio):
                    yield event
            finally:
                await stream.stop()

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self.running >= self.options.streams:
            raise ResourceExhausted(
                f"This deployment recognises {self.options.streams} live streams at once, and that many are running. "
                "Try again shortly, or send a recording.",
                metadata={"limit": str(self.options.streams)},
                retry_after=RETRY_SECONDS,
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


class _Stream:
    """One live stream.

    Args:
        live: What it has in common with the others.
        asked: How to recognise.
    """

    def __init__(self, live: Live, asked: LiveConfig) -> None:
        self._live, self._asked = live, asked
        self._endpoints = asked.endpointing.options(live.options.silence)
        self._model = live.recogniser.model(asked.config).id
        self._tracks: list[Track] = []
        self._speakers: LiveSpeakers | None = None
        self._work: asyncio.Task[None] | None = None
        # What is to be told, in order; None ends it. Nothing passes a final result that is still worked on.
        self._told: asyncio.Queue[tuple[int, Heard] | RevisionEvent | None] = asyncio.Queue()
        self._unfinished = 0
        self._progress = asyncio.Event()
        self._number = 0
        self._follows = False

    async def events(self, audio: AsyncIterator[bytes]) -> AsyncIterator[Event]:
        """See `Live.events`."""
        await self._prepare()
        self._work = asyncio.create_task(self._listen(audio))
        while (told := await self._told.get()) is not None:
            if isinstance(told, RevisionEvent):
                yield told
                continue
            channel, heard = told
            if isinstance(heard, Closed):
                parts = await self._final(channel, heard)
                for part in parts:
                    yield ResultEvent(part, final=True)
                self._unfinished -= 1
                self._progress.set()
                if parts and self._asked.single:
                    return
            else:
                yield self._event(channel, heard)
        if self._speakers is not None:
            await self._speakers.finish()
            while not self._told.empty():
                if isinstance(told := self._told.get_nowait(), RevisionEvent):
                    yield told
        await self._work

    async def stop(self) -> None:
        """Stops the work."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        if self._speakers is not None:
            self._speakers.stop()
        for track in self._tracks:
            await track.stop()

    async def _prepare(self) -> None:
        """Finds out before any audio whether this deployment can do what is asked for, and who is known."""
        config, engine = self._asked.config, self._live.recogniser.engine
        self._live.recogniser.check(config)
        if config.enhance:
            raise InvalidArgument("config.enhance", "live results are not enhanced; leave it out")
        if self._live.sessions is not None and not config.max_alternatives:
            self._follows = await self._live.sessions.offered(self._model)
        if config.diarization is None:
            return
        if config.separate_channels:
            raise InvalidArgument(
                "config.separate_channels",
                "not together with diarization: each channel counts as a speaker's own",
            )
        model = chosen(config.diarization.model, self._live.options.diarizer, Task.DIARIZATION).id
        if not await engine.ready(model):
            if not await engine.ready(self._model):
                raise Unavailable("The model server cannot be reached. Try again shortly.", retry_after=RETRY_SECONDS)
            raise ModelNotLoaded("config.diarization", model, "leave diarization out")
        self._speakers = LiveSpeakers(engine, model, config.diarization, self._live.turn, self._revise)
        await self._speakers.meet()

    async def _listen(self, audio: AsyncIterator[bytes]) -> None:
        """Takes the audio in. What was said before a fault of the audio is recognised before that is told."""
        asked = self._asked
        reader = LiveReader(asked.encoding, asked.rate, asked.channels, asked.config.separate_channels)
        fault: ParleyError | None = None
        try:
            try:
                async for data in audio:
                    await self._feed(reader.read(data))
                await self._feed(reader.finish())
            except (InvalidArgument, TooLarge, DeadlineExceeded) as error:
                fault = error
            for track in self._tracks:
                await track.finish()
            if fault is not None:
                raise fault
        finally:
            self._told.put_nowait(None)

    async def _feed(self, channels: list[Samples]) -> None:
        """Takes the next samples of each channel. Raises AudioTooLong."""
        if not self._tracks:
            self._tracks = [self._track(channel) for channel in range(len(channels))]
        for start in range(0, max(map(len, channels), default=0), BLOCK):
            for track, samples in zip(self._tracks, channels, strict=True):
                await track.feed(samples[start : start + BLOCK])
            usage.add(Unit.AUDIO_SECONDS, min(BLOCK, max(map(len, channels)) - start) / RATE, self._model)
            if self._tracks[0].heard > self._live.recogniser.max_seconds:
                raise AudioTooLong(self._live.recogniser.max_seconds)
            while self._unfinished >= UNFINISHED:
                self._progress.clear()
                await self._progress.wait()

    def _track(self, channel: int) -> Track:
        return Track(
            self._live.recogniser,
            self._model,
            self._asked.config,
            self._endpoints,
            self._asked.interim,
            self._live.slots,
            lambda heard: self._tell(channel, heard),
            self._live.sessions if self._follows else None,
            self._speakers.listen if self._speakers is not None else None,
        )

    def _tell(self, channel: int, heard: Heard) -> None:
        if isinstance(heard, Shown) and self._told.qsize() >= CROWDED:
            return
        self._unfinished += isinstance(heard, Closed)
        self._told.put_nowait((channel, heard))

    def _revise(self, revised: list[Revised]) -> None:
        self._told.put_nowait(RevisionEvent(tuple(revised)))

    def _event(self, channel: int, heard: Began | Ended | Shown) -> Event:
        if isinstance(heard, Shown):
            shown = replace(heard.segment, number=self._numbered(heard.draft), channel=channel)
            return ResultEvent(shown, final=False, stability=heard.stability)
        return ActivityEvent(Activity.BEGIN if isinstance(heard, Began) else Activity.END, heard.time)

    async def _final(self, channel: int, closed: Closed) -> tuple[Segment, ...]:
        """The segment that is over, in one part for each speaker; nothing where no word was understood."""
        segment = await closed.result
        if not segment.text:
            return ()
        if self._speakers is None or closed.guess is None:
            return (replace(segment, number=self._numbered(closed.draft), channel=channel),)
        parts = await self._speakers.split(segment, closed.utterance, closed.guess)
        # The first part has the number that interim results had.
        numbers = [self._numbered(closed.draft), *(self._next() for _ in parts[1:])]
        numbered = tuple(replace(part, number=number) for part, number in zip(parts, numbers, strict=True))
        for part in numbered:
            self._speakers.keep(part, closed.utterance)
        return numbered

    def _numbered(self, draft: Draft) -> int:
        draft.number = draft.number or self._next()
        return draft.number

    def _next(self) -> int:
        self._number += 1
        return self._number
