"""AudioService: OpenAI's transcription endpoint over the same recogniser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.api import httpbody_pb2

from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.asr.errors import AudioTooLong, InvalidAudio
from services.asr.form import Form, parse
from services.asr.formats import FORMATS, event, usage
from services.asr.recognise import Recogniser
from services.asr.transcript import Transcript
from services.mesh.openai import with_envelope

FILE = "file"
"""The field of the form that holds the recording."""


class AudioServicer(openai_pb2_grpc.AudioServiceServicer):
    """Serves parley.openai.v1.AudioService.

    Args:
        recogniser: Does the work.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser

    async def CreateTranscription(
        self, request: openai_pb2.CreateTranscriptionRequest, context: Any
    ) -> AsyncIterator[openai_pb2.CreateTranscriptionResponse]:
        """Transcribes an uploaded file; server-sent events when the form says stream=true."""
        wrapped = with_envelope(
            context, self._parts(request.body), lambda body: openai_pb2.CreateTranscriptionResponse(body=body)
        )
        async for part in wrapped:
            yield part

    async def _parts(self, body: httpbody_pb2.HttpBody) -> AsyncIterator[httpbody_pb2.HttpBody]:
        form = parse(body.data, body.content_type, self._recogniser.default_model)
        try:
            if form.stream:
                async for part in self._events(form):
                    yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=part)
            else:
                transcript = await self._recogniser.transcribe(form.audio, form.config)
                content_type, data = FORMATS[form.format](transcript, form.words, form.segments)
                yield httpbody_pb2.HttpBody(content_type=content_type, data=data)
        # The form calls it `file`.
        except InvalidAudio as error:
            raise InvalidAudio(error.description, FILE) from error
        except AudioTooLong as error:
            raise AudioTooLong(error.seconds, FILE) from error

    async def _events(self, form: Form) -> AsyncIterator[bytes]:
        """A delta for each segment as it is understood, then the whole text."""
        transcript = Transcript(self._recogniser.model(form.config).id)
        async for segment in self._recogniser.segments(form.audio, form.config, transcript):
            before = " " if transcript.segments else ""
            transcript.segments.append(segment)
            yield event("transcript.text.delta", delta=before + segment.text)
        yield event("transcript.text.done", text=transcript.text, usage=usage(transcript))
