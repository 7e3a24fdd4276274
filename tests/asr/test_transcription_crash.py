"""The real service in its own process, on the real Triton: killed in the middle of a transcription."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from deploy.local import ports
from parley.asr.v1 import asr_pb2, asr_pb2_grpc, transcriptions_pb2_grpc
from services.mesh import channels
from tests.asr.stack import RealTriton
from tests.asr.test_transcriptions import SUCCEEDED, create, until, watch
from tests.conftest import ROOT

SENTENCES = ("show me all the orders", "how many customers are there", "who bought the most", "what is the total")


@asynccontextmanager
async def process(triton: RealTriton, storage: Path, port: int) -> AsyncIterator[tuple[subprocess.Popen[bytes], Any]]:
    """The service as a process; yields it and a channel to it."""
    environment = {
        **os.environ,
        "PARLEY_ASR_LISTEN": f"127.0.0.1:{port}",
        "PARLEY_ASR_TRITON_TARGET": triton.target,
        "PARLEY_ASR_DATABASE_URL": f"sqlite:///{storage}/asr.db",
        "PARLEY_ASR_RECORDINGS_URL": str(storage / "recordings"),
        "PARLEY_ASR_LEASE_SECONDS": "2",
        "PARLEY_ASR_BACKOFF_SECONDS": "0.5",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
    }
    with (storage / "log").open("ab") as log:
        command = [sys.executable, "-m", "services.asr"]
        running = subprocess.Popen(command, env=environment, stderr=log, stdout=log)  # noqa: ASYNC220 — quick enough
    try:
        async with channels.channel(f"127.0.0.1:{port}") as channel:
            stub: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)
            await stub.ListModels(asr_pb2.ListModelsRequest(), wait_for_ready=True, timeout=60)
            yield running, channel
    finally:
        running.kill()
        running.wait()


def joined(*recordings: bytes) -> bytes:
    """WAV files one after the other, with two seconds of silence between them."""
    parts, rate = [], 0
    for data in recordings:
        with wave.open(io.BytesIO(data)) as file:
            rate = file.getframerate()
            parts += [np.frombuffer(file.readframes(file.getnframes()), "<i2"), np.zeros(2 * rate, "<i2")]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.concatenate(parts).tobytes())
    return out.getvalue()


async def test_a_worker_is_killed_and_another_goes_on_behind_the_last_finished_segment(
    triton: RealTriton, say: Callable[..., bytes], tmp_path: Path
) -> None:
    audio = joined(*(say(sentence) for sentence in SENTENCES * 2))
    config = asr_pb2.RecognitionConfig()
    async with process(triton, tmp_path, ports.free(1)[0]) as (running, channel):
        asr: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)
        whole = (await asr.Recognize(asr_pb2.RecognizeRequest(audio=audio, config=config))).transcript
        assert len(whole.segments) >= 6
        jobs: Any = transcriptions_pb2_grpc.TranscriptionServiceStub(channel)
        name = await create(jobs, audio, config=config)
        done = await until(jobs, name, lambda found: found.segment_count >= 2)
        running.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            await watch(jobs, name)
    assert done.segment_count < len(whole.segments)
    async with process(triton, tmp_path, ports.free(1)[0]) as (_, channel):
        jobs = transcriptions_pb2_grpc.TranscriptionServiceStub(channel)
        states, segments = await asyncio.wait_for(watch(jobs, name), 120)
    assert states[-1].state == SUCCEEDED
    assert states[-1].attempts == 2
    assert [segment.number for segment in segments] == list(range(1, len(whole.segments) + 1))
    assert [(s.text, s.start, s.end) for s in segments] == [(s.text, s.start, s.end) for s in whole.segments]


async def test_triton_is_killed_and_the_transcription_resumes(
    make_triton: Callable[..., RealTriton], say: Callable[..., bytes], tmp_path: Path
) -> None:
    triton = make_triton()
    audio = joined(*(say(sentence) for sentence in SENTENCES))
    async with process(triton, tmp_path, ports.free(1)[0]) as (_, channel):
        jobs: Any = transcriptions_pb2_grpc.TranscriptionServiceStub(channel)
        name = await create(jobs, audio)
        await until(jobs, name, lambda found: found.segment_count >= 1)
        triton.kill()
        await until(jobs, name, lambda found: found.attempts >= 2)
        await asyncio.to_thread(triton.start)
        states, segments = await asyncio.wait_for(watch(jobs, name), 180)
        assert states[-1].state == SUCCEEDED
        assert [segment.number for segment in segments] == list(range(1, len(segments) + 1))
        assert {segment.speaker for segment in segments} == {"S1"}
