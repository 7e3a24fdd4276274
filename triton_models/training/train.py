"""The trainer's command: python -m triton_models.training.train --stage all. Stages resume where they stopped."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from triton_models.training import autoencoder, controlnet, decoder, denoiser, export, extra_scores, lora, score, text
from triton_models.training.mosaic import write_mosaic
from triton_models.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "triton_models" / "diffusion" / "embedded"
SHEET = ROOT / "docs" / "diffusion-samples.png"
# Captions that settings are chosen by, and that the LoRA and the ControlNet are measured with.
CHOICE, EXTRAS = 80, 100


@dataclass(frozen=True)
class Task:
    """What a stage works on."""

    recipe: Recipe
    folder: Path
    """States and weights of the stages."""
    target: Path
    """Where the finished checkpoint goes."""
    unet: str
    """The folder of the U-Net to export: the finished one, or a snapshot."""
    settings: score.Settings
    captions: int


def _export(task: Task) -> None:
    checkpoint = task.target / "checkpoints" / "shapes"
    export.export(task.folder, checkpoint, task.unet)
    for kind in ("loras", "controlnets"):
        if (task.folder / kind).exists():
            shutil.copytree(task.folder / kind, task.target / kind, dirs_exist_ok=True)


def _score(task: Task) -> None:
    pipe = score.load(task.target / "checkpoints" / "shapes")
    found = score.score(pipe, score.held_out_captions(task.captions), task.settings)
    print(f"{task.captions} held-out captions, DPM++ 2M Karras, {task.settings}\n\n{score.table(found)}\n", flush=True)
    number = min(EXTRAS, task.captions)
    print(extra_scores.of_lora(pipe, task.target / "loras" / f"{lora.STYLE}.safetensors", number, task.settings))
    print(extra_scores.of_controlnet(pipe, task.target / "controlnets" / "edges", number, task.settings), flush=True)


def _choose(task: Task) -> None:
    """Try guidances on captions that the score is not of."""
    pipe = score.load(task.target / "checkpoints" / "shapes")
    captions = score.held_out_captions(CHOICE, score.SEEDS_OF_CHOICE)
    for guidance in (1.5, 2.0, 3.0, 4.5, 6.5):
        settings = score.Settings(task.settings.steps, guidance, task.settings.seed)
        found = score.score(pipe, captions, settings)
        print(f"guidance {guidance}: {score.share_right(found):.1%} all right", flush=True)


def _mosaic(task: Task) -> None:
    pipe = score.load(task.target / "checkpoints" / "shapes")
    write_mosaic(pipe, task.settings, SHEET)


STAGES: dict[str, Callable[[Task], object]] = {
    "text": lambda task: text.train(task.recipe, task.folder),
    "vae": lambda task: autoencoder.train(task.recipe, task.folder),
    "latents": lambda task: autoencoder.write_latents(task.recipe, task.folder),
    "unet": lambda task: denoiser.train(task.recipe, task.folder),
    "decoder": lambda task: decoder.train(task.recipe, task.folder),
    "further": lambda task: denoiser.train_further(task.recipe, task.folder),
    "lora": lambda task: lora.train(task.recipe, task.folder),
    "controlnet": lambda task: controlnet.train(task.recipe, task.folder),
    "export": _export,
    "choose": _choose,
    "score": _score,
    "mosaic": _mosaic,
}

SHARED = ("text", "vae", "latents", "decoder", "unet", "further", "lora", "controlnet")


def _run(stages: list[str], task: Task) -> None:
    """Run stages; under torchrun the workers share most of them, and the first takes the rest alone."""
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    if workers > 1:
        torch.set_num_threads(max((os.cpu_count() or 1) // workers, 1))
        distributed.init_process_group("gloo")
    for stage in stages:
        print(f"stage {stage}", flush=True)
        if stage in SHARED or workers == 1 or distributed.get_rank() == 0:
            STAGES[stage](task)
        if workers > 1:
            distributed.barrier()


def main() -> None:
    """Run one stage, or all of them."""
    parser = argparse.ArgumentParser(description="Train the embedded text-to-image checkpoint, stage by stage.")
    parser.add_argument("--stage", choices=[*STAGES, "all"], required=True)
    parser.add_argument("--folder", type=Path, default=Path("build/diffusion"), help="where states and weights lie")
    parser.add_argument("--target", type=Path, default=EMBEDDED, help="where the finished checkpoint goes")
    parser.add_argument("--unet", default="unet", help="export: unet, or unet-snapshot while it still learns")
    parser.add_argument("--captions", type=int, default=500, help="score: how many")
    parser.add_argument("--steps", type=int, default=score.Settings.steps, help="score: steps of a picture")
    parser.add_argument("--guidance", type=float, default=score.Settings.guidance)
    parser.add_argument("--seed", type=int, default=score.Settings.seed, help="score: seed of the first picture")
    arguments = parser.parse_args()
    settings = score.Settings(arguments.steps, arguments.guidance, arguments.seed)
    task = Task(Recipe(), arguments.folder, arguments.target, arguments.unet, settings, arguments.captions)
    _run(list(STAGES) if arguments.stage == "all" else [arguments.stage], task)


if __name__ == "__main__":
    main()
