"""Writes tiny, randomly initialised checkpoints of Stable Diffusion and SDXL, with additions, in diffusers' formats.

Runs in the environment of the torch models: python -m tests.diffusion.tiny FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import string
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig, get_peft_model_state_dict
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WIDTH = 32
TOKENS = 77
SIZE = 64  # pixels that they prefer
NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tokenizer(folder: Path) -> CLIPTokenizer:
    """A tokenizer of the CLIP kind, whose words are letters."""
    letters = [*string.printable.strip(), *(chr(code) for code in range(161, 400))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token="<|endoftext|>", model_max_length=TOKENS
    )


def encoder(words: CLIPTokenizer, kind: type, layers: int = 3) -> Any:
    """A text encoder."""
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    return kind(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=layers,
            max_position_embeddings=TOKENS,
            projection_dim=WIDTH,
            **ends,
        )
    )


def vae() -> AutoencoderKL:
    """A decoder from latents to pictures eight times as large."""
    blocks = [8, 8, 8, 8]
    return AutoencoderKL(
        block_out_channels=blocks,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
    )


def unet(channels: int = 4, **more: Any) -> UNet2DConditionModel:
    """A U-Net of two levels."""
    return UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=SIZE // 8,
        in_channels=channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=more.pop("cross_attention_dim", WIDTH),
        attention_head_dim=4,
        norm_num_groups=4,
        **more,
    )


def stable_diffusion(folder: Path, channels: int = 4, seed: int = 0) -> None:
    """A directory like that of Stable Diffusion 1.5; with nine channels, of its inpainting variant."""
    torch.manual_seed(seed)
    words = tokenizer(folder / "tokenizer")
    StableDiffusionPipeline(
        vae=vae(),
        text_encoder=encoder(words, CLIPTextModel),
        tokenizer=words,
        unet=unet(channels),
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1, **NOISE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def sdxl(folder: Path) -> None:
    """A directory like that of SDXL."""
    torch.manual_seed(1)
    first, second = tokenizer(folder / "tokenizer"), tokenizer(folder / "tokenizer_2")
    StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=encoder(first, CLIPTextModel),
        text_encoder_2=encoder(second, CLIPTextModelWithProjection),
        tokenizer=first,
        tokenizer_2=second,
        unet=unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 2),
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
        scheduler=EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1, **NOISE),
    ).save_pretrained(folder)


def single_file(file: Path, of: Path) -> None:
    """A checkpoint that was written, in one file and under the names of the original code (CompVis, 2022)."""
    tensors = {}
    for part, prefix, renamed in (
        ("unet", "model.diffusion_model.", _unet_name),
        ("vae", "first_stage_model.", _vae_name),
        ("text_encoder", "cond_stage_model.transformer.", _text_name),
    ):
        (weights,) = (of / part).glob("*.safetensors")
        for name, values in safetensors.torch.load_file(weights).items():
            linear = part == "vae" and ".attentions." in name and values.ndim == 2
            # The original code's attention in the decoder is made of convolutions over single pixels.
            tensors[prefix + renamed(name)] = (values[..., None, None] if linear else values).contiguous()
    safetensors.torch.save_file(tensors, file)


def _unet_name(name: str) -> str:
    """The original name of a tensor of the U-Net of two levels, the second with attention, and a layer in each."""
    parts = name.split(".")
    tops = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    for new, old in tops.items():
        if name.startswith(new + "."):
            return old + name.removeprefix(new)
    inside = ".".join(parts[4:]) if parts[0] != "mid_block" else ".".join(parts[3:])
    match parts[:4]:
        case ["down_blocks", level, "resnets" | "attentions" as kind, _]:
            place = f"input_blocks.{2 * int(level) + 1}.{int(kind == 'attentions')}"
        case ["down_blocks", level, "downsamplers", _]:
            place, inside = f"input_blocks.{2 * int(level) + 2}.0", inside.replace("conv", "op")
        case ["up_blocks", level, "resnets" | "attentions" as kind, number]:
            place = f"output_blocks.{2 * int(level) + int(number)}.{int(kind == 'attentions')}"
        case ["up_blocks", level, "upsamplers", _]:
            place = f"output_blocks.{2 * int(level) + 1}.2"
        case ["mid_block", "attentions", *_]:
            place = "middle_block.1"
        case _:
            place = f"middle_block.{2 * int(parts[2])}"
    return f"{place}.{_residual(inside)}" if "resnets" in parts else f"{place}.{inside}"


def _residual(name: str) -> str:
    renamed = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "time_emb_proj": "emb_layers.1",
        "conv_shortcut": "skip_connection",
    }
    return renamed[name.partition(".")[0]] + name[name.index(".") :]


def _vae_name(name: str) -> str:
    """The original name of a tensor of the decoder of four levels, with one or two layers in each."""
    for new, old in {
        "mid_block.resnets.0": "mid.block_1",
        "mid_block.attentions.0": "mid.attn_1",
        "mid_block.resnets.1": "mid.block_2",
        "conv_norm_out": "norm_out",
        "conv_shortcut": "nin_shortcut",
        "group_norm": "norm",
        "to_q": "q",
        "to_k": "k",
        "to_v": "v",
        "to_out.0": "proj_out",
    }.items():
        name = name.replace(new, old)
    for level in range(4):
        name = name.replace(f"down_blocks.{level}.resnets.", f"down.{level}.block.")
        name = name.replace(f"down_blocks.{level}.downsamplers.0.", f"down.{level}.downsample.")
        name = name.replace(f"up_blocks.{level}.resnets.", f"up.{3 - level}.block.")
        name = name.replace(f"up_blocks.{level}.upsamplers.0.", f"up.{3 - level}.upsample.")
    return name


def _text_name(name: str) -> str:
    """The original name of a tensor of the text encoder: transformers left its prefix away lately."""
    return name if name.startswith("text_model.") else f"text_model.{name}"


def controlnet(folder: Path, of: Path, seed: int) -> None:
    """A ControlNet for a checkpoint that was written, whose last layers are not zero, as they are before training."""
    torch.manual_seed(seed)
    network = ControlNetModel.from_unet(UNet2DConditionModel.from_pretrained(of / "unet"))
    with torch.no_grad():
        for block in (*network.controlnet_down_blocks, network.controlnet_mid_block):
            torch.nn.init.normal_(block.weight, std=0.5)
        torch.nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=0.5)
    network.save_pretrained(folder)


def lora(file: Path, of: Path) -> None:
    """A LoRA for a checkpoint that was written, as peft and diffusers save it."""
    torch.manual_seed(3)
    network = UNet2DConditionModel.from_pretrained(of / "unet")
    network.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights="gaussian"))
    with torch.no_grad():
        for name, values in network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(values, std=1.0)
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = StableDiffusionPipeline.save_lora_weights
    tensors(file.parent, unet_lora_layers=get_peft_model_state_dict(network), weight_name=file.name)


def kohya(file: Path, source: Path) -> None:
    """The same LoRA as kohya's trainer names it, which most that people share are written by."""
    named = {}
    for name, values in safetensors.torch.load_file(source).items():
        layer, _, part = name.removesuffix(".weight").rpartition(".lora")
        layer = layer.replace(".", "_").replace("unet_", "lora_unet_", 1)
        side = {"_A": "lora_down", ".down": "lora_down", "_B": "lora_up", ".up": "lora_up"}[part]
        named[f"{layer}.{side}.weight"] = values.contiguous()
        named[f"{layer}.alpha"] = torch.tensor(2.0)
    safetensors.torch.save_file(named, file)


def main(folder: Path) -> None:
    """Writes all of them below `folder`, as a model directory."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    checkpoints = folder / "diffusion" / "checkpoints"
    stable_diffusion(checkpoints / "small")
    stable_diffusion(checkpoints / "inpainting", channels=9, seed=4)
    sdxl(checkpoints / "xl")
    single_file(checkpoints / "single.safetensors", checkpoints / "small")
    described = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(checkpoints / "small", folder / "diffusion" / "configs" / "sd", ignore=described)
    for name, of in (("edges", "small"), ("depth", "small"), ("xl-edges", "xl")):
        controlnet(folder / "diffusion" / "controlnets" / name, checkpoints / of, seed=len(name))
    lora(folder / "diffusion" / "loras" / "style.safetensors", checkpoints / "small")
    kohya(folder / "diffusion" / "loras" / "kohya.safetensors", folder / "diffusion" / "loras" / "style.safetensors")
    lora(folder / "diffusion" / "loras" / "xl-style.safetensors", checkpoints / "xl")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
