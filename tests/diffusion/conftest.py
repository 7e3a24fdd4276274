"""A real Triton with the diffusion model, on tiny checkpoints that are written for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.mesh.triton import Triton
from tests.conftest import ROOT, missing
from tests.real_triton import RealTriton
from triton_models.repository import TORCH_ENVIRONMENT

PYTHON = TORCH_ENVIRONMENT / "bin" / "python"
PARAMETERS = {"device": "cpu", "threads": "1", "embedded": "false", "default_model": "small"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with tiny checkpoints, written by the environment that they run in."""
    if not (TORCH_ENVIRONMENT / ".installed").exists():
        missing("the environment of the models that need torch (make image-models)")
    base = tmp_path_factory.mktemp("diffusion-models")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([PYTHON, "-m", "tests.diffusion.tiny", base], check=True, cwd=ROOT, env=environment)
    return base


@pytest.fixture(scope="session")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton with the diffusion model."""
    triton = RealTriton(
        ["diffusion"], tmp_path_factory.mktemp("diffusion"), {**PARAMETERS, "model_directory": str(models)}
    )
    triton.start()
    yield triton
    triton.stop()


@pytest.fixture
async def client(server: RealTriton) -> AsyncIterator[Triton]:
    """A client for it."""
    made = Triton(server.target)
    yield made
    await made.close()
