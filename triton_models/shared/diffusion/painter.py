"""A checkpoint that is loaded: encodes prompts and pictures, decodes latents; Stable Diffusion and SDXL alike.

What differs between the two is in `_encoded` and `_conditions`. The rest (samplers, masks, ControlNets, LoRAs) is the
same code, whatever the checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline

from triton_models.shared.diffusion.shelf import Checkpoint
from triton_models.shared.wire import Array

DECODED_TOGETHER = 256 * 256  # pixels of a picture up to which several are decoded at once
TILED = 1536 * 1536  # pixels from which on a picture is decoded in tiles: the decoder's memory grows with them


class Prompts(NamedTuple):
    """What the U-Net is told: rows of the batch."""

    states: torch.Tensor
    """[rows, tokens, width]."""
    added: dict[str, torch.Tensor]
    """SDXL: the prompt as one vector, and sizes; empty for Stable Diffusion."""

    def rows(self, rows: Sequence[int]) -> Prompts:
        """Some of the rows."""
        return Prompts(self.states[rows], {name: value[rows] for name, value in self.added.items()})

    def after(self, other: Prompts) -> Prompts:
        """The rows of `other`, then these."""
        added = {name: torch.cat([other.added[name], value]) for name, value in self.added.items()}
        return Prompts(torch.cat([other.states, self.states]), added)


class Painter:
    """Loads a checkpoint.

    Args:
        checkpoint: Which; without a fault.
        device: Where it computes.
        dtype: In which numbers.

    Raises:
        Exception: whatever diffusers and transformers raise for files that do not fit together.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype
        self.pipeline = _load(checkpoint, dtype)
        self.pipeline.to(device)
        if device.type != "cpu":
            self.pipeline.enable_attention_slicing()
        # SDXL's decoder overflows in half precision, and says so.
        if getattr(self.vae.config, "force_upcast", False):
            self.vae.to(torch.float32)
        self.scale = 2 ** (len(self.vae.config.block_out_channels) - 1)
        """Pixels for each number of a latent, in one direction."""

    @property
    def unet(self) -> Any:
        """Predicts noise."""
        return self.pipeline.unet

    @property
    def vae(self) -> AutoencoderKL:
        """Turns pictures into latents and back."""
        return self.pipeline.vae

    @property
    def channels(self) -> int:
        """Of a latent."""
        return int(self.vae.config.latent_channels)

    @property
    def scheduler(self) -> dict[str, Any]:
        """The configuration of the noise that it was trained with."""
        return dict(self.pipeline.scheduler.config)

    def truncates(self, prompt: str) -> bool:
        """Whether a prompt is longer than the text encoder reads."""
        tokenizer = self.pipeline.tokenizer
        return len(tokenizer(prompt, verbose=False).input_ids) > int(tokenizer.model_max_length)

    def prompts(self, prompts: Sequence[str], clip_skip: int, width: int, height: int) -> Prompts:
        """What the U-Net is told of prompts. What is longer than the encoder reads is cut.

        Args:
            prompts: One for each row.
            clip_skip: Final layers of the encoder that are left out, plus one; 0 or 1: none.
            width: Of the picture, in pixels; so with the height.
            height: See width.
        """
        states, pooled = self._encoded(prompts, max(0, clip_skip - 1))
        return Prompts(states, self._conditions(pooled, width, height))

    def negatives(self, prompts: Sequence[str], clip_skip: int, width: int, height: int) -> Prompts:
        """As `prompts`, for what is not to be drawn: some SDXL checkpoints want zeros where there is nothing."""
        found = self.prompts(prompts, clip_skip, width, height)
        if getattr(self.pipeline.config, "force_zeros_for_empty_prompt", False):
            for row, prompt in enumerate(prompts):
                if not prompt:
                    found.states[row] = 0
                    found.added["text_embeds"][row] = 0
        return found

    def encode(self, pictures: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Latents of pictures, each drawn with its own generator from the distribution that the encoder gives.

        Args:
            pictures: [rows, 3, height, width], −1 to 1.
            generators: One for each row.
        """
        rows = [
            self.vae.encode(picture[None].to(self.device, self.vae.dtype)).latent_dist.sample(generator)
            for picture, generator in zip(pictures, generators, strict=True)
        ]
        return ((torch.cat(rows) - self._mean()) * self._factor()).to(self.dtype)

    def decode(self, latents: torch.Tensor) -> Array:
        """Pictures of latents [rows, channels, height, width]: uint8 [rows, height, width, 3]."""
        pixels = latents.shape[-1] * latents.shape[-2] * self.scale**2
        (self.vae.enable_tiling if pixels > TILED else self.vae.disable_tiling)()
        together = len(latents) if pixels <= DECODED_TOGETHER else 1
        scaled = latents.to(self.vae.dtype) / self._factor() + self._mean()
        decoded = torch.cat([self.vae.decode(rows).sample for rows in scaled.split(together)])
        levels = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
        pictures: Array = (levels * 255).round().astype(np.uint8)
        return pictures

    def _factor(self) -> Any:
        """What latents are multiplied with: one number, or one for each channel."""
        deviation = self._channels("latents_std")
        return self.vae.config.scaling_factor if deviation is None else self.vae.config.scaling_factor / deviation

    def _mean(self) -> Any:
        mean = self._channels("latents_mean")
        return 0.0 if mean is None else mean

    def _channels(self, name: str) -> torch.Tensor | None:
        """A number for each channel of a latent, from the decoder's configuration; few checkpoints have them."""
        found = getattr(self.vae.config, name, None)
        if not found:
            return None
        return torch.tensor(found, device=self.device, dtype=self.vae.dtype).view(1, -1, 1, 1)

    def _encoded(self, prompts: Sequence[str], skip: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The states of the text encoders' tokens, and SDXL's vector of the whole."""
        if self.checkpoint.architecture == "sd":
            encoder = self.pipeline.text_encoder
            output = self._read(self.pipeline.tokenizer, encoder, prompts)
            if not skip:
                return output[0], None
            # The text model is the encoder itself or a part of it, by the release of transformers.
            normalise = getattr(encoder, "text_model", encoder).final_layer_norm
            return normalise(output.hidden_states[-(skip + 1)]), None
        pairs = (
            (self.pipeline.tokenizer, self.pipeline.text_encoder),
            (self.pipeline.tokenizer_2, self.pipeline.text_encoder_2),
        )
        outputs = [self._read(tokenizer, encoder, prompts) for tokenizer, encoder in pairs]
        # SDXL reads the layer before the last, and the whole from the second encoder's projection.
        return torch.cat([output.hidden_states[-(skip + 2)] for output in outputs], dim=-1), outputs[1][0]

    def _read(self, tokenizer: Any, encoder: Any, prompts: Sequence[str]) -> Any:
        tokens = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        mask = tokens.attention_mask.to(self.device) if getattr(encoder.config, "use_attention_mask", False) else None
        return encoder(tokens.input_ids.to(self.device), attention_mask=mask, output_hidden_states=True)

    def _conditions(self, pooled: torch.Tensor | None, width: int, height: int) -> dict[str, torch.Tensor]:
        """SDXL's further conditions: the size of the original, where it was cropped, and the size that is drawn."""
        if pooled is None:
            return {}
        sizes = torch.tensor([[height, width, 0, 0, height, width]], device=self.device, dtype=self.dtype)
        return {"text_embeds": pooled, "time_ids": sizes.repeat(len(pooled), 1)}


def digest(path: Path) -> str:
    """SHA-256 of a single file, or of a directory's weights in the order of their names; hexadecimal."""
    files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while piece := opened.read(1 << 20):
                found.update(piece)
    return found.hexdigest()


def _load(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    """The pipeline of a checkpoint, without what judges pictures."""
    # Stable Diffusion's alone takes the argument; a checker that is left out is a gigabyte less.
    unchecked = {"safety_checker": None, "requires_safety_checker": False} if checkpoint.architecture == "sd" else {}
    with _quiet():
        if checkpoint.path.is_dir():
            return DiffusionPipeline.from_pretrained(
                checkpoint.path,
                dtype=dtype,
                variant=checkpoint.variant or None,
                local_files_only=True,
                use_safetensors=True,
                **unchecked,
            )
        kind = StableDiffusionXLPipeline if checkpoint.architecture == "sdxl" else StableDiffusionPipeline
        return kind.from_single_file(
            checkpoint.path,
            config=str(checkpoint.configuration),
            dtype=dtype,
            local_files_only=True,
            **unchecked,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and remarks of libraries: a worker's log is read by people."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()
    yield
