"""Runs every stage of the trainer for a few steps on tiny networks and says what came of it.

Runs in the environment of the torch models: python -m tests.diffusion_training.tiny_stages FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from PIL import Image
from safetensors.torch import load_file

from triton_models.training import autoencoder, controlnet, decoder, denoiser, export, extra_scores, lora, score, text
from triton_models.training.captions import all_words
from triton_models.training.pictures import draw, edges
from triton_models.training.recipe import Recipe, Schedule
from triton_models.training.scenes import training_scene
from triton_models.training.tokens import make_tokenizer
from triton_models.training.train import EMBEDDED

QUICK = Schedule(steps=12, batch=8, rate=3e-3, warmup=2)
TINY = Recipe(
    vae_channels=(8, 8, 16, 16),
    text_width=32,
    text_layers=1,
    text_heads=2,
    unet_channels=(16, 32),
    unet_heads=2,
    pictures=40,
    styled=24,
    lora_rank=2,
    text=QUICK,
    vae=replace(QUICK, steps=30),
    unet=replace(QUICK, steps=40, average=0.9),
    further=replace(QUICK, steps=40, seed=2027),
    decoder_layers=2,
    lora=replace(QUICK, steps=80, rate=2e-3),
    decoder=replace(QUICK, steps=24),
    controlnet=replace(QUICK, steps=100, rate=2e-3),
)


def learned(losses: list[float]) -> dict[str, float]:
    """The losses of the first and of the last quarter of the steps."""
    part = max(len(losses) // 4, 1)
    return {"first": float(np.mean(losses[:part])), "last": float(np.mean(losses[-part:]))}


def stages(folder: Path) -> dict[str, Any]:
    """Run them in their order."""
    found = {"text": learned(text.train(TINY, folder)), "vae": learned(autoencoder.train(TINY, folder))}
    autoencoder.write_latents(TINY, folder)
    found["unet"] = learned(denoiser.train(TINY, folder))
    found["decoder"] = learned(decoder.train(TINY, folder))
    found["further"] = learned(denoiser.train_further(TINY, folder))
    found["lora"] = learned(lora.train(TINY, folder))
    found["controlnet"] = learned(controlnet.train(TINY, folder))
    return found


def resumed(folder: Path) -> dict[str, list[float]]:
    """The losses of a run in one go, and of one that was stopped half-way and begun again."""
    whole = text.train(replace(TINY, text=replace(QUICK, cooldown=0.0)), folder / "whole")
    half = replace(QUICK, steps=QUICK.steps // 2, cooldown=0.0)
    text.train(replace(TINY, text=half), folder / "parts")
    parts = text.train(replace(TINY, text=replace(QUICK, cooldown=0.0)), folder / "parts")
    return {"whole": whole, "parts": parts}


def drawn(folder: Path, target: Path) -> dict[str, Any]:
    """Export, and draw with what was exported: plain, with the LoRA, with the ControlNet."""
    export.export(folder, target)
    pipe = score.load(target)
    settings = score.Settings(steps=2)
    prompts = ["a red circle", "một hình vuông xanh"]
    first, again = (score.draw(pipe, prompts, settings) for _ in range(2))
    pipe.load_lora_weights(folder / "loras", weight_name=f"{lora.STYLE}.safetensors")
    styled = score.draw(pipe, prompts, settings)
    pipe.unload_lora_weights()
    lines = Image.fromarray(edges(draw(training_scene(1))))
    network = ControlNetModel.from_pretrained(folder / "controlnets" / "edges", torch_dtype=torch.float32)
    led = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=network)
    led.set_progress_bar_config(disable=True)
    unet = target / "unet" / "diffusion_pytorch_model.safetensors"
    image = led("a red circle", image=lines, num_inference_steps=2, output_type="np").images[0]
    return {
        "shape": list(first.shape),
        "same": bool((first == again).all()),
        "lora_changes": bool((first != styled).any()),
        "controlnet_shape": list(image.shape),
        "safety_checker": pipe.safety_checker is None,
        "halves": all(value.dtype == torch.float16 for value in load_file(unet).values()),
    }


def shipped() -> dict[str, float]:
    """The shares of held-out captions that the shipped checkpoint draws without a mistake, of a few."""
    pipe = score.load(EMBEDDED / "checkpoints" / "shapes")
    captions = score.held_out_captions(24)
    return {"all right": score.share_right(score.score(pipe, captions, score.Settings(steps=12)))}


def deepened() -> float:
    """How much a deeper autoencoder differs from the one that it was made of, before it has learned anything."""
    network = autoencoder.make(TINY).eval()
    deeper = decoder.deepen(network, 3).eval()
    latents = torch.randn(2, TINY.latent_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    pictures = np.stack([draw(training_scene(seed)) for seed in range(2)])
    ways = [(autoencoder.encode(one, pictures), one.decode(latents).sample.detach()) for one in (network, deeper)]
    return max(float((one - other).abs().max()) for one, other in zip(*ways, strict=True))


def extras(folder: Path, target: Path) -> list[str]:
    """What the measures of the LoRA and of the ControlNet say."""
    pipe, settings = score.load(target), score.Settings(steps=2)
    weights = folder / "loras" / f"{lora.STYLE}.safetensors"
    return [
        extra_scores.of_lora(pipe, weights, 4, settings),
        extra_scores.of_controlnet(pipe, folder / "controlnets" / "edges", 4, settings),
    ]


def words() -> dict[str, Any]:
    """How the tokenizer cuts words."""
    tokenizer = make_tokenizer(TINY.text_length)
    return {
        "cut": [word for word in all_words() if len(tokenizer.tokenize(word)) != 1],
        "capitals": tokenizer.tokenize("Hình TRÒN"),
        "unknown": tokenizer.convert_tokens_to_string(tokenizer.tokenize("giraffe 🦒")).strip(),
        "longest": len(tokenizer("red " * 100, truncation=True).input_ids),
    }


def main(folder: Path) -> None:
    """Write what came of it to `folder/found.json`."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {"losses": stages(folder / "stages"), "words": words(), "resumed": resumed(folder)}
    found["drawn"] = drawn(folder / "stages", folder / "checkpoint")
    found["extras"] = extras(folder / "stages", folder / "checkpoint")
    found["deepened"] = deepened()
    found["shipped"] = shipped()
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
