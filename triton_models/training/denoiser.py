"""The U-Net: learns to take noise off the latents of pictures, led by their captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from triton_models.training import text
from triton_models.training.captions import write_caption
from triton_models.training.loop import Chance, Loop
from triton_models.training.recipe import Recipe, Schedule
from triton_models.training.scenes import KINDS, SIDE, training_scene

# The noise schedule of Stable Diffusion. What the network predicts is the velocity (arXiv:2202.00512): it stays of one
# scale at all noise levels, also where a prediction of the noise says nothing about the picture.
NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
}


def make(recipe: Recipe) -> Any:
    """An untrained U-Net with cross attention at both of its levels."""
    torch.manual_seed(recipe.unet.seed)
    network = UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=recipe.latent_channels,
        out_channels=recipe.latent_channels,
        block_out_channels=recipe.unet_channels,
        layers_per_block=recipe.unet_layers,
        down_block_types=("CrossAttnDownBlock2D",) * len(recipe.unet_channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(recipe.unet_channels),
        cross_attention_dim=recipe.text_width,
        attention_head_dim=recipe.unet_heads,
        norm_num_groups=recipe.groups,
    )
    return network.to(memory_format=torch.channels_last)


class Captioned:
    """Latents of pictures with captions that are drawn anew whenever a picture is."""

    def __init__(self, recipe: Recipe, folder: Path, latents: Path | None = None) -> None:
        """`latents`: those of the first training pictures in a style, instead of the plain ones."""
        self.latents = torch.from_numpy(np.load(latents or folder / "latents.npy"))
        self._scenes = [training_scene(seed) for seed in range(len(self.latents))]
        self._tokenizer, self._encoder = text.load(folder)
        self._recipe = recipe
        kinds = np.array([KINDS.index(scene.kind) for scene in self._scenes])
        weights = np.array(recipe.kind_weights)[kinds] / np.bincount(kinds, minlength=len(KINDS))[kinds]
        self._weights = weights / weights.sum()

    def choose(self, chance: Chance, batch: int) -> Any:
        """Indices of pictures, of each kind of scene its share."""
        return chance.numpy.choice(len(self.latents), size=batch, p=self._weights)

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch has no types where mypy runs
    def states(self, chance: Chance, chosen: Any) -> Any:
        """What the text encoder makes of these pictures' captions, some of them left empty: (N, length, width)."""
        texts = [write_caption(self._scenes[index], chance.numpy).text for index in chosen]
        silent = chance.numpy.random(len(texts)) < self._recipe.without_caption
        tokens = text.tokens_of(self._tokenizer, ["" if off else said for off, said in zip(silent, texts, strict=True)])
        with torch.autocast("cpu", torch.bfloat16):
            return self._encoder(tokens).last_hidden_state


class Denoising:
    """The loss of taking noise off latents."""

    def __init__(self, recipe: Recipe) -> None:
        self._noise = DDPMScheduler(**NOISE)
        levels = self._noise.alphas_cumprod
        signal = levels / (1 - levels)
        # Of the velocity's error; of the picture's it is min(SNR + 1, limit). The noisy steps, in which the caption
        # decides what goes where, count fully, unlike with min-SNR (arXiv:2303.09556), and the clean do not drown them.
        self._weights = (signal + 1).clamp(max=recipe.snr_limit) / (signal + 1)

    def loss(self, network: Callable[..., Any], latents: Any, states: Any, chance: Chance, **more: Any) -> Any:
        """The weighted error of the velocity that `network` predicts for noised latents; `more` goes to it."""
        noise = torch.randn(latents.shape, generator=chance.torch)
        # Spread evenly over the batch: less chance in the loss.
        places = (torch.arange(len(latents)) + torch.rand(1, generator=chance.torch)) / len(latents)
        steps = (places * len(self._weights)).long()
        noised = self._noise.add_noise(latents, noise, steps).contiguous(memory_format=torch.channels_last)
        target = self._noise.get_velocity(latents, noise, steps)
        with torch.autocast("cpu", torch.bfloat16):
            velocity = network(noised, steps, states, return_dict=False, **more)[0].float()
        error = (velocity - target).square().mean(dim=(1, 2, 3))
        return (error * self._weights[steps]).mean()

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch has no types where mypy runs
    def see(self, network: Callable[..., Any], latents: Any, states: Any, chance: Chance, latest: int) -> Any:
        """What `network` takes latents for that got the noise of random steps before `latest`."""
        noise = torch.randn(latents.shape, generator=chance.torch)
        steps = torch.randint(latest, (len(latents),), generator=chance.torch)
        noised = self._noise.add_noise(latents, noise, steps).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            velocity = network(noised, steps, states, return_dict=False)[0].float()
        signal = self._noise.alphas_cumprod[steps][:, None, None, None]
        return signal.sqrt() * noised - (1 - signal).sqrt() * velocity

    def loss_of_batch(self, network: Callable[..., Any], data: Captioned, chance: Chance, batch: int) -> Any:
        """The loss of a batch of pictures and captions, drawn at random."""
        chosen = data.choose(chance, batch)
        return self.loss(network, data.latents[chosen].float(), data.states(chance, chosen), chance)


def train(recipe: Recipe, folder: Path) -> list[float]:
    """Teach the U-Net; writes `folder/unet`, and while it learns `folder/unet-snapshot`."""
    return _teach(make(recipe), recipe, recipe.unet, folder, "unet-state")


def train_further(recipe: Recipe, folder: Path) -> list[float]:
    """Teach the finished U-Net once more, with a second rise and fall of the learning rate; writes `folder/unet`."""
    return _teach(load(folder), recipe, recipe.further, folder, "further-state")


def _teach(network: Any, recipe: Recipe, schedule: Schedule, folder: Path, state: str) -> list[float]:
    data, task = Captioned(recipe, folder), Denoising(recipe)
    loop = Loop(folder / state, network, schedule)

    losses = loop.run(
        lambda chance: task.loss_of_batch(network, data, chance, loop.share(schedule.batch)),
        lambda step: loop.averaged.save_pretrained(folder / "unet-snapshot"),
    )
    if loop.leads:
        loop.averaged.save_pretrained(folder / "unet")
    return losses


def load(folder: Path, name: str = "unet") -> Any:
    """The trained U-Net."""
    network = UNet2DConditionModel.from_pretrained(folder / name, low_cpu_mem_usage=False)
    return network.to(memory_format=torch.channels_last).eval()
