"""A ControlNet that takes edges: the U-Net draws its things where a black picture has white lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel

from triton_models.training import denoiser
from triton_models.training.loop import Chance, Loop
from triton_models.training.pictures import draw, edges
from triton_models.training.recipe import Recipe
from triton_models.training.scenes import training_scene


def make(recipe: Recipe, unet: Any) -> Any:
    """A ControlNet that starts as the U-Net's own way down, without its attention to the text: edges say where."""
    torch.manual_seed(recipe.controlnet.seed)
    network = ControlNetModel(
        in_channels=recipe.latent_channels,
        block_out_channels=recipe.unet_channels,
        layers_per_block=recipe.unet_layers,
        down_block_types=("DownBlock2D",) * len(recipe.unet_channels),
        mid_block_type="UNetMidBlock2D",
        cross_attention_dim=recipe.text_width,
        attention_head_dim=recipe.unet_heads,
        norm_num_groups=recipe.groups,
        conditioning_embedding_out_channels=(16, 32, 48, 64),
    )
    theirs = unet.state_dict()
    mine = network.state_dict()
    same = {name: value for name, value in theirs.items() if name in mine and mine[name].shape == value.shape}
    network.load_state_dict(same, strict=False)
    return network.to(memory_format=torch.channels_last)


def hint(pictures: Any) -> Any:
    """Pictures of edges (N, H, W, 3) as a ControlNet takes them: (N, 3, H, W), 0 to 1."""
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def train(recipe: Recipe, folder: Path) -> list[float]:
    """Teach a ControlNet beside the trained U-Net, which stays as it is; writes `folder/controlnets/edges`."""
    # With few captions it is the edges that say what is where.
    quiet = replace(recipe, without_caption=recipe.controlnet_without_caption)
    data, task = denoiser.Captioned(quiet, folder), denoiser.Denoising(recipe)
    unet = denoiser.load(folder).requires_grad_(False)
    network = make(recipe, unet)
    loop = Loop(folder / "controlnet-state", network, recipe.controlnet, decay=0.0)

    def loss_of(chance: Chance) -> Any:
        chosen = data.choose(chance, loop.share(recipe.controlnet.batch))
        lines = hint(np.stack([edges(draw(training_scene(int(seed)))) for seed in chosen]))

        def led(noised: Any, steps: Any, states: Any, **more: Any) -> Any:
            down, middle = network(noised, steps, states, controlnet_cond=lines, return_dict=False)
            found = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            return unet(noised, steps, states, **found, **more)

        return task.loss(led, data.latents[chosen].float(), data.states(chance, chosen), chance)

    losses = loop.run(loss_of)
    if loop.leads:
        loop.averaged.half().save_pretrained(folder / "controlnets" / "edges")
    return losses
