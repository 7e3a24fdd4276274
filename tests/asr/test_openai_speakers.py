"""The façade's answers that need more than one model: speakers, translation, settings of the detector."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.types.audio import TranscriptionDiarized, TranscriptionTextDeltaEvent, TranscriptionTextSegmentEvent

from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.mesh import channels
from tests.asr.fakes import ToneEngine, quiet, recording, serve, spoken, talk
from tests.asr.test_openai import failed, form, post

Api = Any  # the generated stubs are typed for the synchronous API
TALK = recording(talk((0, [1, 2]), (1, [3]), (0, [4])))
DIARIZED = (("model", "whisper-1"), ("response_format", "diarized_json"))


def data_url(audio: bytes) -> str:
    return "data:audio/wav;base64," + base64.b64encode(audio).decode()


@pytest.fixture
def engine() -> ToneEngine:
    return ToneEngine()


@pytest.fixture
async def api(engine: ToneEngine) -> AsyncIterator[Api]:
    async with serve(engine) as address, channels.channel(address) as channel:
        yield openai_pb2_grpc.AudioServiceStub(channel)


async def events(api: Api, *fields: tuple[str, str], audio: bytes = TALK) -> list[dict[str, Any]]:
    kind, data = await post(api, form(audio, *fields, ("stream", "true")))
    assert kind == "text/event-stream"
    return [json.loads(part.removeprefix("data: ")) for part in data.decode().strip().split("\n\n")]


async def test_diarized_json_says_who_spoke(api: Api) -> None:
    kind, data = await post(api, form(TALK, *DIARIZED))
    assert kind == "application/json"
    parsed = TranscriptionDiarized.model_validate_json(data)
    assert [(segment.speaker, segment.text) for segment in parsed.segments] == [
        ("A", "w1 w2"),
        ("B", "w3"),
        ("A", "w4"),
    ]
    assert parsed.text == "w1 w2 w3 w4"


async def test_known_speakers_have_their_names(api: Api) -> None:
    known = [
        field
        for name, voice in (("Bình", 1), ("Chi", 5))
        for field in (
            ("known_speaker_names[]", name),
            ("known_speaker_references[]", data_url(recording(spoken(voice, *range(6))))),
        )
    ]
    _kind, data = await post(api, form(TALK, *DIARIZED, *known))
    assert [segment["speaker"] for segment in json.loads(data)["segments"]] == ["A", "Bình", "A"]
    known[1] = ("known_speaker_references[]", data_url(recording(quiet(3))))
    _status, error = await failed(api, form(TALK, *DIARIZED, *known))
    assert error["param"] == "known_speaker_references[0].audio"
    assert error["message"].startswith("known_speaker_references[0].audio: no voice")


async def test_a_stream_tells_each_segment_with_its_speaker(api: Api) -> None:
    found = await events(api, *DIARIZED)
    deltas = [TranscriptionTextDeltaEvent.model_validate(e) for e in found if e["type"] == "transcript.text.delta"]
    segments = [
        TranscriptionTextSegmentEvent.model_validate(e) for e in found if e["type"] == "transcript.text.segment"
    ]
    assert [event.segment_id for event in deltas] == [segment.id for segment in segments]
    assert [segment.speaker for segment in segments] == ["A", "B", "A"]
    assert found[-1]["type"] == "transcript.text.done"
    assert found[-1]["text"] == "".join(event.delta for event in deltas) == "w1 w2 w3 w4"
    assert found[-1]["usage"]["type"] == "duration"


async def test_log_probabilities_come_with_json_and_events(api: Api) -> None:
    wanted = (("model", "whisper-1"), ("include[]", "logprobs"))
    plain = json.loads((await post(api, form(TALK, *wanted)))[1])
    assert [one["token"] for one in plain["logprobs"]] == ["w1", "w2", "w3", "w4"]
    assert all(one["logprob"] == pytest.approx(-0.105361) for one in plain["logprobs"])
    found = await events(api, *wanted)
    assert [one["token"] for event in found[:-1] for one in event["logprobs"]] == ["w1", "w2", "w3", "w4"]
    assert found[-1]["logprobs"] == plain["logprobs"]


@pytest.mark.parametrize("brackets", [True, False])
async def test_silence_that_ends_a_segment_can_be_set(api: Api, brackets: bool) -> None:
    audio = recording(talk((0, [1]), (0, [2]), pause=0.7))
    if brackets:
        vad = [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[silence_duration_ms]", "300")]
    else:
        vad = [("chunking_strategy", '{"type": "server_vad", "silence_duration_ms": 300}')]
    wanted = (("model", "whisper-1"), ("response_format", "verbose_json"))
    whole = json.loads((await post(api, form(audio, *wanted)))[1])
    parts = json.loads((await post(api, form(audio, *wanted, *vad)))[1])
    assert (len(whole["segments"]), len(parts["segments"])) == (1, 2)


async def test_a_threshold_nothing_reaches_hears_nothing(api: Api) -> None:
    vad = [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.95")]
    assert json.loads((await post(api, form(TALK, ("model", "whisper-1"), *vad)))[1])["text"] == ""


async def test_diarization_that_is_not_loaded_is_told(engine: ToneEngine, api: Api) -> None:
    engine.missing = {"diarizer"}
    status, error = await failed(api, form(TALK, *DIARIZED))
    assert (status, error["param"], error["code"]) == ("400", "response_format", "failed_precondition")
    assert "'diarizer' is not loaded" in error["message"]


async def translated(api: Api, *fields: tuple[str, str]) -> list[openai_pb2.CreateTranslationResponse]:
    request = openai_pb2.CreateTranslationRequest(body=form(TALK, *fields))
    return [part async for part in api.CreateTranslation(request)]


async def test_a_model_that_can_translates(api: Api) -> None:
    (part,) = await translated(api, ("model", "whisper"), ("response_format", "verbose_json"))
    body = json.loads(part.body.data)
    assert (body["task"], body["language"], body["text"]) == ("translate", "en", "w1 w2 w3 w4")
    (part,) = await translated(api, ("model", "whisper"), ("response_format", "text"))
    assert part.body.data == b"w1 w2 w3 w4\n"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ((("model", "whisper-1"),), "model", "pocketsphinx cannot translate; these can: whisper"),
        ((("model", "whisper"), ("response_format", "diarized_json")), "response_format", "srt"),
        ((("model", "whisper"), ("temperature", "7")), "temperature", "from 0 to 1"),
        ((), "model", "is required"),
    ],
)
async def test_wrong_translations_are_named(
    api: Api, fields: tuple[tuple[str, str], ...], param: str, words: str
) -> None:
    call = api.CreateTranslation(openai_pb2.CreateTranslationRequest(body=form(TALK, *fields)))
    first = await call.read()
    error = json.loads(first.body.data)["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert dict(await call.initial_metadata())["x-parley-http-status"] == "400"
