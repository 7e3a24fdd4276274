"""Measures a checkpoint: draws held-out captions and lets the checker say what is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from triton_models.training.captions import Caption, write_caption
from triton_models.training.checker import ATTRIBUTES, judge, read
from triton_models.training.pictures import Picture
from triton_models.training.scenes import held_out_scene

# The captions that the score is of, and others to choose settings by.
SEEDS_OF_SCORE, SEEDS_OF_CHOICE = 31_000_000, 32_000_000
KINDS = ("single", "single", "single", "count", "pair", "pair", "pair", "pair")
BATCH = 50

# By kind of scene and attribute: how many were right, of how many that were said. "all": every attribute of a caption.
Scores = dict[str, dict[str, tuple[int, int]]]


@dataclass(frozen=True)
class Settings:
    """How the pictures are drawn; the score names them."""

    steps: int = 20
    guidance: float = 2.0
    seed: int = 7


def held_out_captions(number: int, first: int = SEEDS_OF_SCORE) -> list[tuple[str, Caption]]:
    """Kinds of scenes and captions of combinations that training never saw: half single or counted, half pairs."""
    found = []
    for seed in range(first, first + number):
        kind = KINDS[seed % len(KINDS)]
        # `full`: a caption without the colour would say nothing that was held out.
        found.append((kind, write_caption(held_out_scene(seed, kind), np.random.default_rng([seed, 5]), full=True)))
    return found


def load(directory: Path) -> Any:
    """A checkpoint directory as a float32 pipeline with DPM++ 2M Karras."""
    made = StableDiffusionPipeline.from_pretrained(directory, torch_dtype=torch.float32, safety_checker=None)
    made.scheduler = DPMSolverMultistepScheduler.from_config(made.scheduler.config, use_karras_sigmas=True)
    made.set_progress_bar_config(disable=True)
    made.unet.to(memory_format=torch.channels_last)
    return made


def draw(pipe: Any, prompts: Sequence[str], settings: Settings, lines: Any = None) -> Picture:
    """One picture for each prompt; the seed of prompt n is the settings' seed plus n.

    `lines`: (N, 3, H, W), 0 to 1, what a pipeline with a ControlNet is led by.
    """
    parts = []
    for first in range(0, len(prompts), BATCH):
        batch = list(prompts[first : first + BATCH])
        generators = [torch.Generator().manual_seed(settings.seed + first + index) for index in range(len(batch))]
        led = {} if lines is None else {"image": lines[first : first + BATCH]}
        drawn = pipe(
            batch,
            **led,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            generator=generators,
            output_type="np",
        ).images
        parts.append(np.round(np.asarray(drawn, dtype=np.float32) * 255).astype(np.uint8))
    return np.concatenate(parts)


def score(pipe: Any, captions: Sequence[tuple[str, Caption]], settings: Settings) -> Scores:
    """Draw the captions, read the pictures, count."""
    right: dict[str, Counter[str]] = {}
    asked: dict[str, Counter[str]] = {}
    drawn = draw(pipe, [caption.text for _, caption in captions], settings)
    for (kind, caption), picture in zip(captions, drawn, strict=True):
        found = judge(caption, read(picture))
        found["all"] = all(found.values())
        right.setdefault(kind, Counter()).update(name for name, value in found.items() if value)
        asked.setdefault(kind, Counter()).update(found.keys())
    return {kind: {name: (right[kind][name], asked[kind][name]) for name in asked[kind]} for kind in asked}


def table(scores: Scores) -> str:
    """The scores as a Markdown table: a row for each kind of scene, a column for each attribute."""
    names = ("all", *ATTRIBUTES)
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for kind, of in sorted(scores.items(), key=lambda item: item[0] == "pair"):
        cells = [f"{of[name][0] / of[name][1]:.1%} of {of[name][1]}" if name in of else "–" for name in names]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def share_right(scores: Scores) -> float:
    """The share of captions of which everything is right."""
    counts = [of["all"] for of in scores.values()]
    return sum(number for number, _ in counts) / sum(asked for _, asked in counts)
