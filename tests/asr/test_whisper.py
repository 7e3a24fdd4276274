"""The asr service on Whisper in the real Triton, on a tiny randomly initialised checkpoint in the real format."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels
from tests.asr.stack import RealTriton, serve_asr
from tests.gpu_models import random_whisper


@pytest.fixture(scope="module")
def whisper(make_triton: Callable[..., RealTriton], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton with voice activity detection and the tiny Whisper."""
    directory = tmp_path_factory.mktemp("models")
    random_whisper.write(directory / "whisper")
    triton = make_triton(["vad", "whisper"], {"model_directory": str(directory), "beam_size": "1", "device": "cpu"})
    yield triton
    triton.stop()


async def test_the_service_recognises_with_it(whisper: RealTriton, say: Callable[..., bytes]) -> None:
    async with serve_asr(whisper, default_model="whisper") as address, channels.channel(address) as channel:
        asr: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)  # typed for the synchronous API
        listed = (await asr.ListModels(asr_pb2.ListModelsRequest())).models
        ready = {model.id: model.ready for model in listed}
        assert listed[0].id == "whisper"
        assert (ready["whisper"], ready["pocketsphinx"]) == (True, False)
        request = asr_pb2.RecognizeRequest(audio=say("good morning everybody"))
        transcript = (await asr.Recognize(request)).transcript
        assert transcript.model == "whisper"
        assert transcript.duration > 1
        edges = [segment.start for segment in transcript.segments]
        assert all(one <= two for one, two in itertools.pairwise(edges))
