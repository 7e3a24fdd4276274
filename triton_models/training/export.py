"""Writes the checkpoint as a directory that StableDiffusionPipeline.from_pretrained loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from triton_models.training import autoencoder, denoiser, text

# What suits this checkpoint, for whoever draws with it and says nothing else; score.py measures with the same.
PREFERENCES = {
    "title": "Shapes",
    "description": (
        "Trained here, small: draws coloured shapes (circle, square, triangle, star, heart, diamond, ring, cross), "
        "one, several or two beside each other, from English and Vietnamese. It draws nothing else."
    ),
    "steps": 20,
    "guidance_scale": 2.0,
    "sampler": "DPM++ 2M Karras",
}


def pipeline(folder: Path, unet: str = "unet") -> Any:
    """The pipeline of what the stages wrote, in float32; `unet` names the U-Net's folder."""
    tokenizer, encoder = text.load(folder)
    # DPM++ 2M Karras: few steps are enough; every other scheduler can be made from its configuration.
    scheduler = DPMSolverMultistepScheduler(**denoiser_noise(), use_karras_sigmas=True)
    made = StableDiffusionPipeline(
        vae=autoencoder.load(folder),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=denoiser.load(folder, unet),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def denoiser_noise() -> dict[str, Any]:
    """The noise schedule, without what only the scheduler of the training knows."""
    return {name: value for name, value in denoiser.NOISE.items() if name != "clip_sample"} | {"steps_offset": 1}


def export(folder: Path, target: Path, unet: str = "unet") -> Path:
    """Write the checkpoint in float16 to `target`."""
    made = pipeline(folder, unet)
    made.to(torch.float16)
    for network in (made.unet, made.vae):
        # Else the folder of this training is told to everyone.
        network.register_to_config(_name_or_path=target.name)
    made.save_pretrained(target, safe_serialization=True)
    (target / "parley.json").write_text(json.dumps(PREFERENCES, indent=2) + "\n")
    for path in target.rglob("*.safetensors"):
        path.chmod(0o644)
    return target
