"""Transcribes recordings: what a request asks for is checked, then run, then enhanced.

Segments come out in order, each as soon as it and those before it are done; see run.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from services.asr.checkpoint import Checkpoint
from services.asr.decode import Source
from services.asr.endpoint import EndpointOptions
from services.asr.enhance import Enhancer
from services.asr.errors import ModelNotLoaded
from services.asr.models import VAD, Engine, Task, chosen
from services.asr.profanity import filtered
from services.asr.recognise import Recogniser
from services.asr.run import Finished as Finished
from services.asr.run import Options as Options
from services.asr.run import Run
from services.asr.settings import AsrSettings
from services.asr.transcript import Config, Transcript, spoken
from services.mesh import authority
from services.mesh.errors import InvalidArgument, Unavailable


class Pipeline:
    """Transcribes recordings.

    Args:
        recogniser: Recognises segments.
        options: How.
    """

    def __init__(self, recogniser: Recogniser, options: Options | None = None) -> None:
        self.recogniser = recogniser
        self.options = options or Options()

    async def transcribe(self, source: Source, config: Config, endpoints: EndpointOptions | None = None) -> Transcript:
        """The whole transcript of a recording. Raises what `run` does."""
        transcript = Transcript(self.recogniser.model(config).id, config.language)
        async with aclosing(self.run(source, config, endpoints=endpoints)) as stretches:
            async for finished in stretches:
                grow(transcript, finished)
        return transcript

    async def check(self, config: Config) -> None:
        """Finds out before any work whether this deployment can do what is asked for.

        Raises:
            ModelNotFound, ModelNotLoaded, InvalidArgument: it cannot; the field at fault is named.
            NotGranted: the caller may not use one of the models.
            Unavailable: the model server is away.
        """
        self.recogniser.check(config)
        if config.separate_channels and config.diarization is not None:
            raise InvalidArgument(
                "config.separate_channels", "not together with diarization: each channel counts as a speaker's own"
            )
        if config.diarization is not None:
            model = chosen(config.diarization.model, self.options.diarizer, Task.DIARIZATION).id
            await self._loaded("config.diarization", model, "leave diarization out")
        if config.enhance:
            authority.current().require_model(self.options.enhancer)
            await self._loaded("config.enhance", self.options.enhancer, "leave enhance out")

    async def _loaded(self, field: str, model: str, remedy: str) -> None:
        if await self.recogniser.engine.ready(model):
            return
        if not await self.recogniser.engine.ready(VAD):
            raise Unavailable("The model server cannot be reached. Try again shortly.", retry_after=2.0)
        raise ModelNotLoaded(field, model, remedy)

    async def run(
        self,
        source: Source,
        config: Config,
        checkpoint: Checkpoint | None = None,
        endpoints: EndpointOptions | None = None,
    ) -> AsyncGenerator[Finished, None]:
        """What is done, stretch by stretch, in order of time. Closing the iterator stops the work.

        Args:
            source: The recording.
            config: How to recognise it.
            checkpoint: Where to go on, with the same recording and configuration.
            endpoints: When speech begins and ends.

        Raises:
            InvalidAudio, AudioTooLong: the recording is at fault.
            ModelNotFound, ModelNotLoaded, InvalidArgument: the configuration is; see `check`.
            Unavailable: the model server is away.
        """
        await self.check(config)
        begin = checkpoint or Checkpoint()
        unmasked = replace(config, profanity_filter=config.profanity_filter and not config.enhance)
        run = Run(self.recogniser, self.options, source, unmasked, begin, endpoints or EndpointOptions())
        stretches = run.stretches()
        if config.enhance:
            stretches = self._enhanced(stretches, config)
        async with aclosing(stretches):
            async for finished in stretches:
                yield finished

    async def _enhanced(
        self, stretches: AsyncGenerator[Finished, None], config: Config
    ) -> AsyncGenerator[Finished, None]:
        enhancer = Enhancer(self.recogniser.engine, self.options.enhancer)
        async with aclosing(_batches(stretches, enhancer.batch)) as batches:
            async for batch in batches:
                segments = iter(await enhancer.enhance([one for part in batch for one in part.segments]))
                for part in batch:
                    own = tuple(next(segments) for _ in part.segments)
                    yield replace(part, segments=tuple(map(filtered, own)) if config.profanity_filter else own)


def assembled(engine: Engine, settings: AsrSettings) -> Pipeline:
    """The pipeline of a deployment."""
    recogniser = Recogniser(
        engine,
        settings.default_model,
        settings.max_audio_seconds,
        settings.segments_in_flight,
        settings.fusion_models,
    )
    return Pipeline(recogniser, Options(settings.diarizer, settings.enhancer, settings.diarization_chunk_seconds))


def grow(transcript: Transcript, finished: Finished) -> None:
    """Takes a finished stretch into a transcript; its language is the commonest of all segments in the end."""
    transcript.segments.extend(finished.segments)
    transcript.speakers = list(finished.checkpoint.speakers)
    transcript.duration = finished.heard
    if not finished.segments or not transcript.language:  # else it is counted once, behind the last segment
        transcript.language = spoken(transcript.segments, transcript.language)


async def _batches(stretches: AsyncGenerator[Finished, None], size: int) -> AsyncGenerator[list[Finished]]:
    """What is ready, together: up to `size` at a time. What fails is raised behind what came before it."""
    ready: asyncio.Queue[Finished | None] = asyncio.Queue(size)

    async def gather() -> None:
        try:
            async for finished in stretches:
                await ready.put(finished)
        finally:
            await ready.put(None)

    gathering = asyncio.create_task(gather())
    try:
        while (first := await ready.get()) is not None:
            batch = [first]
            while len(batch) < size and not ready.empty():
                following = ready.get_nowait()
                if following is None:
                    ready.put_nowait(None)
                    break
                batch.append(following)
            yield batch
        await gathering
    finally:
        gathering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(gathering, return_exceptions=True)
