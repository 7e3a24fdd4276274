"""Who speaks in a live stream: two voices that take turns, by the real diarizer."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import numpy as np
import pytest

from parley.asr.v1 import asr_pb2
from tests.asr.test_live import Request, pcm

ANN, BEN = "en-us+f3", "en-us"
TALK = [
    (ANN, "how many customers are there in the new database"),
    (BEN, "which product has the highest price of all products"),
    (ANN, "please show me the names of the customers in berlin"),
    (BEN, "the lowest price is what i would like to know today"),
]
Stub = Any  # the generated stubs are typed for the synchronous API
Answer = asr_pb2.StreamingRecognizeResponse
Say = Callable[..., bytes]


@pytest.fixture(scope="session")
def talk(say: Say) -> bytes:
    """The conversation, 22050 Hz, with half a second between the turns."""
    return b"".join(pcm(say(text, voice)) + bytes(22050) for voice, text in TALK * 2)


def conversation(interim: bool = False, **diarization: Any) -> asr_pb2.StreamingConfig:
    config = asr_pb2.RecognitionConfig(
        hints=asr_pb2.RecognitionHints(phrases=[text for _, text in TALK]),
        diarization=asr_pb2.DiarizationConfig(**diarization),
    )
    return asr_pb2.StreamingConfig(config=config, sample_rate_hertz=22050, interim_results=interim)


async def recognised(asr: Stub, config: asr_pb2.StreamingConfig, audio: bytes, pause: float = 0.01) -> list[Answer]:
    async def requests() -> AsyncIterator[Request]:
        yield Request(config=config)
        for start in range(0, len(audio), 4410):
            yield Request(audio=audio[start : start + 4410])
            await asyncio.sleep(pause)

    return [answer async for answer in asr.StreamingRecognize(requests())]


def finally_said(found: list[Answer]) -> list[tuple[str, str]]:
    """Speaker and text of each segment, revisions taken into account."""
    segments = {a.result.segment.number: a.result.segment for a in found if a.result.is_final}
    speakers = {number: segment.speaker for number, segment in segments.items()}
    for answer in found:
        for revised in answer.revision.segments:
            assert revised.number in speakers, "only what was sent is revised"
            speakers[revised.number] = revised.speaker
    return [(speakers[number], segment.text) for number, segment in sorted(segments.items())]


async def test_two_voices_become_two_speakers_whose_ids_stay(asr: Stub, talk: bytes) -> None:
    found = await recognised(asr, conversation(), talk)
    assert [speaker for speaker, _ in finally_said(found)] == ["S1", "S2"] * 4
    words = [word.speaker for answer in found if answer.result.is_final for word in answer.result.segment.words]
    assert set(words) <= {"S1", "S2"}


async def test_known_people_have_their_names(asr: Stub, talk: bytes, say: Say) -> None:
    references = [
        {"name": name, "audio": say("this is what i sound like when i speak about something else", voice)}
        for name, voice in (("Ben", BEN), ("Ann", ANN))
    ]
    said = finally_said(await recognised(asr, conversation(known_speakers=references), talk))
    assert [speaker for speaker, _ in said] == ["Ann", "Ben"] * 4


async def test_one_speaker_stays_one_where_it_is_said_so(asr: Stub, talk: bytes) -> None:
    found = await recognised(asr, conversation(speakers=1), talk)
    assert {speaker for speaker, _ in finally_said(found)} == {"S1"}


async def test_numbers_count_up_and_interim_results_have_those_of_their_finals(asr: Stub, talk: bytes) -> None:
    found = await recognised(asr, conversation(interim=True), talk, pause=0.05)
    results = [answer.result for answer in found if answer.HasField("result")]
    finals = [result.segment.number for result in results if result.is_final]
    assert finals == list(range(1, len(finals) + 1))
    open_number = 1
    for result in results:
        assert result.segment.number == open_number
        assert result.stability == 1 if result.is_final else 0 <= result.stability <= 1
        open_number += result.is_final
    assert any(not result.is_final for result in results)


async def test_a_turn_without_a_pause_is_cut_at_the_word(asr: Stub, say: Say) -> None:
    first, second = (np.frombuffer(pcm(say(text, voice)), np.int16) for voice, text in TALK[:2])
    audio = np.concatenate([np.trim_zeros(first, "b"), np.trim_zeros(second, "f")]).tobytes()
    # The voices are known from their references: nothing has to be revised.
    references = [
        {"name": name, "audio": say(TALK[i][1], voice)} for i, (name, voice) in enumerate([("Ann", ANN), ("Ben", BEN)])
    ]
    config = conversation(known_speakers=references)
    config.endpoint_silence = 2
    # As fast as it is spoken: who speaks is found out in the silence at the end.
    said = finally_said(await recognised(asr, config, audio + bytes(5 * 22050), pause=0.1))
    assert [speaker for speaker, _ in said] == ["Ann", "Ben"]
    assert said[0][1] == TALK[0][1]
    assert said[1][1].startswith("which product")


async def test_a_reference_without_a_voice_is_refused_before_any_audio(asr: Stub) -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as silent:
        silent.setnchannels(1)
        silent.setsampwidth(2)
        silent.setframerate(16000)
        silent.writeframes(bytes(96000))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await recognised(asr, conversation(known_speakers=[{"name": "Ann", "audio": file.getvalue()}]), b"")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "config.diarization.known_speakers[0].audio" in (caught.value.details() or "")


async def test_a_diarizer_that_is_not_there_is_said(asr: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await recognised(asr, conversation(model="pyannote"), b"")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "pyannote" in (caught.value.details() or "")
