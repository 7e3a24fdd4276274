"""The image service before an engine at the far edge that needs no weights, and a real Triton with tiny checkpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.mesh import tenancy
from tests.diffusion.conftest import PARAMETERS
from tests.diffusion.conftest import models as models
from tests.image.easel import Easel, serve
from tests.image.facade import Brush
from tests.real_triton import RealTriton


@pytest.fixture(scope="session")
def triton(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton with what draws and what enlarges. Tests that kill one make their own."""
    state = tmp_path_factory.mktemp("triton")
    made = RealTriton(["diffusion", "upscaler"], state, {**PARAMETERS, "model_directory": str(models)})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def brush() -> Brush:
    """What paints; tests may make it slow, or break it."""
    return Brush()


@pytest.fixture
async def easel(brush: Brush, tmp_path: Path) -> AsyncIterator[Easel]:
    """The service, with SQLite and a folder."""
    async with serve(brush, tmp_path) as made:
        yield made


@pytest.fixture
def nobodys() -> Iterator[None]:
    """What the test asks of the studio itself, it asks as a call does that nobody is named for."""
    with tenancy.acting_for("", ""):
        yield
