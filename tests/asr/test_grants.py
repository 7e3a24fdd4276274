"""Models that a caller has no grant for, and the seconds of audio that are counted for who had them recognised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from parley.asr.v1 import asr_pb2, asr_pb2_grpc, transcriptions_pb2, transcriptions_pb2_grpc
from parley.openai.v1 import openai_pb2_grpc
from services.asr.application import Application
from services.asr.models import RATE
from services.asr.settings import AsrSettings
from services.mesh import channels, server
from services.mesh.context import GRANTS
from tests.asr.fakes import ToneEngine, recording, talk
from tests.mesh.ledger import CALLER, SUBJECT, Ledger, ledger

SAMPLES = talk((0, [0, 1]), (1, [2, 3]), (0, [4]))
AUDIO = recording(SAMPLES)
SECONDS = len(SAMPLES) / RATE


def granted(*models: str) -> tuple[tuple[str, str], ...]:
    return ((GRANTS, json.dumps({"databases": {}, "models": models})),)


class Asr:
    """A running service with its stubs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.speech: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)
        self.jobs: Any = transcriptions_pb2_grpc.TranscriptionServiceStub(channel)
        self.audio: Any = openai_pb2_grpc.AudioServiceStub(channel)

    async def recognize(self, metadata: Any, **config: Any) -> Any:
        request = asr_pb2.RecognizeRequest(audio=AUDIO, config=asr_pb2.RecognitionConfig(**config))
        return await self.speech.Recognize(request, metadata=metadata)


@asynccontextmanager
async def serve(tmp_path: Path, engine: ToneEngine, **settings: Any) -> AsyncIterator[Asr]:
    stored = {"database_url": f"sqlite:///{tmp_path}/asr.db", "recordings_url": str(tmp_path / "recordings")}
    chosen = AsrSettings(drain_seconds=1, **(stored | settings))
    application = Application(chosen, engine)
    await application.start()
    try:
        async with server.running(chosen, application.bound) as address, channels.channel(address) as channel:
            yield Asr(channel)
    finally:
        await application.close()


@pytest.fixture
async def asr(tmp_path: Path) -> AsyncIterator[Asr]:
    async with serve(tmp_path, ToneEngine()) as made:
        yield made


@pytest.fixture
async def book() -> AsyncIterator[Ledger]:
    async with ledger() as made:
        yield made


async def denied(call: Any) -> str:
    """What a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    return caught.value.details() or ""


async def test_only_models_with_a_grant_are_listed_and_used(asr: Asr) -> None:
    answer = await asr.speech.ListModels(asr_pb2.ListModelsRequest(), metadata=granted("whisper", "diarizer"))
    assert [model.id for model in answer.models] == ["whisper", "diarizer"]
    assert "models/pocketsphinx" in await denied(asr.recognize(granted("whisper")))
    assert "models/whisper" in await denied(asr.recognize(granted("pocketsphinx"), model="whisper"))
    told = asr_pb2.DiarizationConfig()
    assert "models/diarizer" in await denied(asr.recognize(granted("pocketsphinx"), diarization=told))
    assert "models/enhancer" in await denied(asr.recognize(granted("pocketsphinx"), enhance=True))
    heard = await asr.recognize(granted("pocketsphinx", "diarizer"), diarization=told)
    assert heard.transcript.text == "w0 w1 w2 w3 w4"


async def test_a_transcription_in_the_background_is_refused_when_it_is_asked_for(asr: Asr) -> None:
    request = transcriptions_pb2.CreateTranscriptionRequest(audio=AUDIO, config=asr_pb2.RecognitionConfig())
    assert "models/pocketsphinx" in await denied(asr.jobs.CreateTranscription(request, metadata=granted("whisper")))


async def test_live_streams_are_refused_too(asr: Asr) -> None:
    async def requests() -> AsyncIterator[asr_pb2.StreamingRecognizeRequest]:
        yield asr_pb2.StreamingRecognizeRequest(config=live())

    stream = asr.speech.StreamingRecognize(requests(), metadata=granted("whisper"))
    assert "models/pocketsphinx" in await denied(anext(aiter(stream)))


def live() -> asr_pb2.StreamingConfig:
    config = asr_pb2.RecognitionConfig(max_alternatives=1)
    return asr_pb2.StreamingConfig(config=config, sample_rate_hertz=RATE)


async def test_seconds_of_recordings_are_counted(tmp_path: Path, book: Ledger) -> None:
    async with serve(tmp_path, ToneEngine(), identity_target=book.target) as asr:
        await asr.recognize(CALLER)
    # The service has ended: all of it was sent.
    assert book.of("audio_seconds", "asr") == {"pocketsphinx": pytest.approx(SECONDS, abs=0.01)}


async def test_seconds_of_live_streams_are_counted_as_they_come(tmp_path: Path, book: Ledger) -> None:
    pcm = (SAMPLES * 32767).astype("<i2").tobytes()

    async def requests() -> AsyncIterator[asr_pb2.StreamingRecognizeRequest]:
        yield asr_pb2.StreamingRecognizeRequest(config=live())
        for start in range(0, len(pcm), 6400):
            yield asr_pb2.StreamingRecognizeRequest(audio=pcm[start : start + 6400])
        await asyncio.sleep(60)

    async with serve(tmp_path, ToneEngine(), identity_target=book.target) as asr:
        stream = asr.speech.StreamingRecognize(requests(), metadata=CALLER)
        assert await anext(aiter(stream))
        await book.until(lambda book: book.of("audio_seconds") == {"pocketsphinx": pytest.approx(SECONDS, abs=0.05)})
        stream.cancel()


async def test_a_transcription_in_the_background_is_counted_for_whom_it_is(tmp_path: Path, book: Ledger) -> None:
    """Also where the one that began it is gone: the next attempt counts what is left."""
    request = transcriptions_pb2.CreateTranscriptionRequest(audio=AUDIO, config=asr_pb2.RecognitionConfig())
    engine = ToneEngine()
    engine.broken_after = 1
    settings: dict[str, Any] = {"identity_target": book.target, "workers": 1, "backoff_seconds": 0.05}
    async with serve(tmp_path, engine, **settings) as asr:
        made = (await asr.jobs.CreateTranscription(request, metadata=CALLER)).transcription.name
        await book.until(lambda book: book.amounts)
        engine.broken_after = None
        watched = transcriptions_pb2.WatchTranscriptionRequest(name=made)
        async for event in asr.jobs.WatchTranscription(watched, metadata=CALLER):
            assert event.transcription.state != transcriptions_pb2.TRANSCRIPTION_STATE_FAILED
        await asr.jobs.DeleteTranscription(transcriptions_pb2.DeleteTranscriptionRequest(name=made), metadata=CALLER)
    key = (SUBJECT, "", "asr", "pocketsphinx", "audio_seconds")
    assert book.amounts[key] >= SECONDS - 0.01
    done = {(act.method.rpartition("/")[2], act.resource) for act in book.acts}
    assert done == {("CreateTranscription", made), ("DeleteTranscription", made)}
