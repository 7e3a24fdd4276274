"""What the diffusion model draws is what diffusers' own pipelines draw: our loop is theirs, and can be left."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.diffusion.conftest import PYTHON

LEVEL = 1  # of 255: where a sum has another order


@pytest.fixture(scope="module")
def found(models: Path) -> Any:
    """What reference.py says."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [str(PYTHON), "-m", "tests.diffusion.reference", str(models)]
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_every_way_to_draw_gives_the_picture_of_diffusers(found: Any) -> None:
    assert len(found["apart"]) > 25
    assert {way: levels for way, levels in found["apart"].items() if levels > LEVEL} == {}


def test_no_step_is_begun_for_who_gave_up(found: Any) -> None:
    assert found["steps"] == 2
