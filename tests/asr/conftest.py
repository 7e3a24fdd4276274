"""The real Triton with the embedded models, the real service in front of it, and spoken audio."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.espeak import synthesise
from deploy.local.triton import TritonMissingError
from parley.asr.v1 import asr_pb2_grpc
from parley.openai.v1 import openai_pb2_grpc
from services.mesh import channels
from tests.asr.stack import RealTriton, serve_asr
from triton_models.repository import profile


@pytest.fixture(scope="session")
def make_triton() -> Iterator[Callable[..., RealTriton]]:
    """Starts Tritons and stops them in the end."""
    started: list[RealTriton] = []

    with tempfile.TemporaryDirectory(prefix="parley-triton-") as folder:

        def make(models: list[str] | None = None, parameters: dict[str, str] | None = None) -> RealTriton:
            state = Path(folder) / str(len(started))
            state.mkdir()
            made = RealTriton(models or profile("embedded"), state, parameters)
            try:
                made.start()
            except TritonMissingError as error:
                if os.environ.get("PARLEY_TEST_REQUIRE"):
                    pytest.fail(str(error))
                pytest.skip(str(error))
            started.append(made)
            return made

        yield make
        for triton in started:
            triton.stop()


@pytest.fixture(scope="session")
def triton(make_triton: Callable[..., RealTriton]) -> RealTriton:
    """A Triton with the embedded models. Tests that kill one make their own."""
    return make_triton()


@pytest.fixture
async def asr_address(triton: RealTriton) -> AsyncIterator[str]:
    """The asr service on the shared Triton."""
    async with serve_asr(triton) as address:
        yield address


@pytest.fixture
async def asr(asr_address: str) -> AsyncIterator[asr_pb2_grpc.SpeechRecognitionStub]:
    """A stub for the service."""
    async with channels.channel(asr_address) as made:
        yield asr_pb2_grpc.SpeechRecognitionStub(made)


@pytest.fixture
async def audio_api(asr_address: str) -> AsyncIterator[openai_pb2_grpc.AudioServiceStub]:
    """A stub for the façade."""
    async with channels.channel(asr_address) as made:
        yield openai_pb2_grpc.AudioServiceStub(made)


@pytest.fixture(scope="session")
def say(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Speaks a text: the bytes of a WAV file. What was said once is kept."""
    spoken: dict[tuple[str, str], bytes] = {}

    def speak(text: str, voice: str = "en-us") -> bytes:
        if (text, voice) not in spoken:
            path = tmp_path_factory.mktemp("speech") / "said.wav"
            spoken[text, voice] = synthesise(text, path, voice=voice).read_bytes()
        return spoken[text, voice]

    return speak
