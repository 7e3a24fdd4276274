"""Live recognition when something is wrong: too many streams, silent or hasty clients, damaged audio, Triton away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels
from tests.asr.stack import RealTriton, serve_asr
from tests.asr.test_live import Request, events, finals, live, pcm
from tests.asr.test_live_codecs import encoded, tone

QUESTION = "how many customers are there"
Stub = Any  # the generated stubs are typed for the synchronous API
Say = Callable[..., bytes]
Answer = asr_pb2.StreamingRecognizeResponse


@pytest.fixture(scope="session")
def question(say: Say) -> bytes:
    """A question with silence after it, 22050 Hz."""
    return pcm(say(QUESTION)) + bytes(44100)


def retry_seconds(error: grpc.aio.AioRpcError) -> int:
    """After how long another try is worth it. Fails where the error does not say."""
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # typed for the synchronous API
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    return int(retry.retry_delay.seconds)


async def until_error(stub: Stub, requests: AsyncIterator[Request]) -> tuple[list[Answer], grpc.aio.AioRpcError]:
    """What came before the error that a stream ends with, and the error."""
    found: list[Answer] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in stub.StreamingRecognize(requests):
            found.append(event)  # noqa: PERF401 -- what came before the error is wanted
    return found, caught.value


async def test_fifty_streams_run_and_more_are_refused_without_harm(triton: RealTriton, question: bytes) -> None:
    go = asyncio.Event()
    half = len(question) // 4 * 2

    async def held() -> AsyncIterator[Request]:
        yield Request(config=live())
        yield Request(audio=question[:half])
        await go.wait()
        yield Request(audio=question[half:])

    async def refused() -> AsyncIterator[Request]:
        # No more than is needed: gRPC reports INTERNAL for a message that it sends to a call that is refused meanwhile.
        yield Request(config=live())
        await go.wait()

    async with serve_asr(triton, live_streams=50) as address, channels.channel(address) as channel:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        calls = [stub.StreamingRecognize(held()).__aiter__() for _ in range(50)]
        # Speech began in each: all are running.
        begun = await asyncio.gather(*map(anext, calls))
        assert all(answer.HasField("activity") for answer in begun)
        for _ in range(10):
            _, error = await until_error(stub, refused())
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "50 live streams" in (error.details() or "")
            assert retry_seconds(error) >= 1
        go.set()

        async def rest(call: Any) -> list[str]:
            return finals([answer async for answer in call])

        assert await asyncio.gather(*map(rest, calls)) == [[QUESTION]] * 50
        # There is room again.
        assert finals(await events(stub, live(), question)) == [QUESTION]


async def test_a_client_that_stops_without_closing_gets_its_text_and_is_told(
    triton: RealTriton, question: bytes
) -> None:
    async def stopping() -> AsyncIterator[Request]:
        yield Request(config=live())
        yield Request(audio=question[:-44100])  # no silence that would end it
        await asyncio.sleep(60)

    async def never_begins() -> AsyncIterator[Request]:
        await asyncio.sleep(60)
        yield Request(config=live())

    async with (
        serve_asr(triton, live_idle_seconds=1, live_streams=1) as address,
        channels.channel(address) as channel,
    ):
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        found, error = await until_error(stub, stopping())
        assert finals(found) == [QUESTION]
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "Nothing came for 1 seconds" in (error.details() or "")
        _, error = await until_error(stub, never_begins())
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # What it held is free again.
        assert finals(await events(stub, live(), question)) == [QUESTION]


def refused(error: grpc.aio.AioRpcError) -> bool:
    """Whether a call found no place. gRPC's client says INTERNAL where it was about to send as the refusal came."""
    sending = error.code() is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core"
    return sending or error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_hanging_up_and_deadlines_free_the_place(triton: RealTriton, question: bytes) -> None:
    async def endless() -> AsyncIterator[Request]:
        yield Request(config=live(interim_results=True))
        while True:
            yield Request(audio=question)
            await asyncio.sleep(0.05)

    async with serve_asr(triton, live_streams=1) as address, channels.channel(address) as channel:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        call = stub.StreamingRecognize(endless())
        await call.read()
        call.cancel()
        late = stub.StreamingRecognize(endless(), timeout=1.5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [event async for event in late]
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED or refused(caught.value)
        for attempt in range(300):
            try:
                assert finals(await events(stub, live(), question)) == [QUESTION]
                break
            except grpc.aio.AioRpcError as error:
                # The server notices a moment later than the client.
                assert refused(error) and attempt < 299
                await asyncio.sleep(0.1)


async def test_what_was_said_before_a_fault_of_the_audio_is_told(asr: Stub, question: bytes) -> None:
    async def config_twice() -> AsyncIterator[Request]:
        yield Request(config=live())
        yield Request(audio=question)
        yield Request(config=live())

    found, error = await until_error(asr, config_twice())
    assert finals(found) == [QUESTION]
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "only the first message may carry it" in (error.details() or "")


@pytest.mark.parametrize(
    ("encoding", "codec", "form", "name"),
    [
        (asr_pb2.AUDIO_ENCODING_FLAC, "flac", "flac", "FLAC"),
        (asr_pb2.AUDIO_ENCODING_OGG_OPUS, "libopus", "ogg", "Ogg Opus"),
    ],
)
async def test_damaged_audio_is_refused_by_the_name_of_its_encoding(
    asr: Stub, encoding: Any, codec: str, form: str, name: str
) -> None:
    data = encoded(tone(48000, seconds=2), 48000, codec, form)

    async def damaged() -> AsyncIterator[Request]:
        yield Request(config=asr_pb2.StreamingConfig(encoding=encoding))
        yield Request(audio=data[: len(data) // 2] + b"garbage" * 30_000)

    _, error = await until_error(asr, damaged())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert name in (error.details() or "")
    info = error_details_pb2.ErrorInfo()
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # typed for the synchronous API
    assert any(detail.Unpack(info) and info.reason == "ERROR_REASON_INVALID_AUDIO" for detail in status.details)


async def test_a_minute_at_once_is_taken_in_order(asr: Stub, question: bytes) -> None:
    found = await events(asr, live(), question * 20, block=1 << 20)
    assert finals(found) == [QUESTION] * 20
    segments = [event.result.segment for event in found if event.HasField("result")]
    assert [segment.number for segment in segments] == list(range(1, 21))
    times = [time for segment in segments for word in segment.words for time in (word.start, word.end)]
    assert times == sorted(times)


@pytest.mark.parametrize("after", [0.2, 1.2])
async def test_a_stream_survives_a_restart_of_triton(
    make_triton: Callable[..., RealTriton], question: bytes, after: float
) -> None:
    triton = make_triton()

    async def requests() -> AsyncIterator[Request]:
        yield Request(config=live(interim_results=True))
        yield Request(audio=question)
        await asyncio.sleep(after)  # in the middle of the second question
        yield Request(audio=question[:40000])
        await asyncio.sleep(0.3)
        triton.kill()
        yield Request(audio=question[40000:])
        await asyncio.to_thread(triton.start)
        yield Request(audio=question)

    async with serve_asr(triton, live_patience_seconds=30) as address, channels.channel(address) as channel:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        assert finals([event async for event in stub.StreamingRecognize(requests())]) == [QUESTION] * 3


async def test_a_triton_that_stays_away_ends_the_stream(
    make_triton: Callable[..., RealTriton], question: bytes
) -> None:
    triton = make_triton()

    async def requests() -> AsyncIterator[Request]:
        yield Request(config=live())
        yield Request(audio=question)
        await asyncio.sleep(1)
        triton.kill()
        yield Request(audio=question)
        await asyncio.sleep(60)

    async with serve_asr(triton, live_patience_seconds=0.5) as address, channels.channel(address) as channel:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        found, error = await until_error(stub, requests())
        assert finals(found) == [QUESTION]
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert retry_seconds(error) >= 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"endpointing": {"begin_threshold": 0.3, "end_threshold": 0.5}}, "config.endpointing.end_threshold"),
        ({"endpointing": {"end_threshold": 0.9}}, "config.endpointing.end_threshold"),
        ({"endpointing": {"begin_threshold": 1.5}}, "config.endpointing.begin_threshold"),
        ({"endpointing": {"max_segment": 31}}, "config.endpointing.max_segment"),
        ({"endpoint_silence": 11}, "config.endpoint_silence"),
        ({"channel_count": 9}, "config.channel_count"),
        ({"sample_rate_hertz": 192001}, "config.sample_rate_hertz"),
        ({"sample_rate_hertz": 7999}, "config.sample_rate_hertz"),
        ({"config": {"enhance": True}}, "config.enhance"),
        ({"config": {"separate_channels": True, "diarization": {}}}, "config.separate_channels"),
        ({"config": {"diarization": {"min_speakers": 3, "max_speakers": 2}}}, "config.diarization.min_speakers"),
    ],
)
async def test_settings_that_make_no_sense_are_named(asr: Stub, fields: dict[str, Any], named: str) -> None:
    async def requests() -> AsyncIterator[Request]:
        yield Request(config=asr_pb2.StreamingConfig(**fields))
        await asyncio.sleep(60)

    _, error = await until_error(asr, requests())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in (error.details() or "")
