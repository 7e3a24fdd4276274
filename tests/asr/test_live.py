"""Live recognition: endpoints, interim and final results, rates, wrong use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import numpy as np
import pytest

from parley.asr.v1 import asr_pb2

QUESTIONS = ["how many customers are there", "which product has the highest price"]
Stub = Any  # the generated stubs are typed for the synchronous API
Request = asr_pb2.StreamingRecognizeRequest


def pcm(audio: bytes) -> bytes:
    """The samples of a WAV file as espeak writes it, 22050 Hz."""
    return audio[44:]


def live(**fields: object) -> asr_pb2.StreamingConfig:
    hints = asr_pb2.RecognitionHints(phrases=QUESTIONS)
    config = asr_pb2.RecognitionConfig(hints=hints)
    return asr_pb2.StreamingConfig(config=config, sample_rate_hertz=22050, **fields)  # type: ignore[arg-type]  # by name


async def events(
    asr: Stub, config: asr_pb2.StreamingConfig, audio: bytes, block: int = 4410, pause: float = 0
) -> list[asr_pb2.StreamingRecognizeResponse]:
    async def requests() -> AsyncIterator[Request]:
        yield Request(config=config)
        for start in range(0, len(audio), block):
            yield Request(audio=audio[start : start + block])
            await asyncio.sleep(pause)

    return [event async for event in asr.StreamingRecognize(requests())]


def finals(found: list[asr_pb2.StreamingRecognizeResponse]) -> list[str]:
    return [e.result.segment.text for e in found if e.WhichOneof("event") == "result" and e.result.is_final]


@pytest.fixture(scope="session")
def speech(say: Callable[..., bytes]) -> bytes:
    """Two questions with a second of silence after each, 22050 Hz."""
    silence = b"\0" * 44100
    return b"".join(pcm(say(question)) + silence for question in QUESTIONS)


async def test_segments_end_at_silence_with_activity_around(asr: Stub, speech: bytes) -> None:
    found = await events(asr, live(), speech)
    assert finals(found) == QUESTIONS
    assert [event.sequence for event in found] == list(range(1, len(found) + 1))
    kinds = [event.activity.type for event in found if event.WhichOneof("event") == "activity"]
    assert kinds == [asr_pb2.SPEECH_ACTIVITY_TYPE_BEGIN, asr_pb2.SPEECH_ACTIVITY_TYPE_END] * 2
    second = [e.result.segment for e in found if e.WhichOneof("event") == "result"][-1]
    assert 2 < second.start < second.words[0].start + 0.5 < second.end < len(speech) / 44100


async def test_interim_results_come_before_the_final_one(asr: Stub, speech: bytes) -> None:
    # As a microphone sends it, only twice as fast: all at once, the final result could overtake the interim ones.
    found = await events(asr, live(interim_results=True), speech, block=2205, pause=0.025)
    results = [event.result for event in found if event.WhichOneof("event") == "result"]
    assert finals(found) == QUESTIONS
    assert any(not result.is_final for result in results)
    assert results[-1].is_final


async def test_a_single_utterance_ends_after_the_first_segment(asr: Stub, speech: bytes) -> None:
    assert finals(await events(asr, live(single_utterance=True), speech)) == QUESTIONS[:1]


async def test_blocks_may_cut_samples_in_half(asr: Stub, speech: bytes) -> None:
    assert finals(await events(asr, live(), speech, block=3001)) == QUESTIONS


async def test_silence_has_no_events(asr: Stub) -> None:
    assert await events(asr, live(), np.zeros(22050 * 3, np.int16).tobytes()) == []


async def test_wrong_use_is_named(asr: Stub) -> None:
    async def audio_first() -> AsyncIterator[Request]:
        yield Request(audio=b"\0\0")

    async def config_twice() -> AsyncIterator[Request]:
        yield Request(config=live())
        yield Request(config=live())

    async def slow_rate() -> AsyncIterator[Request]:
        yield Request(config=asr_pb2.StreamingConfig(sample_rate_hertz=100))

    async def half_a_sample() -> AsyncIterator[Request]:
        yield Request(config=live())
        yield Request(audio=b"\0")

    cases = ((audio_first, "config"), (config_twice, "config"), (slow_rate, "rate"), (half_a_sample, "audio"))
    for requests, field in cases:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [event async for event in asr.StreamingRecognize(requests())]
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert field in (caught.value.details() or "")


async def test_channels_are_recognised_separately(asr: Stub, speech: bytes) -> None:
    left = np.frombuffer(speech, np.int16)
    right = np.concatenate([np.zeros(11025, np.int16), left])[: len(left)]
    config = live(channel_count=2)
    config.config.separate_channels = True
    found = await events(asr, config, np.stack([left, right], axis=1).tobytes())
    segments = [e.result.segment for e in found if e.HasField("result")]
    assert [[s.text for s in segments if s.channel == channel] for channel in (0, 1)] == [QUESTIONS] * 2
    assert sorted(segment.number for segment in segments) == [1, 2, 3, 4]
    mixed = await events(asr, live(channel_count=2), np.stack([left, left], axis=1).tobytes())
    assert finals(mixed) == QUESTIONS


async def test_silence_that_ends_a_segment_is_the_clients_choice(asr: Stub, speech: bytes) -> None:
    assert len(finals(await events(asr, live(endpoint_silence=3), speech))) == 1


async def test_a_segment_that_gets_too_long_is_cut(asr: Stub, speech: bytes) -> None:
    config = live(endpoint_silence=5)
    config.endpointing.max_segment = 2
    found = [e.result.segment for e in await events(asr, config, speech) if e.HasField("result")]
    assert len(found) > 1
    assert all(segment.end - segment.start <= 2.3 for segment in found)


async def test_a_model_that_cannot_follow_gives_the_same_segments(asr: Stub, speech: bytes) -> None:
    # With alternatives, segments are recognised as wholes: what a model does that cannot go on from where it was.
    config = live(interim_results=True)
    config.config.max_alternatives = 3
    found = await events(asr, config, speech, block=2205, pause=0.05)
    assert finals(found) == QUESTIONS
    assert any(not e.result.is_final for e in found if e.HasField("result"))


async def test_a_client_that_reads_slowly_gets_every_final(asr: Stub, speech: bytes) -> None:
    async def requests() -> AsyncIterator[Request]:
        yield Request(config=live(interim_results=True))
        for _ in range(4):
            yield Request(audio=speech)

    found = []
    async for event in asr.StreamingRecognize(requests()):
        found.append(event)
        await asyncio.sleep(0.05)
    assert finals(found) == QUESTIONS * 4
    assert [event.sequence for event in found] == list(range(1, len(found) + 1))


async def test_hints_that_the_model_refuses_are_named(asr: Stub, speech: bytes) -> None:
    config = live(interim_results=True)
    config.config.hints.Clear()
    config.config.hints.grammar = "nonsense"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events(asr, config, speech, block=2205, pause=0.01)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "hints.grammar" in (caught.value.details() or "")
