"""The autoencoder's way back, taught further: the latents, which the U-Net learned to make, stay what they are.

It learns from latents as the U-Net makes them, a little wrong, and every thing counts the same: in a mean over pixels
the points of a small star are nothing, and to see a star they are everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL

from triton_models.training import autoencoder, denoiser, text
from triton_models.training.captions import write_caption
from triton_models.training.loop import Chance, Loop
from triton_models.training.pictures import BACKGROUND_COLOURS, THING_COLOURS, Floats, draw, draw_outlines, surroundings
from triton_models.training.recipe import Recipe
from triton_models.training.scenes import Scene, training_scene

SEEDS_FROM = 40_000_000  # beside the seeds of all other pictures
# How many of the pictures are in outlines, for the LoRA's style; how far off their latents are at most, whose spread
# is 1; and in which of the 1000 steps of noise the U-Net is asked what the others' latents are.
OUTLINED, OUTLINES_OFF, LATEST_STEP = 0.2, 0.15, 250
# What a thing of this many pixels, as far as this from the background (of 2), weighs; a smaller or fainter one more.
THING_WEIGHT, USUAL_AREA, USUAL_CONTRAST = 4.0, 600.0, 1.2
EDGE_WEIGHT = 0.5


def deepen(network: Any, layers: int) -> Any:
    """An autoencoder with this many layers in every block that does exactly what `network` does.

    Both ways get them, for diffusers has one number for both; the new ones change nothing until they have learned.
    """
    if network.config.layers_per_block >= layers:
        return network
    deeper = AutoencoderKL(**{**network.config, "layers_per_block": layers})
    known = network.state_dict()
    missing = deeper.load_state_dict(known, strict=False).missing_keys
    with torch.no_grad():
        for name, value in deeper.named_parameters():
            if name in missing and ".conv2." in name:
                value.zero_()
    return deeper.to(memory_format=torch.channels_last)


def train(recipe: Recipe, folder: Path) -> list[float]:
    """Teach the decoder beside the trained U-Net; writes `folder/vae`."""
    network = deepen(autoencoder.load(folder), recipe.decoder_layers)
    for part in (network.encoder, network.quant_conv):
        part.requires_grad_(False)
    loop = Loop(folder / "decoder-state", network, recipe.decoder, decay=0.0)
    batch, scale = loop.share(recipe.decoder.batch), network.config.scaling_factor
    sight = _Sight(recipe, folder)

    def loss_of(chance: Chance) -> Any:
        first = SEEDS_FROM + chance.number * batch
        scenes = [training_scene(seed) for seed in range(first, first + batch)]
        outlined = chance.numpy.random(batch) < OUTLINED
        shown = np.stack([(draw_outlines if off else draw)(scene) for off, scene in zip(outlined, scenes, strict=True)])
        latents = sight.blur(autoencoder.encode(network, shown), scenes, outlined, chance)
        with torch.autocast("cpu", torch.bfloat16):
            drawn = network.decode(latents / scale, return_dict=False)[0].float()
        return error(drawn, autoencoder.tensor(shown), torch.from_numpy(np.stack([weights(scene) for scene in scenes])))

    losses = loop.run(loss_of)
    if loop.leads:
        loop.averaged.save_pretrained(folder / "vae")
    return losses


class _Sight:
    """Latents as they come from the U-Net: what it sees in them through a little noise."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self._network, self._task = denoiser.load(folder), denoiser.Denoising(recipe)
        self._tokenizer, self._encoder = text.load(folder)

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch has no types where mypy runs
    def blur(self, latents: Any, scenes: Sequence[Scene], outlined: Any, chance: Chance) -> Any:
        """Latents a little off: of pictures in outlines, which the U-Net does not know, by chance alone."""
        captions = [write_caption(scene, chance.numpy).text for scene in scenes]
        with torch.autocast("cpu", torch.bfloat16):
            states = self._encoder(text.tokens_of(self._tokenizer, captions)).last_hidden_state
        seen = self._task.see(self._network, latents, states, chance, LATEST_STEP)
        off = OUTLINES_OFF * torch.rand(len(latents), 1, 1, 1, generator=chance.torch)
        near = latents + off * torch.randn(latents.shape, generator=chance.torch)
        return torch.where(torch.from_numpy(outlined)[:, None, None, None], near, seen)


def weights(scene: Scene) -> Floats:
    """What a scene's pixels weigh, (1, SIDE, SIDE): 1, and as much for every thing whatever its size and colour."""
    found = np.ones(surroundings(scene.things[0]).shape, dtype=np.float32)
    for thing in scene.things:
        around = surroundings(thing)
        contrast = np.abs(THING_COLOURS[thing.colour] - BACKGROUND_COLOURS[scene.background]).max() / 127.5
        found += THING_WEIGHT * around * np.float32(USUAL_AREA / around.sum() * USUAL_CONTRAST / contrast)
    return found[None]


def error(drawn: Any, target: Any, weight: Any) -> Any:
    """The weighted mean difference of pixels, and of their steps to the right and down."""
    difference = drawn - target
    found = (weight * (difference.abs() + difference.square())).mean()
    for axis in (2, 3):
        steps = (drawn.diff(dim=axis) - target.diff(dim=axis)).abs()
        found = found + EDGE_WEIGHT * (weight.narrow(axis, 1, steps.shape[axis]) * steps).mean()
    return found
