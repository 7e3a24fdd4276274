"""AudioService: OpenAI's transcription and translation endpoints over the same pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from google.api import httpbody_pb2

from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.asr.form import REFERENCES, Form, parse, parse_translation
from services.asr.formats import (
    FORMATS,
    as_json,
    as_verbose,
    diarized_segment,
    event,
    letters,
    log_probabilities,
    segment_id,
    usage,
)
from services.asr.pipeline import Finished, Pipeline, grow
from services.asr.transcript import Segment, Transcript
from services.mesh.errors import ParleyError, rename
from services.mesh.openai import with_envelope
from services.mesh.server import Bound

# What the form calls what the pipeline calls by the names of RecognitionConfig; longer ones first.
FIELDS = {
    "config.diarization.known_speakers": REFERENCES.removesuffix("[]"),
    "config.diarization": "response_format",
    "config.language_codes": "languages[]",
    "config.translate": "model",
    "hints": "prompt",
    "audio": "file",
}
VERBOSE = "verbose_json"


class AudioServicer(openai_pb2_grpc.AudioServiceServicer):
    """Serves parley.openai.v1.AudioService.

    Args:
        pipeline: Does the work.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def CreateTranscription(
        self, request: openai_pb2.CreateTranscriptionRequest, context: Any
    ) -> AsyncIterator[openai_pb2.CreateTranscriptionResponse]:
        """Transcribes an uploaded file; server-sent events when the form says stream=true."""
        wrapped = with_envelope(
            context, self._transcription(request.body), lambda body: openai_pb2.CreateTranscriptionResponse(body=body)
        )
        async for part in wrapped:
            yield part

    async def CreateTranslation(
        self, request: openai_pb2.CreateTranslationRequest, context: Any
    ) -> AsyncIterator[openai_pb2.CreateTranslationResponse]:
        """Translates an uploaded file into English, where the model can."""
        wrapped = with_envelope(
            context, self._translation(request.body), lambda body: openai_pb2.CreateTranslationResponse(body=body)
        )
        async for part in wrapped:
            yield part

    async def _transcription(self, body: httpbody_pb2.HttpBody) -> AsyncIterator[httpbody_pb2.HttpBody]:
        form = parse(body.data, body.content_type, self._pipeline.recogniser.default_model)
        async for part in self._answered(form, "transcribe"):
            yield part

    async def _translation(self, body: httpbody_pb2.HttpBody) -> AsyncIterator[httpbody_pb2.HttpBody]:
        form = parse_translation(body.data, body.content_type)
        async for part in self._answered(form, "translate"):
            yield part

    async def _answered(self, form: Form, task: str) -> AsyncIterator[httpbody_pb2.HttpBody]:
        try:
            if form.stream:
                async for data in self._events(form):
                    yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=data)
                return
            transcript = await self._pipeline.transcribe(form.audio, form.config, form.endpoints)
            content_type, data = _rendered(transcript, form, task)
            yield httpbody_pb2.HttpBody(content_type=content_type, data=data)
        except ParleyError as error:
            rename(error, FIELDS)
            raise

    async def _events(self, form: Form) -> AsyncIterator[bytes]:
        """A delta for each segment as it is understood, then the whole text."""
        transcript = Transcript(self._pipeline.recogniser.model(form.config).id)
        async with aclosing(self._pipeline.run(form.audio, form.config, endpoints=form.endpoints)) as stretches:
            async for finished in stretches:
                for data in _stretch(transcript, finished, form):
                    yield data
        probabilities = {"logprobs": log_probabilities(transcript.words)} if form.logprobs else {}
        yield event("transcript.text.done", text=transcript.text, usage=usage(transcript), **probabilities)


def _rendered(transcript: Transcript, form: Form, task: str) -> tuple[str, bytes]:
    if form.format == VERBOSE:
        return as_verbose(transcript, words=form.words, segments=form.segments, task=task)
    if form.logprobs:
        return as_json(transcript, logprobs=True)
    return FORMATS[form.format](transcript)


def _stretch(transcript: Transcript, finished: Finished, form: Form) -> list[bytes]:
    """The events of a finished stretch, which becomes part of the transcript."""
    before = bool(transcript.segments)
    grow(transcript, finished)
    return [
        data
        for place, segment in enumerate(finished.segments)
        for data in _segment(transcript, segment, " " if before or place else "", form)
    ]


def _segment(transcript: Transcript, segment: Segment, space: str, form: Form) -> list[bytes]:
    fields: dict[str, Any] = {"logprobs": log_probabilities(segment.words)} if form.logprobs else {}
    if form.format != "diarized_json":
        return [event("transcript.text.delta", delta=space + segment.text, **fields)]
    delta = event("transcript.text.delta", delta=space + segment.text, segment_id=segment_id(segment), **fields)
    whole = diarized_segment(segment, letters(transcript))
    return [delta, event(whole.pop("type"), **whole)]


def bound(pipeline: Pipeline) -> Bound:
    """What to serve."""
    return Bound(
        openai_pb2_grpc.add_AudioServiceServicer_to_server,
        AudioServicer(pipeline),
        openai_pb2.DESCRIPTOR.services_by_name["AudioService"],
    )
