"""Draws with diffusers' own pipelines and with the diffusion model, and says how far apart the pictures are.

Runs in the environment of the torch models: python -m tests.diffusion.reference MODELS, the folder that tiny.py wrote.
Says a JSON object: `apart`, the largest difference, in levels of 255, for each way to draw; and `steps`, how many steps
were made for a caller who gave up while the second of many was made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    ControlNetModel,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from triton_models.shared.diffusion import samplers
from triton_models.shared.diffusion.engine import Diffusion
from triton_models.shared.errors import CancelledError
from triton_models.shared.worker_process import Request

PROMPT, SEED, STEPS = "a red circle", 3, 4
CHANGED = slice(32, None)  # columns that the mask covers: outside of it, ours is the picture that was given


class Both:
    """Draws with both.

    Args:
        models: The model directory.
    """

    def __init__(self, models: Path) -> None:
        self._models = models / "diffusion"
        parameters = {"name": "diffusion", "model_directory": str(models), "device": "cpu", "embedded": "false"}
        self._ours = Diffusion(parameters)
        random = np.random.default_rng(0)
        self._picture = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        self._mask = np.zeros((64, 64), np.uint8)
        self._mask[:, CHANGED] = 255
        self._edges = np.zeros((64, 64, 3), np.uint8)
        self._edges[20:44, 20:44] = 255

    def differences(self) -> Iterator[tuple[str, int]]:
        """Each way to draw, with how far apart the pictures are."""
        small, xl = self._pipeline(StableDiffusionPipeline, "small"), self._pipeline(StableDiffusionXLPipeline, "xl")
        for sampler in samplers.SAMPLERS:
            yield f"text, {sampler.name}", self._apart(small, sampler.name, 7.5)
        yield "sdxl", self._apart(xl, "Euler", 5.0, model="xl", negative_prompt="blue")
        yield "sdxl, nothing excluded", self._apart(xl, "Euler", 5.0, model="xl")
        yield "sdxl, unguided", self._apart(xl, "Euler", 1.0, model="xl")
        for name in ("Euler a", "Heun"):
            yield f"picture, {name}", self._apart(AutoPipelineForImage2Image.from_pipe(small), name, 7.5, strength=0.6)
        inpainting = AutoPipelineForInpainting.from_pipe(small)
        for name, strength in (("DPM++ 2M Karras", 0.6), ("PNDM", 1.0)):
            yield f"mask, {name}, {strength}", self._apart(inpainting, name, 7.5, strength=strength, masked=True)
        nine = self._pipeline(StableDiffusionInpaintPipeline, "inpainting")
        yield "mask, nine channels", self._apart(nine, "Euler", 7.5, model="inpainting", strength=1.0, masked=True)
        for model, pipeline, names in (("small", small, ["edges"]), ("xl", xl, ["xl-edges"])):
            yield f"controlnet, {model}", self._controlled(pipeline, model, names)
        yield "two controlnets", self._controlled(small, "small", ["edges", "depth"])
        for name in ("style", "kohya"):
            small.load_lora_weights(str(self._models / "loras" / f"{name}.safetensors"), adapter_name="it")
            small.set_adapters(["it"], [0.8])
            yield f"lora, {name}", self._apart(small, "Euler", 7.5, loras=[{"name": name, "weight": 0.8}])
            small.unload_lora_weights()

    def given_up(self) -> int:
        """The steps that are made for a caller who gives up while the second of many is made."""
        begun: list[str] = []

        def count(module: torch.nn.Module, _inputs: Any) -> None:
            begun.extend(["step"] * isinstance(module, UNet2DConditionModel))

        asked = {"task": "draw", "model": "small", "prompt": PROMPT, "seeds": [SEED], "steps": 50, "sampler": "Euler"}
        hook = register_module_forward_pre_hook(count)
        (answer,) = self._ours.answer([Request({"request": [json.dumps(asked).encode()]}, lambda: len(begun) >= 2)])
        hook.remove()
        assert isinstance(answer, CancelledError)
        return len(begun)

    def _pipeline(self, kind: Any, name: str) -> Any:
        return kind.from_pretrained(self._models / "checkpoints" / name, local_files_only=True)

    def _controlled(self, pipeline: Any, model: str, names: list[str]) -> int:
        networks = [ControlNetModel.from_pretrained(self._models / "controlnets" / name) for name in names]
        controlled = AutoPipelineForText2Image.from_pipe(
            pipeline, controlnet=networks if len(networks) > 1 else networks[0]
        )
        controls = [{"name": name, "weight": 0.7, "start": 0.0, "end": 0.8} for name in names]
        return self._apart(controlled, "Euler", 5.0, model=model, controls=controls)

    def _apart(self, pipeline: Any, sampler: str, guidance: float, *, masked: bool = False, **asked: Any) -> int:
        """The largest difference between the pictures of both.

        Args:
            pipeline: diffusers' own.
            sampler: By its usual name.
            guidance: The guidance scale.
            masked: Whether only what the mask covers is drawn.
            asked: Further fields of our request; what they are to the pipeline follows from them.
        """
        pipeline.set_progress_bar_config(disable=True)
        found = samplers.find(sampler)
        assert found is not None
        pipeline.scheduler = samplers.build(found, pipeline.scheduler.config)
        options = self._options(asked, masked)
        theirs = pipeline(
            PROMPT,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(SEED)],
            output_type="np",
            **options,
        ).images
        ours = self._draw({"sampler": sampler, "guidance_scale": guidance, **asked}, masked)
        columns = CHANGED if masked else slice(None)
        apart = np.abs(ours.astype(int) - (theirs * 255).round().astype(int))
        return int(apart[:, :, columns].max())

    def _options(self, asked: dict[str, Any], masked: bool) -> dict[str, Any]:
        """What the fields of our request are to diffusers."""
        options: dict[str, Any] = {name: asked[name] for name in ("strength", "negative_prompt") if name in asked}
        if "strength" in asked:
            options["image"] = Image.fromarray(self._picture)
        if masked:
            options |= {"mask_image": Image.fromarray(self._mask), "width": 64, "height": 64}
        if controls := asked.get("controls"):
            pictures = [Image.fromarray(self._edges)] * len(controls)
            scales = [control["weight"] for control in controls]
            several = len(controls) > 1
            options |= {
                "image": pictures if several else pictures[0],
                "controlnet_conditioning_scale": scales if several else scales[0],
                "control_guidance_end": controls[0]["end"],
            }
        return options

    def _draw(self, asked: dict[str, Any], masked: bool) -> Any:
        request = {"task": "draw", "model": "small", "prompt": PROMPT, "seeds": [SEED], "steps": STEPS, **asked}
        inputs: dict[str, Any] = {"request": [json.dumps(request).encode()]}
        if "strength" in asked:
            inputs["image"] = self._picture
        if masked:
            inputs["mask"] = self._mask
        if controls := asked.get("controls"):
            inputs["control_images"] = np.stack([self._edges] * len(controls))
        (answer,) = self._ours.answer([Request(inputs, lambda: False)])
        if isinstance(answer, Exception):
            raise answer
        return answer["images"]


if __name__ == "__main__":
    both = Both(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"apart": dict(both.differences()), "steps": both.given_up()}) + "\n")
