"""A LoRA of a visible style: the same scenes and captions, drawn in outlines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from triton_models.training import autoencoder, denoiser
from triton_models.training.loop import Loop
from triton_models.training.pictures import draw_outlines
from triton_models.training.recipe import Recipe

STYLE = "outlines"
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2"]


def adapt(network: Any, rank: int) -> Any:
    """Freeze a U-Net and put an adapter that learns beside its attention and its convolutions."""
    network.requires_grad_(False)
    network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=LAYERS, init_lora_weights="gaussian"))
    return network


def train(recipe: Recipe, folder: Path) -> list[float]:
    """Teach the style to an adapter of the trained U-Net; writes `folder/loras/outlines.safetensors`."""
    latents = folder / "style" / "latents.npy"
    if not latents.exists():
        autoencoder.write_encoded(folder, latents, recipe.styled, draw_outlines)
    data = denoiser.Captioned(recipe, folder, latents)
    task = denoiser.Denoising(recipe)
    torch.manual_seed(recipe.lora.seed)
    network = adapt(denoiser.load(folder), recipe.lora_rank)
    loop = Loop(folder / "lora-state", network, recipe.lora, decay=0.0)
    losses = loop.run(lambda chance: task.loss_of_batch(network, data, chance, loop.share(recipe.lora.batch)))
    if loop.leads:
        layers = {name: value.half().contiguous() for name, value in get_peft_model_state_dict(network).items()}
        name = f"{STYLE}.safetensors"
        StableDiffusionPipeline.save_lora_weights(folder / "loras", unet_lora_layers=layers, weight_name=name)
    return losses
