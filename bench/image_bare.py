"""Draws with diffusers' own pipeline for bench/image.py; runs in the environment of the torch models.

.venv-torch/bin/python -m bench.image_bare write FOLDER SIZE    writes a random checkpoint: `tiny`, or `sdxl` as it is
.venv-torch/bin/python -m bench.image_bare draw FOLDER SAMPLER    draws with as many steps as each line says
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.diffusion import tiny
from triton_models.shared.diffusion import samplers
from triton_models.shared.diffusion.engine import NICE
from triton_models.shared.torch_device import choose


def write(folder: Path, size: str) -> None:
    """Writes a randomly initialised checkpoint."""
    if size == "sdxl":
        sdxl(folder)
    else:
        tiny.stable_diffusion(folder)


def sdxl(folder: Path) -> None:
    """SDXL in its own dimensions (stable-diffusion-xl-base-1.0), but for the words, in half precision: 7 GB."""
    words = [tiny.tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    dimensions = ((CLIPTextModel, 768, 3072, 12, 12), (CLIPTextModelWithProjection, 1280, 5120, 20, 32))
    encoders = [
        kind(
            CLIPTextConfig(
                vocab_size=len(words[0]),
                hidden_size=width,
                intermediate_size=inner,
                num_attention_heads=heads,
                num_hidden_layers=layers,
                projection_dim=width,
                bos_token_id=words[0].bos_token_id,
                eos_token_id=words[0].eos_token_id,
                pad_token_id=words[0].pad_token_id,
            )
        )
        for kind, width, inner, heads, layers in dimensions
    ]
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=1024,
        scaling_factor=0.13025,
        force_upcast=True,
    )
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=words[0],
        tokenizer_2=words[1],
        unet=unet,
        scheduler=EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1, **tiny.NOISE),
    ).to(dtype=torch.float16).save_pretrained(folder)


def draw(folder: Path, sampler: str) -> None:
    """Answers each line with the seconds that a drawing of so many steps took."""
    os.nice(NICE)
    device, dtype = choose("auto")
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True).to(device)
    pipeline.set_progress_bar_config(disable=True)
    if device.type != "cpu":
        pipeline.enable_attention_slicing()
    found = samplers.find(sampler)
    assert found is not None
    for line in sys.stdin:
        pipeline.scheduler = samplers.build(found, pipeline.scheduler.config)
        began = time.perf_counter()
        pipeline(
            "a red circle",
            num_inference_steps=int(line),
            guidance_scale=5.0,
            generator=[torch.Generator().manual_seed(1)],
            output_type="np",
        )
        print(f"{time.perf_counter() - began}", flush=True)


if __name__ == "__main__":
    {"write": write, "draw": draw}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
