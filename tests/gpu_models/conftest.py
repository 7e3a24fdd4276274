"""A real Triton with the models of the gpu profile, on tiny checkpoints that are written for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.mesh.triton import Triton
from tests.conftest import ROOT, missing
from tests.gpu_models import random_whisper
from tests.real_triton import RealTriton
from triton_models.repository import TORCH_ENVIRONMENT

PYTHON = TORCH_ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with two Whispers."""
    base = tmp_path_factory.mktemp("models")
    random_whisper.write(base / "whisper")
    random_whisper.write(base / "whisper_turbo", seed=8)
    return base


@pytest.fixture(scope="session")
def torch_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with PhoWhisper, pyannote and the enhancer, written by the environment that they run in."""
    if not (TORCH_ENVIRONMENT / ".installed").exists():
        missing("the environment of the models that need torch (make image-models)")
    base = tmp_path_factory.mktemp("torch-models")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([PYTHON, "-m", "tests.gpu_models.tiny_torch", base], check=True, cwd=ROOT, env=environment)
    return base


def served(names: list[str], directory: Path, state: Path) -> Iterator[RealTriton]:
    """A Triton with those models, for as long as it is needed."""
    parameters = {"model_directory": str(directory), "device": "cpu", "beam_size": "2", "threads": "1"}
    triton = RealTriton(names, state, parameters)
    triton.start()
    yield triton
    triton.stop()


@pytest.fixture(scope="session")
def whisper_triton(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton with both Whispers."""
    yield from served(["whisper", "whisper_turbo"], models, tmp_path_factory.mktemp("whisper-triton"))


@pytest.fixture(scope="session")
def torch_triton(torch_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton with the models that need torch."""
    yield from served(["phowhisper", "pyannote", "enhancer"], torch_models, tmp_path_factory.mktemp("torch-triton"))


@pytest.fixture
async def whisper(whisper_triton: RealTriton) -> AsyncIterator[Triton]:
    """A client for the Whispers."""
    client = Triton(whisper_triton.target)
    yield client
    await client.close()


@pytest.fixture
async def torch_client(torch_triton: RealTriton) -> AsyncIterator[Triton]:
    """A client for the models that need torch."""
    client = Triton(torch_triton.target)
    yield client
    await client.close()
