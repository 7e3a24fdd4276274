"""SpeechRecognition: pb ⇄ domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.asr.converters import config_of, event_pb, live_of, model_pb, transcript_pb
from services.asr.live import Live, timely
from services.asr.models import MODELS
from services.asr.pipeline import Pipeline
from services.mesh import authority
from services.mesh.errors import InvalidArgument
from services.mesh.server import Bound


class SpeechServicer(asr_pb2_grpc.SpeechRecognitionServicer):
    """Serves parley.asr.v1.SpeechRecognition.

    Args:
        pipeline: Transcribes recordings.
        live: Recognises live streams.
    """

    def __init__(self, pipeline: Pipeline, live: Live) -> None:
        self._pipeline, self._live = pipeline, live
        self._recogniser = pipeline.recogniser

    async def Recognize(self, request: asr_pb2.RecognizeRequest, context: Any) -> asr_pb2.RecognizeResponse:
        """Transcribes a recording."""
        transcript = await self._pipeline.transcribe(request.audio, config_of(request.config))
        return asr_pb2.RecognizeResponse(transcript=transcript_pb(transcript))

    async def StreamingRecognize(
        self, request_iterator: AsyncIterator[asr_pb2.StreamingRecognizeRequest], context: Any
    ) -> AsyncIterator[asr_pb2.StreamingRecognizeResponse]:
        """Transcribes while it is spoken."""
        requests = timely(request_iterator, self._live.options.idle_seconds)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("request") != "config":
            raise InvalidArgument("config", "the first message must carry the config; audio follows it")
        sequence = 0
        # Closed here, not by the garbage collector: a client that hangs up stops the models.
        async with aclosing(self._live.events(live_of(first.config), _audio(requests))) as events:
            async for event in events:
                sequence += 1
                yield event_pb(sequence, event)

    async def ListModels(self, request: asr_pb2.ListModelsRequest, context: Any) -> asr_pb2.ListModelsResponse:
        """Lists the speech models that the caller may use, the default first."""
        default = self._recogniser.default_model
        allowed = authority.current()
        listed = [model for model in MODELS if allowed.may_use_model(model.id)]
        listed.sort(key=lambda model: model.id != default)
        ready = await asyncio.gather(*(self._recogniser.ready(model.id) for model in listed))
        return asr_pb2.ListModelsResponse(models=map(model_pb, listed, ready))


async def _audio(requests: AsyncIterator[asr_pb2.StreamingRecognizeRequest]) -> AsyncIterator[bytes]:
    """The audio of the messages after the first. Raises InvalidArgument for a second config."""
    async for request in requests:
        if request.WhichOneof("request") != "audio":
            raise InvalidArgument("config", "only the first message may carry it; send audio")
        yield request.audio


def bound(pipeline: Pipeline, live: Live) -> Bound:
    """What to serve."""
    return Bound(
        asr_pb2_grpc.add_SpeechRecognitionServicer_to_server,
        SpeechServicer(pipeline, live),
        asr_pb2.DESCRIPTOR.services_by_name["SpeechRecognition"],
    )
