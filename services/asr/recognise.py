"""Recognises recordings: decode, find speech, recognise its segments side by side, hand them on in order of time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator

from services.asr.decode import decode
from services.asr.listen import Listener, Utterance
from services.asr.models import RATE, Engine, Model, Samples, find, hints_tensor
from services.asr.transcript import Config, Segment, Transcript, Word


class Recogniser:
    """Recognises speech with the models of an engine.

    Args:
        engine: The models.
        default_model: For requests that name none.
        max_seconds: Longest audio that is taken.
        in_flight: How many segments of one recording are recognised at the same time.
    """

    def __init__(self, engine: Engine, default_model: str, max_seconds: float, in_flight: int) -> None:
        self.engine = engine
        self.default_model = default_model
        self.max_seconds = max_seconds
        self._in_flight = in_flight

    def model(self, config: Config) -> Model:
        """The model that a request means. Raises ModelNotFound."""
        return find(config.model, self.default_model)

    async def transcribe(self, audio: bytes, config: Config) -> Transcript:
        """The whole transcript of a recording. Raises InvalidAudio, AudioTooLong, ModelNotFound, Unavailable."""
        transcript = Transcript(self.model(config).id, config.language)
        async for segment in self.segments(audio, config, transcript):
            transcript.segments.append(segment)
        languages = [segment.language for segment in transcript.segments if segment.language]
        transcript.language = max(set(languages), key=languages.count) if languages else config.language
        return transcript

    async def segments(self, audio: bytes, config: Config, transcript: Transcript) -> AsyncIterator[Segment]:
        """The segments of a recording, in order, each as soon as it and those before it are recognised.

        Closing the iterator stops the work.

        Args:
            audio: The recording's bytes.
            config: How to recognise.
            transcript: Its duration is written when all audio was heard.
        """
        running: deque[asyncio.Task[Segment]] = deque()
        model = self.model(config).id
        try:
            async for utterance in self._utterances(audio, transcript):
                running.append(asyncio.create_task(self.recognise(model, utterance, config)))
                while len(running) >= self._in_flight + 1 or (running and running[0].done()):
                    if (segment := await running.popleft()).text:
                        yield segment
            while running:
                if (segment := await running.popleft()).text:
                    yield segment
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def recognise(self, model: str, utterance: Utterance, config: Config) -> Segment:
        """What is said in one segment; its text is empty where no word was understood."""
        heard = await self.engine.hear(model, utterance.samples, config.language, hints_tensor(config.hints))
        words = tuple(
            Word(w.text, utterance.start + w.start, min(utterance.start + w.end, utterance.end), w.confidence)
            for w in heard.words
        )
        return Segment(heard.text, utterance.start, utterance.end, words, heard.language)

    async def _utterances(self, audio: bytes, transcript: Transcript) -> AsyncIterator[Utterance]:
        """The segments of speech in a recording."""
        listener = Listener(self.engine)
        async for samples in _in_thread(decode(audio, self.max_seconds)):
            for utterance in await listener.feed(samples):
                yield utterance
        transcript.duration = listener.heard / RATE
        for utterance in await listener.finish():
            yield utterance


async def _in_thread(pieces: Iterator[Samples]) -> AsyncIterator[Samples]:
    """Runs a blocking iterator in worker threads, one step ahead of its reader."""
    ahead = asyncio.create_task(asyncio.to_thread(next, pieces, None))
    try:
        while (piece := await ahead) is not None:
            ahead = asyncio.create_task(asyncio.to_thread(next, pieces, None))
            yield piece
    finally:
        # The thread cannot be interrupted; its one step is short.
        await asyncio.gather(ahead, return_exceptions=True)
