"""Every stage of the trainer on tiny networks, in the environment of the torch models: it learns, resumes, exports."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest

from tests.conftest import ROOT, missing
from triton_models.repository import TORCH_ENVIRONMENT


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What came of all stages."""
    if not (TORCH_ENVIRONMENT / ".installed").exists():
        missing("the environment of the models that need torch (make image-models)")
    folder = tmp_path_factory.mktemp("stages")
    python = TORCH_ENVIRONMENT / "bin" / "python"
    command = [str(python), "-m", "tests.diffusion_training.tiny_stages", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("stage", ["text", "vae", "unet", "decoder", "further", "lora", "controlnet"])
def test_a_stage_lowers_its_loss(found: Any, stage: str) -> None:
    assert found["losses"][stage]["last"] < found["losses"][stage]["first"]


def test_a_stage_that_was_interrupted_goes_on_as_if_it_had_not_been(found: Any) -> None:
    assert found["resumed"]["parts"] == pytest.approx(found["resumed"]["whole"], rel=1e-3)


def test_the_tokenizer_knows_the_captions_words_and_spells_others(found: Any) -> None:
    words = found["words"]
    assert words["cut"] == []
    assert len(words["capitals"]) == 2
    assert "giraffe" in words["unknown"]
    assert words["longest"] == 32


def test_what_is_exported_loads_with_no_code_of_ours_and_draws(found: Any) -> None:
    drawn = found["drawn"]
    assert drawn["shape"] == [2, 64, 64, 3]
    assert drawn["same"]  # a seed makes its picture again
    assert drawn["safety_checker"]
    assert drawn["halves"]


def test_the_lora_and_the_controlnet_load_beside_it(found: Any) -> None:
    assert found["drawn"]["lora_changes"]
    assert found["drawn"]["controlnet_shape"] == [64, 64, 3]


def test_a_deeper_autoencoder_does_at_first_what_the_shallow_one_did(found: Any) -> None:
    assert found["deepened"] == 0.0


def test_the_lora_and_the_controlnet_are_measured_by_what_pictures_show(found: Any) -> None:
    style, edges = found["extras"]
    assert re.fullmatch(r"LoRA, 4 captions: hollow .*%.*, all right .*%", style)
    assert re.fullmatch(r"ControlNet, 4 scenes, edges in common .*: with the caption [01]\.\d\d, .*", edges)


def test_the_shipped_checkpoint_draws_what_it_never_saw(found: Any) -> None:
    # Chance is about one in a thousand; the model card has the measured share of 500.
    assert found["shipped"]["all right"] >= 0.25
