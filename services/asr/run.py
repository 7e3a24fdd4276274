"""One transcription: decode → find speech → {diarize ∥ recognise} → align, all at the same time.

A reader decodes and listens ahead of the recognisers, which work on several segments side by side; chunks of some
minutes are diarized beside them. What is held in memory is bounded, however long the audio is: the reader waits while
`Ahead` says that enough speech is waiting, and before a chunk is diarized the one before it has to be.

With every finished stretch comes a checkpoint. Begun again with it, a run gives what it would have given: what happens
in a chunk follows from its audio and from the voices known at its beginning, nothing else.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.asr.align import Turn, align
from services.asr.checkpoint import Checkpoint, Place, rows
from services.asr.decode import Source, decode
from services.asr.ear import Chunk, Cut, Ear, together
from services.asr.endpoint import EndpointOptions
from services.asr.models import DIARIZER, ENHANCER, RATE, Samples
from services.asr.recognise import Recogniser
from services.asr.speakers import Voices, counted
from services.asr.transcript import Config, Segment, Speaker
from services.mesh import usage
from services.mesh.usage import Unit

TAIL = 0.2
"""Share of a chunk that the last one must have to be diarized by itself; a shorter one goes with the one before."""
SLACK = 60.0
"""Seconds of speech that may wait beyond what diarization has to wait for."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A stretch of the audio that is done."""

    segments: tuple[Segment, ...]
    """What was said in it; empty where nothing was understood, and at the end of the audio."""
    checkpoint: Checkpoint
    """To go on behind it."""
    heard: float
    """Seconds of the audio that were listened to so far; in the end, its length."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a deployment transcribes."""

    diarizer: str = DIARIZER.id
    """The diarization model of requests that name none."""
    enhancer: str = ENHANCER.id
    """The enhancement model."""
    chunk_seconds: float = 600.0
    """Length of the parts that are diarized by themselves."""


class Ahead:
    """Bounds how much speech waits to be finished.

    Args:
        limit: In samples.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._changed = asyncio.Condition()

    def take(self, samples: int) -> None:
        """More waits."""
        self._held += samples

    async def release(self, samples: int) -> None:
        """Some is finished."""
        async with self._changed:
            self._held -= samples
            self._changed.notify_all()

    async def room(self) -> None:
        """Returns as soon as little enough waits."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._held <= self._limit)


class Group:
    """A chunk, or two, that are diarized together: who speaks there, and what was known before.

    Args:
        start: Its first sample.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self.turns: asyncio.Future[list[Turn]] = asyncio.get_running_loop().create_future()
        # Where nobody waits for it any more, an error in it is nobody's.
        self.turns.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.centroids: Samples | None = None
        self.heard: frozenset[int] = frozenset()


class Waiting:
    """A segment that is being recognised."""

    def __init__(self, channel: int, cut: Cut, group: Group, task: asyncio.Task[Segment]) -> None:
        self.channel, self.start, self.end = channel, cut.start, cut.end
        self.group, self.task = group, task


class Run:
    """One transcription.

    Args:
        recogniser: Recognises segments.
        options: How the deployment transcribes.
        source: The recording.
        config: How to recognise it.
        begin: Where to begin.
        endpoints: When speech begins and ends.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        options: Options,
        source: Source,
        config: Config,
        begin: Checkpoint,
        endpoints: EndpointOptions,
    ) -> None:
        self._recogniser, self._options, self._source = recogniser, options, source
        self._config, self._begin, self._endpoints = config, begin, endpoints
        self._model = recogniser.model(config).id
        wanted = config.diarization
        self._voices: Voices | None = None
        if wanted is not None:
            model = wanted.model or options.diarizer
            known = begin.voices, begin.labels, begin.heard
            self._voices = Voices(recogniser.engine, model, wanted, *known)
        self._ears: list[Ear] = []
        self._groups: dict[Chunk, Group] = {}
        self._diarizing: asyncio.Task[None] | None = None
        self._found: list[tuple[int, int, Cut]] = []  # a heap of segments: start, channel
        self._queue: asyncio.Queue[Waiting | None] = asyncio.Queue()
        self._slots = asyncio.Semaphore(recogniser.in_flight)
        self._ahead = Ahead(round(self._limit() * RATE))
        self._tasks: set[asyncio.Task[Segment]] = set()
        self._heard = 0
        # What an earlier attempt heard is paid for.
        self._paid = round(begin.seconds * RATE)

    def _limit(self) -> float:
        """Seconds of speech that may wait: all recognisers have work, and diarization has its chunk and its tail."""
        if self._voices is not None:
            return self._options.chunk_seconds * (1 + TAIL) + SLACK
        return SLACK + 2 * self._recogniser.in_flight * self._endpoints.longest

    async def stretches(self) -> AsyncGenerator[Finished, None]:
        """What is done, stretch by stretch, in order of time. Closing the iterator stops the work."""
        reading = asyncio.create_task(self._read())
        try:
            checkpoint = self._begin
            while (waiting := await self._queue.get()) is not None:
                if reading.done():
                    reading.result()
                checkpoint, segments = await self._finish(waiting, checkpoint)
                await self._ahead.release(waiting.end - waiting.start)
                yield Finished(segments, checkpoint, self._heard / RATE)
            await reading
            places = tuple(replace(place, done=max(place.done, self._heard)) for place in checkpoint.places)
            yield Finished((), replace(checkpoint, places=places), self._heard / RATE)
        finally:
            running = [task for task in (reading, self._diarizing, *self._tasks) if task is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _finish(self, waiting: Waiting, before: Checkpoint) -> tuple[Checkpoint, tuple[Segment, ...]]:
        """The segments of a stretch of speech, and the checkpoint behind them."""
        segment = replace(await waiting.task, channel=waiting.channel)
        turns = await waiting.group.turns
        segments: tuple[Segment, ...] = (segment,) if segment.text else ()
        if self._voices is not None:
            segments = tuple(self._named(part) for part in align(segment, turns) if part.text)
        numbered = tuple(replace(part, number=before.number + index) for index, part in enumerate(segments))
        places = list(before.places or [Place()] * len(self._ears))
        places[waiting.channel] = Place(waiting.group.start, waiting.end)
        checkpoint = Checkpoint(
            tuple(places),
            before.number + len(numbered),
            rows(waiting.group.centroids),
            tuple(sorted(waiting.group.heard)),
            tuple(self._voices.labels.items()) if self._voices else (),
            self._speakers(before.speakers, numbered),
        )
        return checkpoint, numbered

    def _named(self, segment: Segment) -> Segment:
        """A segment whose speaker is a voice, with the speaker's id."""
        assert self._voices is not None
        label = self._voices.label(int(segment.speaker)) if segment.speaker else ""
        return replace(segment, speaker=label, words=tuple(replace(word, speaker=label) for word in segment.words))

    @staticmethod
    def _speakers(before: tuple[Speaker, ...], segments: tuple[Segment, ...]) -> tuple[Speaker, ...]:
        """Those who spoke, with how long: from the first to the last word of each segment."""
        lengths = [(part.speaker, part.words[-1].end - part.words[0].start) for part in segments if part.words]
        return counted(before, lengths)

    async def _read(self) -> None:
        """Decodes and listens; segments go to the recognisers and into the queue, chunks to the diarizer."""
        try:
            if self._voices is not None:
                await self._voices.meet()
            decoded = decode(self._source, self._recogniser.max_seconds, separate=self._config.separate_channels)
            async with aclosing(in_thread(decoded)) as pieces:
                async for piece in pieces:
                    await self._ahead.room()
                    await self._take(piece)
            for channel, ear in enumerate(self._ears):
                async for cut in ear.finish():
                    self._keep(channel, cut)
            self._hand_on(everything=True)
            await self._settle(everything=True)
        except Exception as error:
            # Nobody will tell any more who speaks in what was found so far.
            for group in self._groups.values():
                group.turns.set_exception(error)
            raise
        finally:
            self._queue.put_nowait(None)

    async def _take(self, piece: Samples) -> None:
        """Listens to a piece of the audio, [n, channels]."""
        if not self._ears:
            self._ears = [self._ear(channel) for channel in range(piece.shape[1])]
        self._heard += len(piece)
        if self._heard > self._paid:
            usage.add(Unit.AUDIO_SECONDS, (self._heard - self._paid) / RATE, self._model)
            self._paid = self._heard
        for channel, ear in enumerate(self._ears):
            async for cut in ear.feed(piece[:, channel]):
                self._keep(channel, cut)
        self._hand_on()
        await self._settle()

    def _ear(self, channel: int) -> Ear:
        places = self._begin.places
        start = places[channel].start if channel < len(places) else 0
        length = round(self._options.chunk_seconds * RATE)
        return Ear(self._recogniser.engine, self._endpoints, start, length, keep=self._voices is not None)

    def _keep(self, channel: int, cut: Cut) -> None:
        """A segment was found: unless it is done, it waits for those of other channels that begin before it."""
        places = self._begin.places
        if self._voices is not None:
            self._group(cut.chunk)  # its voices are met, done or not: later chunks know them
        if channel >= len(places) or cut.end > places[channel].done:
            heapq.heappush(self._found, (cut.start, channel, cut))

    def _hand_on(self, *, everything: bool = False) -> None:
        """Gives to the recognisers what no other channel can come before any more."""
        while self._found:
            start, channel, cut = self._found[0]
            others = (ear.frontier for other, ear in enumerate(self._ears) if other != channel)
            if not everything and start >= min(others, default=start + 1):
                return
            heapq.heappop(self._found)
            self._ahead.take(len(cut.samples))
            task = asyncio.create_task(self._recognise(cut))
            self._tasks.add(task)
            task.add_done_callback(self._done)
            self._queue.put_nowait(Waiting(channel, cut, self._group(cut.chunk), task))

    def _done(self, task: asyncio.Task[Segment]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for the segment meets it; it is not lost where nobody does any more

    async def _recognise(self, cut: Cut) -> Segment:
        async with self._slots:
            return await self._recogniser.recognise(self._model, cut.utterance, self._config)

    def _group(self, chunk: Chunk) -> Group:
        """Where the segments of a chunk learn who speaks."""
        if self._voices is not None:
            return self._groups.setdefault(chunk, Group(chunk.start))
        group = Group(chunk.start)
        group.turns.set_result([])
        return group

    async def _settle(self, *, everything: bool = False) -> None:
        """Diarizes the chunks that need not wait any longer: one that is over waits until the next is long enough."""
        if self._voices is None or not self._ears:
            return
        ear = self._ears[0]
        waiting = [*ear.over, ear.chunk]
        while len(waiting) > 2 or (len(waiting) == 2 and self._long(waiting[1])):
            await self._diarize(waiting.pop(0))
        if everything:
            await self._diarize(*waiting)
        ear.over = waiting[:-1]

    def _long(self, chunk: Chunk) -> bool:
        return chunk.seconds >= TAIL * self._options.chunk_seconds

    async def _diarize(self, *chunks: Chunk) -> None:
        """Begins to diarize chunks together, as soon as those before them are done."""
        if self._diarizing is not None:
            await self._diarizing
        groups = [self._groups.pop(chunk) for chunk in chunks if chunk in self._groups]
        if groups:
            self._diarizing = asyncio.create_task(self._tell_apart(groups, *together(chunks), chunks[0].start))
        for chunk in chunks:
            chunk.audio, chunk.likely = [], []

    async def _tell_apart(self, groups: list[Group], samples: NDArray[np.int16], speech: Samples, start: int) -> None:
        voices = self._voices
        assert voices is not None
        for group in groups:
            group.start, group.centroids, group.heard = start, voices.centroids, voices.heard
        try:
            found = await voices.turns(samples, speech, start / RATE)
        except Exception as error:  # noqa: BLE001  # the segments that wait for it raise it
            for group in groups:
                group.turns.set_exception(error)
            return
        turns = [Turn(begin, end, str(voice)) for begin, end, voice in found]
        for group in groups:
            group.turns.set_result(turns)


async def in_thread(pieces: Generator[Samples]) -> AsyncGenerator[Samples, None]:
    """Runs a blocking generator in worker threads, one step ahead of its reader.

    Whoever closes or cancels it waits until the blocking generator is closed too.
    """
    one_at_a_time = threading.Lock()

    def step() -> Samples | None:
        with one_at_a_time:
            return next(pieces, None)

    def close() -> None:
        with one_at_a_time:
            pieces.close()

    ahead = asyncio.create_task(asyncio.to_thread(step))
    try:
        while (piece := await ahead) is not None:
            ahead = asyncio.create_task(asyncio.to_thread(step))
            yield piece
    finally:
        # The thread cannot be interrupted; its one step is short, and the file is closed behind it.
        ahead.cancel()
        closing = asyncio.create_task(asyncio.to_thread(close))
        try:
            await asyncio.wait((ahead, closing))
        except asyncio.CancelledError:
            await asyncio.wait((closing,))
            raise
