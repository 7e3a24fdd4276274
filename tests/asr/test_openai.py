"""The façade: every format, server-sent events, and errors that name the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2

from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.asr.form import parse
from services.mesh import channels
from services.mesh.errors import InvalidArgument
from tests.asr.stack import RealTriton, serve_asr

Api = Any  # the generated stubs are typed for the synchronous API
QUESTION = "how many customers are there"
BOUNDARY = "parleyparley"


def form(audio: bytes | None, *fields: tuple[str, str]) -> httpbody_pb2.HttpBody:
    """A multipart body as the SDK sends it."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields]
    if audio is not None:
        head = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        parts.append(head + audio)
    mark = f"--{BOUNDARY}".encode()
    data = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return httpbody_pb2.HttpBody(content_type=f"multipart/form-data; boundary={BOUNDARY}", data=data)


async def post(api: Api, body: httpbody_pb2.HttpBody) -> tuple[str, bytes]:
    """Content type and body of a good answer."""
    parts = [part.body async for part in api.CreateTranscription(openai_pb2.CreateTranscriptionRequest(body=body))]
    return parts[0].content_type, b"".join(part.data for part in parts)


async def failed(api: Api, body: httpbody_pb2.HttpBody) -> tuple[str, dict[str, str]]:
    """HTTP status and error of an answer that must fail."""
    call = api.CreateTranscription(openai_pb2.CreateTranscriptionRequest(body=body))
    first = await call.read()
    metadata = dict(await call.initial_metadata())
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    return metadata["x-parley-http-status"], json.loads(first.body.data)["error"]


VAD = (("chunking_strategy[type]", "server_vad"),)


def known(url: str) -> list[tuple[str, str]]:
    """A known speaker, by a URL."""
    return [("known_speaker_names[]", "An"), ("known_speaker_references[]", url)]


FIELDS = (("model", "whisper-1"), ("prompt", f"{QUESTION}\nlist all products"))


@pytest.fixture
def audio(say: Callable[..., bytes]) -> bytes:
    """The question, spoken."""
    return say(QUESTION)


async def test_json_has_text_and_usage(audio_api: Api, audio: bytes) -> None:
    kind, data = await post(audio_api, form(audio, *FIELDS))
    assert kind == "application/json"
    usage = {"type": "duration", "seconds": 2}
    assert json.loads(data) == {"text": QUESTION, "languages": [{"code": "en-US"}], "usage": usage}


async def test_text_subrip_and_webvtt(audio_api: Api, audio: bytes) -> None:
    answers = {
        name: (await post(audio_api, form(audio, *FIELDS, ("response_format", name))))[1].decode()
        for name in ("text", "srt", "vtt")
    }
    assert answers["text"] == QUESTION + "\n"
    assert re.fullmatch(rf"1\n00:00:00,\d{{3}} --> 00:00:01,\d{{3}}\n{QUESTION}\n\n", answers["srt"])
    assert re.fullmatch(rf"WEBVTT\n\n00:00:00\.\d{{3}} --> 00:00:01\.\d{{3}}\n{QUESTION}\n\n", answers["vtt"])


async def test_verbose_json_has_what_was_asked_for(audio_api: Api, audio: bytes) -> None:
    verbose = (*FIELDS, ("response_format", "verbose_json"))
    plain = json.loads((await post(audio_api, form(audio, *verbose)))[1])
    assert (plain["text"], plain["language"], len(plain["segments"])) == (QUESTION, "en-US", 1)
    assert "words" not in plain
    wanted = ("timestamp_granularities[]", "word")
    words = json.loads((await post(audio_api, form(audio, *verbose, wanted)))[1])
    assert [word["word"] for word in words["words"]] == QUESTION.split()
    assert "segments" not in words
    both = (wanted, ("timestamp_granularities[]", "segment"))
    assert {"words", "segments"} <= json.loads((await post(audio_api, form(audio, *verbose, *both)))[1]).keys()


async def test_streaming_sends_deltas_and_the_whole(audio_api: Api, audio: bytes) -> None:
    kind, data = await post(audio_api, form(audio, *FIELDS, ("stream", "true")))
    assert kind == "text/event-stream"
    events = [json.loads(line.removeprefix("data: ")) for line in data.decode().split("\n\n") if line]
    assert [event["type"] for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert "".join(event.get("delta", "") for event in events) == events[-1]["text"] == QUESTION
    assert events[-1]["usage"]["type"] == "duration"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([], "model"),
        ([("model", "pocketsphinx"), ("temperature", "hot")], "temperature"),
        ([("model", "pocketsphinx"), ("stream", "perhaps")], "stream"),
        ([("model", "pocketsphinx"), ("timestamp_granularities[]", "word")], "timestamp_granularities[]"),
        ([("model", "pocketsphinx"), ("prompt", "word " * 200)], "prompt"),
        ([("model", "pocketsphinx"), ("stream", "true"), ("response_format", "srt")], "response_format"),
        ([("model", "pocketsphinx"), ("stream", "true"), ("response_format", "verbose_json")], "response_format"),
        ([("model", "pocketsphinx"), ("chunking_strategy", "never")], "chunking_strategy"),
        ([("model", "pocketsphinx"), ("chunking_strategy", '{"type": "client_vad"}')], "chunking_strategy[type]"),
        ([("model", "pocketsphinx"), ("chunking_strategy", "{")], "chunking_strategy"),
        ([("model", "pocketsphinx"), *VAD, ("chunking_strategy[threshold]", "2")], "chunking_strategy[threshold]"),
        ([("model", "pocketsphinx"), *VAD, ("chunking_strategy[speed]", "2")], "chunking_strategy[speed]"),
        ([("model", "pocketsphinx"), ("include[]", "thoughts")], "include[]"),
        ([("model", "pocketsphinx"), ("include[]", "logprobs"), ("response_format", "text")], "include[]"),
        ([("model", "pocketsphinx"), ("known_speaker_names[]", "An")], "known_speaker_references[]"),
        ([("model", "pocketsphinx"), *[("known_speaker_names[]", f"P{n}") for n in range(5)]], "known_speaker_names[]"),
        ([("model", "pocketsphinx"), *known("file:///etc/passwd")], "known_speaker_references[0]"),
        ([("model", "pocketsphinx"), *known("https://example.org/a.wav")], "known_speaker_references[0]"),
        ([("model", "pocketsphinx"), ("languages[]", "fr"), ("languages[]", "de")], "languages[]"),
        ([("model", "pocketsphinx"), ("languages[]", "en"), ("language", "en")], "languages[]"),
        ([("model", "pocketsphinx"), ("language", "fr")], "language"),
        ([("model", "pocketsphinx"), ("language", "vi-VN")], "language"),
    ],
)
async def test_wrong_fields_are_named(audio_api: Api, audio: bytes, fields: list[tuple[str, str]], param: str) -> None:
    status, error = await failed(audio_api, form(audio, *fields))
    assert (status, error["param"], error["type"]) == ("400", param, "invalid_request_error")


async def test_a_refused_language_comes_with_those_that_the_model_knows(audio_api: Api, audio: bytes) -> None:
    _status, error = await failed(audio_api, form(audio, ("model", "pocketsphinx"), ("language", "fr")))
    assert "en-US" in error["message"]


def test_the_default_model_knows_its_languages_too() -> None:
    body = form(b"x", ("model", "whisper-1"), ("language", "fr"))
    with pytest.raises(InvalidArgument, match=r"^language: "):
        parse(body.data, body.content_type, "pocketsphinx")
    assert parse(body.data, body.content_type, "whisper").config.language == "fr"


@pytest.mark.parametrize(
    "fields",
    [
        (("language", "en"),),
        (("language", "EN-us"),),
        (("chunking_strategy", "auto"),),
        (("stream", "true"), ("response_format", "text")),
    ],
)
async def test_what_changes_nothing_is_taken(audio_api: Api, audio: bytes, fields: tuple[tuple[str, str], ...]) -> None:
    assert QUESTION.encode() in (await post(audio_api, form(audio, *FIELDS, *fields)))[1]


async def test_missing_and_wrong_files_are_named(audio_api: Api) -> None:
    model = ("model", "pocketsphinx")
    assert (await failed(audio_api, form(None, model)))[1]["param"] == "file"
    for data in (b"", b"not audio"):
        for fields in ((model,), (model, ("stream", "true"))):
            _status, error = await failed(audio_api, form(data, *fields))
            assert (error["code"], error["param"]) == ("invalid_audio", "file")
            assert error["message"].startswith("file: ")


async def test_a_recording_that_is_too_long_names_the_file(triton: RealTriton, audio: bytes) -> None:
    async with serve_asr(triton, max_audio_seconds=1) as address, channels.channel(address) as channel:
        api: Any = openai_pb2_grpc.AudioServiceStub(channel)
        status, error = await failed(api, form(audio, *FIELDS))
    assert (status, error["param"]) == ("413", "file")


async def test_unknown_models_and_broken_forms(audio_api: Api, audio: bytes) -> None:
    status, error = await failed(audio_api, form(audio, ("model", "nobody")))
    assert (status, error["code"]) == ("404", "model_not_found")
    whole = form(audio, *FIELDS)
    cut = httpbody_pb2.HttpBody(content_type=whole.content_type, data=whole.data[:-30])
    for body in (cut, httpbody_pb2.HttpBody(content_type="application/json", data=b"{}")):
        assert (await failed(audio_api, body))[1]["param"] == "body"
