"""The diffusion model as its worker runs it: reads requests, has loaded what they need, draws them together."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

# Before anything reads it: a checkpoint that lacks a file is an error here, nothing to be fetched.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch

from triton_models.shared.diffusion import batches, configuration, memory, request, samplers
from triton_models.shared.diffusion.batches import Wanted
from triton_models.shared.diffusion.denoise import Drawing, Row, Task
from triton_models.shared.diffusion.library import Library
from triton_models.shared.diffusion.painter import Painter
from triton_models.shared.diffusion.progress import Teller
from triton_models.shared.errors import CancelledError, InputError, UnsupportedError
from triton_models.shared.torch_device import choose
from triton_models.shared.wire import Array, strings
from triton_models.shared.worker_process import Answer, Request

NICE = 5  # a drawing takes all cores for seconds: speech, which shares them, comes first
BUDGET = "60%"  # of the memory, for weights that stay loaded, where the setting does not say


class Diffusion:
    """Draws with what is on the shelf.

    Args:
        parameters: `name`, `model_directory`, `device`, `memory`, `default_model`, `largest` and `pixels`, as in
            config.pbtxt.

    Raises:
        ValueError: a parameter makes no sense.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._device, dtype = choose(parameters.get("device", ""))
        if self._device.type == "cpu":
            os.nice(NICE)
        total = memory.ram().total if self._device.type == "cpu" else torch.cuda.mem_get_info(self._device)[1]
        budget = memory.parse(parameters.get("memory") or BUDGET, total)
        self._limits = configuration.limits(parameters)
        self._library = Library(
            configuration.shelf(parameters), parameters.get("default_model", ""), budget, self._device, dtype
        )

    def state(self) -> dict[str, Any]:
        """See `worker_process.Telling`: what the catalog says besides what is on disk."""
        cuda = None
        if self._device.type == "cuda":
            cuda = memory.Memory(*torch.cuda.mem_get_info(self._device)).told()
        library = self._library
        return {"loaded": library.loaded, "faults": dict(library.faults), "sha256": dict(library.digests), "cuda": cuda}

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """See `worker_process.Model`."""
        answers: list[Answer] = [CancelledError()] * len(requests)
        wanted: dict[int, Wanted] = {}
        with torch.inference_mode():
            for number, one in enumerate(requests):
                try:
                    if request.task(one.inputs) == "unload":
                        answers[number] = self._unload(one)
                    else:
                        wanted[number] = self._read(one)
                except (InputError, UnsupportedError) as error:
                    answers[number] = error
            for numbers in batches.together(wanted, self._limits.pixels):
                for number, answer in zip(numbers, self._draw([wanted[n] for n in numbers]), strict=True):
                    answers[number] = answer
        return answers

    def _unload(self, one: Request) -> Answer:
        name = str(request.field(one.inputs, "model") or "")
        self._library.unload(name)
        return {"event": strings([json.dumps({"event": "unloaded", "model": name})])}

    def _read(self, one: Request) -> Wanted:
        """A request with what it leaves to the model, which is loaded. Raises InputError, UnsupportedError."""
        asked = request.draw(one.inputs, self._limits)
        checkpoint = self._library.find(asked.model)
        sampler = samplers.find(asked.sampler or checkpoint.sampler)
        if sampler is None:
            names = ", ".join(known.name for known in samplers.SAMPLERS)
            raise InputError(f"sampler: there is no {asked.sampler!r}; there are {names}")
        asked = request.sized(asked, checkpoint.size, self._limits)
        asked = dataclasses.replace(asked, model=checkpoint.name, steps=asked.steps or checkpoint.steps)
        guidance = checkpoint.guidance_scale if asked.guidance_scale is None else asked.guidance_scale
        painter = self._library.load(checkpoint).painter
        return Wanted(one, asked, sampler, guidance, painter.truncates(asked.prompt))

    def _draw(self, wanted: Sequence[Wanted]) -> Sequence[Answer]:
        """Draws requests of one kind; what is wrong with their LoRAs or ControlNets is wrong with all of them."""
        first = wanted[0].draw
        try:
            loaded = self._library.load(self._library.find(first.model))
            controls = self._library.controlnets(first, loaded.painter)
            loaded.adapters.use(first.loras, self._library.shelf.loras() if first.loras else {})
            strength = first.strength if first.image is not None else 1.0
            task = Task(first.width, first.height, first.steps, wanted[0].sampler, strength, first.clip_skip, controls)
            drawn, owners = self._drawn(loaded.painter, task, wanted)
        except InputError as error:
            return [error] * len(wanted)
        pictures: list[list[Array | None]] = [[] for _ in wanted]
        for row, picture in drawn.items():
            pictures[owners[row]].append(picture)
        return [_answer(one, found, loaded.sha256) for one, found in zip(wanted, pictures, strict=True)]

    def _drawn(
        self, painter: Painter, task: Task, wanted: Sequence[Wanted]
    ) -> tuple[Mapping[int, Array | None], Sequence[int]]:
        """The pictures of rows, and for each row the number of its request.

        Raises:
            InputError: something does not fit: steps to the sampler, or a lone request's pictures to the GPU's memory.
            torch.OutOfMemoryError: several requests' pictures do not fit; each may alone.
        """
        owners = [number for number, one in enumerate(wanted) for _ in one.draw.seeds]
        rows = [_row(one, seed) for one in wanted for seed in one.draw.seeds]
        try:
            drawing = Drawing(painter, task, rows)
            told = Teller(wanted, owners).tell
            return drawing.run(lambda row: wanted[owners[row]].request.cancelled(), told), owners
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(wanted) > 1:
                raise
            size = f"{len(rows)} of {task.width}x{task.height} pixels"
            raise InputError(f"seeds: {size} do not fit into the GPU's memory; ask for fewer or smaller ones") from None


def _row(one: Wanted, seed: int) -> Row:
    draw = one.draw
    return Row(draw.prompt, draw.negative_prompt, one.guidance_scale, seed, draw.image, draw.mask, draw.control_images)


def _answer(one: Wanted, drawn: Sequence[Array | None], sha256: str) -> Answer:
    """What a request is answered.

    Args:
        one: The request.
        drawn: Its pictures; none where its caller gave up, None for one that failed.
        sha256: Of the checkpoint.
    """
    if not drawn:
        return CancelledError()
    pictures = [picture for picture in drawn if picture is not None]
    if len(pictures) < len(drawn):
        return InputError(
            f"model: {one.draw.model!r} drew nothing: its numbers overflowed. Another sampler, a smaller guidance "
            "scale or weaker LoRAs may help; a model that always does this is broken"
        )
    said = {
        "event": "images",
        "seeds": one.draw.seeds,
        "model": one.draw.model,
        "width": one.draw.width,
        "height": one.draw.height,
        "steps": one.draw.steps,
        "guidance_scale": one.guidance_scale,
        "sampler": one.sampler.name,
        "model_sha256": sha256,
        "truncated": one.truncated,
    }
    return {"event": strings([json.dumps(said)]), "images": np.stack(pictures)}
