"""What is shipped: complete, small enough to lie in a repository, and safe to load."""

from __future__ import annotations

import json
import re

import pytest

from tests.conftest import ROOT

EMBEDDED = ROOT / "triton_models" / "diffusion" / "embedded"
MEGABYTE = 1_000_000


def test_the_checkpoint_is_a_complete_pipeline() -> None:
    folder = EMBEDDED / "checkpoints" / "shapes"
    index = json.loads((folder / "model_index.json").read_text())
    parts = {name for name, value in index.items() if isinstance(value, list) and value[0]}
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert parts == {"text_encoder", "tokenizer", "unet", "vae", "scheduler"}
    assert all((folder / part).is_dir() for part in parts)


@pytest.mark.parametrize(
    ("part", "limit"),
    [("checkpoints/shapes", 25), ("loras", 5), ("controlnets/edges", 5)],
    ids=["all", "lora", "control"],
)
def test_it_is_small(part: str, limit: int) -> None:
    size = sum(path.stat().st_size for path in (EMBEDDED / part).rglob("*") if path.is_file())
    assert 0 < size <= limit * MEGABYTE


def test_weights_are_safetensors_and_nothing_else_is_binary() -> None:
    kinds = {path.suffix for path in EMBEDDED.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".md", ".txt"}


def test_no_path_of_the_machine_that_trained_it_is_told() -> None:
    for path in (*EMBEDDED.rglob("*config.json"), *EMBEDDED.rglob("model_index.json")):
        assert not re.search(r"\"/|build/", path.read_text()), path


def test_the_model_card_says_how_it_was_made_and_what_it_scores() -> None:
    card = (EMBEDDED / "README.md").read_text()
    for word in ("make train-diffusion", "seed", "Hardware", "held-out", "cannot"):
        assert word in card
