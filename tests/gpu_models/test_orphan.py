"""No process of a model outlives a Triton that was killed outright, whatever it was doing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from services.mesh.errors import Unavailable
from services.mesh.triton import Triton
from tests.conftest import ROOT
from tests.real_triton import RealTriton

MODELS = ["vad", "diarizer", "pocketsphinx", "pocketsphinx_live", "face_restorer"]
"""Those that work in Triton's stubs themselves."""


@pytest.mark.parametrize("path", sorted((ROOT / "triton_models").glob("*/1/model.py")), ids=lambda path: path.parts[-3])
def test_every_model_ends_with_its_triton(path: Path) -> None:
    source = path.read_text()
    assert "orphan.end_with_triton()" in source or "HostedModel(" in source


def children(parent: int) -> list[int]:
    """The processes that a process started."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def alive(processes: list[int]) -> list[int]:
    """Those of the processes that are still there."""
    return [pid for pid in processes if Path(f"/proc/{pid}").exists()]


async def test_stubs_end_with_a_triton_that_is_killed(tmp_path: Path) -> None:
    triton = RealTriton(MODELS, tmp_path)
    triton.start()
    stubs = children(triton.process.pid)
    assert len(stubs) >= len(MODELS)
    client = Triton(triton.target)
    # Some of them are busy: minutes of noise take a while.
    noise = np.random.default_rng(1).normal(0, 3000, 16_000 * 120).astype(np.int16)
    asked = [asyncio.create_task(client.infer(name, {"samples": noise})) for name in ("pocketsphinx", "diarizer")]
    await asyncio.sleep(1)
    triton.kill()
    deadline = time.monotonic() + 30
    while left := alive(stubs):
        assert time.monotonic() < deadline, f"processes that are left: {left}"
        await asyncio.sleep(0.05)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert any(isinstance(answer, Unavailable) for answer in answers), "none of them was busy"
    await client.close()
