"""Measures what goes with a checkpoint: whether the LoRA draws outlines, whether the ControlNet follows edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

from triton_models.training import controlnet, score
from triton_models.training.captions import Caption
from triton_models.training.checker import edges_in_common, hollow, judge, read
from triton_models.training.pictures import Picture, draw, edges, outline
from triton_models.training.scenes import SHAPES, held_out_scene


def _style(pictures: Picture, captions: Sequence[tuple[str, Caption]]) -> tuple[float, float]:
    """The shares of pictures with something hollow, and of those that, read as outlines, are as their caption says."""
    right = [
        all(judge(said, read(picture, outline)).values()) for (_, said), picture in zip(captions, pictures, strict=True)
    ]
    return float(np.mean([hollow(picture) for picture in pictures])), float(np.mean(right))


def of_lora(pipe: Any, weights: Path, number: int, settings: score.Settings) -> str:
    """What the LoRA in the file `weights` makes of held-out captions, as a line of text."""
    # A ring is hollow anyway.
    found = score.held_out_captions(2 * number, score.SEEDS_OF_CHOICE)
    captions = [one for one in found if all(SHAPES[thing.shape] != "ring" for thing in one[1].things)][:number]
    texts = [said.text for _, said in captions]
    plain, _ = _style(score.draw(pipe, texts, settings), captions)
    pipe.load_lora_weights(weights.parent, weight_name=weights.name)
    outlined, right = _style(score.draw(pipe, texts, settings), captions)
    pipe.unload_lora_weights()
    return f"LoRA, {number} captions: hollow {outlined:.1%} (without it {plain:.1%}), all right {right:.1%}"


def of_controlnet(pipe: Any, folder: Path, number: int, settings: score.Settings) -> str:
    """How well the ControlNet in `folder` follows the edges of held-out scenes, as a line of text."""
    captions = score.held_out_captions(number, score.SEEDS_OF_CHOICE)
    scenes = [held_out_scene(score.SEEDS_OF_CHOICE + index, kind) for index, (kind, _) in enumerate(captions)]
    asked = np.stack([edges(draw(scene)) for scene in scenes])
    led = StableDiffusionControlNetPipeline(
        **pipe.components, controlnet=ControlNetModel.from_pretrained(folder), requires_safety_checker=False
    )
    led.set_progress_bar_config(disable=True)
    texts, lines = [said.text for _, said in captions], controlnet.hint(asked)
    drawn = {
        "with the caption": score.draw(led, texts, settings, lines),
        "without a caption": score.draw(led, [""] * number, settings, lines),
        "the caption without the ControlNet": score.draw(pipe, texts, settings),
    }
    shares = {
        name: np.mean([edges_in_common(edges(p), a) for p, a in zip(of, asked, strict=True)])
        for name, of in drawn.items()
    }
    told = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    return f"ControlNet, {number} scenes, edges in common (0 to 1): {told}"
