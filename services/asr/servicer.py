"""SpeechRecognition: pb ⇄ domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.asr.live import Activity, ActivityEvent, Event, LiveConfig, LiveRecognition
from services.asr.models import MODELS, RATE
from services.asr.recognise import Recogniser
from services.asr.transcript import Config, Hints, Segment, Transcript
from services.mesh.errors import InvalidArgument

LOWEST_RATE = 8000
SILENCE = 0.6
SHORTEST_SILENCE = 0.1


class SpeechServicer(asr_pb2_grpc.SpeechRecognitionServicer):
    """Serves parley.asr.v1.SpeechRecognition.

    Args:
        recogniser: Does the work.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser

    async def Recognize(self, request: asr_pb2.RecognizeRequest, context: Any) -> asr_pb2.RecognizeResponse:
        """Transcribes a recording."""
        transcript = await self._recogniser.transcribe(request.audio, config_of(request.config))
        return asr_pb2.RecognizeResponse(transcript=transcript_pb(transcript))

    async def StreamingRecognize(
        self, request_iterator: AsyncIterator[asr_pb2.StreamingRecognizeRequest], context: Any
    ) -> AsyncIterator[asr_pb2.StreamingRecognizeResponse]:
        """Transcribes while it is spoken."""
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("request") != "config":
            raise InvalidArgument("config", "the first message must carry the config; audio follows it")
        recognition = LiveRecognition(self._recogniser, live_of(first.config))
        sequence = 0
        async for event in recognition.events(_audio(request_iterator)):
            sequence += 1
            yield event_pb(sequence, event)

    async def ListModels(self, request: asr_pb2.ListModelsRequest, context: Any) -> asr_pb2.ListModelsResponse:
        """Lists the recognition models, the default first."""
        default = self._recogniser.default_model
        models = [
            asr_pb2.Model(
                id=model.id,
                display_name=model.display_name,
                description=model.description,
                language_codes=model.languages,
                ready=await self._recogniser.engine.ready(model.id),
            )
            for model in sorted(MODELS, key=lambda model: model.id != default)
        ]
        return asr_pb2.ListModelsResponse(models=models)


async def _audio(requests: AsyncIterator[asr_pb2.StreamingRecognizeRequest]) -> AsyncIterator[bytes]:
    """The audio of the messages after the first. Raises InvalidArgument for a second config."""
    async for request in requests:
        if request.WhichOneof("request") != "audio":
            raise InvalidArgument("config", "only the first message may carry it; send audio")
        yield request.audio


def config_of(config: asr_pb2.RecognitionConfig) -> Config:
    """How to recognise. Raises InvalidArgument for phrases together with a grammar."""
    if config.hints.phrases and config.hints.grammar:
        raise InvalidArgument("config.hints", "phrases and a grammar exclude each other; send one of them")
    hints = Hints(tuple(config.hints.phrases), config.hints.grammar)
    return Config(config.model, config.language_code, hints)


def live_of(config: asr_pb2.StreamingConfig) -> LiveConfig:
    """How to recognise live. Raises InvalidArgument for a rate that is too low."""
    rate = config.sample_rate_hertz or RATE
    if rate < LOWEST_RATE:
        raise InvalidArgument("config.sample_rate_hertz", f"must be from {LOWEST_RATE} to 48000, or 0 for {RATE}")
    silence = max(config.endpoint_silence, SHORTEST_SILENCE) if config.endpoint_silence else SILENCE
    return LiveConfig(config_of(config.config), rate, config.interim_results, silence, config.single_utterance)


def segment_pb(segment: Segment) -> asr_pb2.Segment:
    """A segment as its message."""
    words = [asr_pb2.Word(text=w.text, start=w.start, end=w.end, confidence=w.confidence) for w in segment.words]
    return asr_pb2.Segment(
        text=segment.text, start=segment.start, end=segment.end, confidence=segment.confidence, words=words
    )


def transcript_pb(transcript: Transcript) -> asr_pb2.Transcript:
    """A transcript as its message."""
    return asr_pb2.Transcript(
        text=transcript.text,
        segments=[segment_pb(segment) for segment in transcript.segments],
        language_code=transcript.language,
        duration=transcript.duration,
        model=transcript.model,
    )


def event_pb(sequence: int, event: Event) -> asr_pb2.StreamingRecognizeResponse:
    """A live event as its message."""
    if isinstance(event, ActivityEvent):
        kinds = {
            Activity.BEGIN: asr_pb2.SPEECH_ACTIVITY_TYPE_BEGIN,
            Activity.END: asr_pb2.SPEECH_ACTIVITY_TYPE_END,
        }
        activity = asr_pb2.SpeechActivity(type=kinds[event.activity], time=event.time)
        return asr_pb2.StreamingRecognizeResponse(sequence=sequence, activity=activity)
    result = asr_pb2.StreamingResult(segment=segment_pb(event.segment), is_final=event.final)
    return asr_pb2.StreamingRecognizeResponse(sequence=sequence, result=result)
