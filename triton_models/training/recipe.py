"""The recipe: sizes of the networks and how long each stage learns. Everything that decides the weights stands here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How one stage learns."""

    steps: int
    batch: int
    rate: float
    """Peak of the learning rate: reached after `warmup` steps, falling to 0 over the last `cooldown` of all steps."""
    warmup: int = 100
    cooldown: float = 0.3
    average: float = 0.0
    """Decay of the running average of the weights; 0: the weights as they are."""
    cycles: int = 1
    """How often the learning rate rises and falls: the steps are split evenly (warm restarts, arXiv:1608.03983)."""
    seed: int = 2026


@dataclass(frozen=True)
class Recipe:
    """Sizes and schedules of all stages."""

    vae_channels: tuple[int, ...] = (16, 32, 64, 96)
    vae_layers: int = 1
    vae_groups: int = 2
    """Groups of the group normalisation: few, because a group of two channels cannot tell plain colours apart."""
    latent_channels: int = 4
    prior_weight: float = 2e-4
    """Weight of the latents' KL divergence, a mean over latent values, beside the mean error of pixel values."""

    decoder_layers: int = 3
    """Layers of a block from the `decoder` stage on, which makes the autoencoder deeper."""

    text_width: int = 128
    text_layers: int = 4
    text_heads: int = 4
    text_length: int = 32

    unet_channels: tuple[int, ...] = (96, 160)
    unet_layers: int = 1
    unet_heads: int = 4
    groups: int = 8
    """Groups of the group normalisation."""

    pictures: int = 60_000
    """Pictures whose latents the U-Net learns from."""
    kind_weights: tuple[float, ...] = (0.2, 0.15, 0.65)
    """Shares of scenes with one thing, with several of the same, with a pair: pairs are the hardest to learn."""
    without_caption: float = 0.1
    """Share of training pictures with an empty caption: what guidance needs."""
    controlnet_without_caption: float = 0.5
    snr_limit: float = 5.0
    """Where the weight of nearly clean steps in the loss is capped, as a signal-to-noise ratio."""

    styled: int = 6_000
    """Pictures in the LoRA's style."""
    lora_rank: int = 8

    text: Schedule = Schedule(steps=700, batch=256, rate=1e-3)
    vae: Schedule = Schedule(steps=6000, batch=16, rate=1.5e-3, cooldown=0.7, average=0.995)
    decoder: Schedule = Schedule(steps=4000, batch=16, rate=8e-4, cooldown=0.9, average=0.995, cycles=2)
    unet: Schedule = Schedule(steps=7500, batch=48, rate=7e-4, warmup=200, cooldown=0.6, average=0.998)
    further: Schedule = Schedule(steps=3000, batch=48, rate=5e-4, warmup=200, cooldown=0.8, average=0.998, seed=2027)
    lora: Schedule = Schedule(steps=1800, batch=32, rate=2e-3, warmup=30, cooldown=0.6)
    controlnet: Schedule = Schedule(steps=2000, batch=32, rate=2e-3, warmup=40, cooldown=0.4)
