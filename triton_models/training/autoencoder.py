"""The autoencoder: 64x64 pixels to 8x8 latents of four channels and back; and the latents of the training pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import distributed
from torch.nn import functional

from triton_models.training.loop import Chance, Loop, workers
from triton_models.training.pictures import Picture, draw, draw_many
from triton_models.training.recipe import Recipe
from triton_models.training.scenes import SIDE, Scene, training_scene

# Beside the seeds of the latents' pictures: the autoencoder learns from pictures of its own.
SEEDS_FROM = 10_000_000
EDGE_WEIGHT, THING_WEIGHT = 0.5, 4.0
FIRST_LOG_VARIANCE = -6.0
ENCODED_AT_ONCE = 200


def make(recipe: Recipe) -> Any:
    """An untrained autoencoder."""
    torch.manual_seed(recipe.vae.seed)
    levels = len(recipe.vae_channels)
    network = AutoencoderKL(
        block_out_channels=recipe.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=recipe.vae_layers,
        latent_channels=recipe.latent_channels,
        norm_num_groups=recipe.vae_groups,
        sample_size=SIDE,
        scaling_factor=1.0,
    )
    with torch.no_grad():
        # Little noise on the latents at first: else it takes a thousand steps until small things come through.
        network.quant_conv.bias[recipe.latent_channels :] = FIRST_LOG_VARIANCE
    return network.to(memory_format=torch.channels_last)


def tensor(pictures: Picture) -> Any:
    """Pictures (N, H, W, 3) as the autoencoder takes them: (N, 3, H, W), -1 to 1."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return values.contiguous(memory_format=torch.channels_last)


def pictures(values: Any) -> Picture:
    """What the autoencoder gives, as pictures (N, H, W, 3)."""
    scaled = ((values.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())


def train(recipe: Recipe, folder: Path) -> list[float]:
    """Learn to draw pictures again from their latents; writes `folder/vae` in diffusers' format."""
    network = make(recipe)
    loop = Loop(folder / "vae-state", network, recipe.vae, decay=0.0)
    batch = loop.share(recipe.vae.batch)

    def loss_of(chance: Chance) -> Any:
        seeds = range(SEEDS_FROM + chance.number * batch, SEEDS_FROM + (chance.number + 1) * batch)
        target = tensor(draw_many([training_scene(seed) for seed in seeds]))
        with torch.autocast("cpu", torch.bfloat16):
            prior = network.encode(target).latent_dist
            noise = torch.randn(prior.mean.shape, generator=chance.torch)
            drawn = network.decode(prior.mean + prior.std * noise, return_dict=False)[0].float()
        return _error(drawn, target) + recipe.prior_weight * prior.kl().float().mean() / prior.mean[0].numel()

    losses = loop.run(loss_of)
    if loop.leads:
        _scale(loop.averaged, recipe)
        loop.averaged.save_pretrained(folder / "vae")
    return losses


def _error(drawn: Any, target: Any) -> Any:
    """The weighted mean difference of pixels, and of their steps to the right and down.

    Edges count more than plain areas, and things more than the background, which is most of a picture: nearly all of
    the top row is background.
    """
    background = target[:, :, :1, :].median(dim=3, keepdim=True).values
    weight = 1 + THING_WEIGHT * (2 * (target - background).abs().amax(dim=1, keepdim=True)).clamp(max=1)
    difference = drawn - target
    error = (weight * (difference.abs() + difference.square())).mean()
    for axis in (2, 3):
        error = error + EDGE_WEIGHT * functional.l1_loss(drawn.diff(dim=axis), target.diff(dim=axis))
    return error


def _scale(network: Any, recipe: Recipe) -> None:
    """Make the latents' spread 1, as the noise schedules of diffusion expect."""
    values = encode(network, draw_many([training_scene(seed) for seed in range(SEEDS_FROM, SEEDS_FROM + 512)]))
    network.register_to_config(scaling_factor=round(float(1 / values.std()), 5))


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch has no types where mypy runs
def encode(network: Any, of: Picture) -> Any:
    """The means of pictures' latents, scaled: (N, 4, 8, 8)."""
    with torch.autocast("cpu", torch.bfloat16):
        means = network.encode(tensor(of)).latent_dist.mean
    return means.float() * network.config.scaling_factor


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch has no types where mypy runs
def decode(network: Any, latents: Any) -> Picture:
    """The pictures of scaled latents."""
    return pictures(network.decode(latents / network.config.scaling_factor, return_dict=False)[0])


def load(folder: Path) -> Any:
    """The trained autoencoder."""
    network = AutoencoderKL.from_pretrained(folder / "vae", low_cpu_mem_usage=False)
    return network.to(memory_format=torch.channels_last).eval()


def write_latents(recipe: Recipe, folder: Path) -> None:
    """Write the latents of the training pictures, seeds 0 and on: `folder/latents.npy`, float16 (N, 4, 8, 8)."""
    write_encoded(folder, folder / "latents.npy", recipe.pictures, draw)


def write_encoded(folder: Path, path: Path, number: int, drawing: Callable[[Scene], Picture]) -> None:
    """Write the latents of the first training scenes, drawn by `drawing`; every worker encodes a part of them."""
    network, (worker, of) = load(folder), workers()
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = range(number * worker // of, number * (worker + 1) // of)
    parts = []
    for first in range(mine.start, mine.stop, ENCODED_AT_ONCE):
        seeds = range(first, min(first + ENCODED_AT_ONCE, mine.stop))
        pictures = np.stack([drawing(training_scene(seed)) for seed in seeds])
        parts.append(encode(network, pictures).half().numpy())
    np.save(_part(path, worker), np.concatenate(parts))
    if of > 1:
        distributed.barrier()
    if worker == 0:
        np.save(path, np.concatenate([np.load(_part(path, other)) for other in range(of)]))


def _part(path: Path, worker: int) -> Path:
    return path.with_name(f"{path.stem}-{worker}.npy")
