"""What the diffusion model draws is what diffusers' own pipelines draw: our loop is theirs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.conftest import ROOT
from tests.diffusion.conftest import PYTHON

LEVEL = 1  # of 255: where a sum has another order


def test_every_way_to_draw_gives_the_picture_of_diffusers(models: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [str(PYTHON), "-m", "tests.diffusion.reference", str(models)]
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    apart = json.loads(done.stdout.splitlines()[-1])
    assert len(apart) > 25
    assert {way: levels for way, levels in apart.items() if levels > LEVEL} == {}
