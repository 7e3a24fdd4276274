"""The unmodified OpenAI SDK, its HTTP handed to the façade as the gateway does."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2  # the SDK's own HTTP client
import openai
import pytest
from google.api import httpbody_pb2

from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.mesh import channels
from tests.asr.fakes import ToneEngine, recording, serve, spoken, talk

TALK = recording(talk((0, [1, 2]), (1, [3]), (0, [4])))


class Gateway(httpx2.AsyncBaseTransport):
    """Hands HTTP requests to the façade's RPCs: what Envoy's transcoder does with an HttpBody.

    Args:
        stub: The façade.
    """

    def __init__(self, stub: Any) -> None:
        self._rpcs = {
            "/v1/audio/transcriptions": (stub.CreateTranscription, openai_pb2.CreateTranscriptionRequest),
            "/v1/audio/translations": (stub.CreateTranslation, openai_pb2.CreateTranslationRequest),
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request."""
        rpc, message = self._rpcs[request.url.path]
        body = httpbody_pb2.HttpBody(content_type=request.headers["content-type"], data=await request.aread())
        call = rpc(message(body=body))
        first = await call.read()
        status = int(dict(await call.initial_metadata()).get("x-parley-http-status", 200))

        async def content() -> AsyncIterator[bytes]:
            yield first.body.data
            while status == 200 and (part := await call.read()) is not grpc.aio.EOF:
                yield part.body.data

        return httpx2.Response(status, headers={"content-type": first.body.content_type}, content=content())


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with serve(ToneEngine()) as address, channels.channel(address) as channel:
        transport = Gateway(openai_pb2_grpc.AudioServiceStub(channel))
        async with httpx2.AsyncClient(transport=transport) as http:
            yield openai.AsyncOpenAI(base_url="http://parley/v1", api_key="none", http_client=http, max_retries=0)


async def test_diarized_json_with_known_speakers(client: openai.AsyncOpenAI) -> None:
    reference = "data:audio/wav;base64," + base64.b64encode(recording(spoken(1, *range(6)))).decode()
    answer = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize",
        file=("talk.wav", TALK),
        response_format="diarized_json",
        chunking_strategy="auto",
        known_speaker_names=["Lan"],
        known_speaker_references=[reference],
    )
    assert isinstance(answer, openai.types.audio.TranscriptionDiarized)
    assert [(segment.speaker, segment.text) for segment in answer.segments] == [
        ("A", "w1 w2"),
        ("Lan", "w3"),
        ("A", "w4"),
    ]
    assert answer.usage is not None


async def test_a_stream_of_speakers(client: openai.AsyncOpenAI) -> None:
    stream = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize", file=("talk.wav", TALK), response_format="diarized_json", stream=True
    )
    events = [event async for event in stream]
    speakers = [event.speaker for event in events if event.type == "transcript.text.segment"]
    assert speakers == ["A", "B", "A"]
    last = events[-1]
    assert last.type == "transcript.text.done"
    assert last.text == "w1 w2 w3 w4"


async def test_what_the_sdk_can_set_is_honoured(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(
        model="whisper-1",
        file=("talk.wav", TALK),
        include=["logprobs"],
        languages=["en", "vi"],
        keywords=["w1 w2", "w3"],
        chunking_strategy={
            "type": "server_vad",
            "prefix_padding_ms": 100,
            "silence_duration_ms": 500,
            "threshold": 0.4,
        },
        temperature=0,
    )
    assert answer.text == "w1 w2 w3 w4"
    assert [one.token for one in answer.logprobs or []] == ["w1", "w2", "w3", "w4"]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.audio.transcriptions.create(
            model="whisper-1", file=("talk.wav", TALK), chunking_strategy={"type": "server_vad", "threshold": 7}
        )
    assert caught.value.param == "chunking_strategy[threshold]"


# The SDK announces that it will drop this endpoint; servers keep it.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_translations(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.translations.create(model="whisper", file=("talk.wav", TALK))
    assert answer.text == "w1 w2 w3 w4"
    verbose = await client.audio.translations.create(
        model="whisper", file=("talk.wav", TALK), response_format="verbose_json"
    )
    assert verbose.language == "en"
    with pytest.raises(openai.BadRequestError, match="these can: whisper") as caught:
        await client.audio.translations.create(model="whisper-1", file=("talk.wav", TALK))
    assert caught.value.param == "model"
