"""Triton goes away and comes back while the service stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels
from tests.asr.stack import RealTriton, serve_asr

QUESTION = "how many customers are there"


async def test_triton_down_is_unavailable_and_recovers_without_a_restart(
    make_triton: Callable[..., RealTriton], say: Callable[..., bytes]
) -> None:
    triton = make_triton()
    hints = asr_pb2.RecognitionHints(phrases=[QUESTION])
    request = asr_pb2.RecognizeRequest(audio=say(QUESTION), config=asr_pb2.RecognitionConfig(hints=hints))
    async with serve_asr(triton) as address, channels.channel(address) as channel:
        asr: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)  # typed for the synchronous API
        assert (await asr.Recognize(request)).transcript.text == QUESTION

        long = asr.Recognize(asr_pb2.RecognizeRequest(audio=say("hello there " * 40)))
        await asyncio.sleep(0.8)
        triton.kill()
        for call in (long, asr.Recognize(request)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # typed for the synchronous API
            retry = error_details_pb2.RetryInfo()
            assert any(detail.Unpack(retry) for detail in status.details)
            assert retry.retry_delay.seconds >= 1
        models = (await asr.ListModels(asr_pb2.ListModelsRequest())).models
        assert not any(model.ready for model in models)

        triton.start()
        await asyncio.sleep(retry.retry_delay.seconds)
        assert (await asr.Recognize(request)).transcript.text == QUESTION
