"""Draws pictures together: from noise, from a picture, inside a mask, along what ControlNets see.

The loop is that of diffusers' pipelines (StableDiffusionPipeline and its variants for pictures, masks and ControlNets),
and gives the same pictures; it is here once for all of them, because rows of a batch may be dropped between two steps:
those whose callers gave up.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from triton_models.shared.diffusion import samplers
from triton_models.shared.diffusion.painter import Painter, Prompts
from triton_models.shared.diffusion.progress import Step
from triton_models.shared.diffusion.request import Control
from triton_models.shared.errors import InputError
from triton_models.shared.wire import Array

PREVIEW = 32  # numbers of a latent on a side; larger ones are shrunk before they are decoded


class Row(NamedTuple):
    """One picture of those that are drawn together."""

    prompt: str
    negative_prompt: str
    guidance_scale: float
    seed: int
    image: Array | None
    mask: Array | None
    control_images: Array | None
    """See `request.Draw`."""


class Task(NamedTuple):
    """What the pictures have in common."""

    width: int
    height: int
    steps: int
    sampler: samplers.Sampler
    strength: float
    clip_skip: int
    controls: Sequence[tuple[Control, Any]]
    """With diffusers' ControlNetModel of each."""


class Drawing:
    """Pictures on their way.

    Args:
        painter: The checkpoint.
        task: What they have in common.
        rows: The pictures.
    """

    def __init__(self, painter: Painter, task: Task, rows: Sequence[Row]) -> None:
        self._painter, self._task, self._rows = painter, task, list(rows)
        self._numbers = list(range(len(rows)))
        # On the CPU, so that a seed gives the same noise on every device and in every batch.
        self._generators = [torch.Generator().manual_seed(row.seed) for row in rows]
        self._scheduler: Any = samplers.build(task.sampler, painter.scheduler)
        try:
            self._scheduler.set_timesteps(task.steps, device=painter.device)
        except ValueError as error:
            raise InputError(f"steps: {task.sampler.name} cannot take {task.steps}: {error}") from None
        self._times = self._scheduler.timesteps[self._skipped() :]
        self._guidance = self._column([row.guidance_scale for row in rows])
        self._prompts = self._told([row.prompt for row in rows], painter.prompts)
        self._negatives: Prompts | None = None
        if rows[0].guidance_scale > 1:
            self._negatives = self._told([row.negative_prompt for row in rows], painter.negatives)
        self._paced: Any = None
        self._hints = [
            self._pictures([row.control_images[number] for row in rows if row.control_images is not None], signed=False)
            for number in range(len(task.controls))
        ]
        self._start()

    def run(self, gone: Callable[[int], bool], told: Callable[[Step], None]) -> dict[int, Array | None]:
        """Draws.

        Args:
            gone: Whether nobody waits any more for the row of this number; asked before every step.
            told: Takes what is known after each step.

        Returns:
            The picture of each row that is still wanted, by its number: uint8 [height, width, 3]; None where the
            model's numbers overflowed.
        """
        steps, said = min(len(self._times), self._steps()), 0
        for number, time in enumerate(self._times):
            self._keep([place for place, row in enumerate(self._numbers) if not gone(row)])
            if not self._numbers:
                return {}
            self._step(number, time)
            self._pace()
            # Some samplers evaluate the model more often than they have steps.
            before, said = said, math.ceil((number + 1) * steps / len(self._times))
            if said > before:
                told(Step(said, steps, list(self._numbers), self._preview))
        self._keep([place for place, row in enumerate(self._numbers) if not gone(row)])
        return self._decoded()

    def _steps(self) -> int:
        """How many steps a caller is told that there are."""
        begun = self._task.strength < 1 and self._rows[0].image is not None
        return self._begun() if begun else self._task.steps

    def _begun(self) -> int:
        """The steps that a picture is drawn anew with."""
        return max(1, min(int(self._task.steps * self._task.strength), self._task.steps))

    def _skipped(self) -> int:
        """The times before the one that a picture's noise is of; all are gone through without a picture."""
        if self._rows[0].image is None:
            return 0
        skipped = (self._task.steps - self._begun()) * int(self._scheduler.order)
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(skipped)
        return skipped

    def _told(self, texts: Sequence[str], encode: Callable[..., Prompts]) -> Prompts:
        """What the U-Net is told of texts; each different one is read once."""
        different = list(dict.fromkeys(texts))
        found = encode(different, self._task.clip_skip, self._task.width, self._task.height)
        return found.rows([different.index(text) for text in texts])

    def _pace(self) -> None:
        """Stays at most one step ahead of a GPU: else all steps would be on their way when a caller gives up."""
        if self._painter.device.type != "cuda":
            return
        before, self._paced = self._paced, torch.cuda.Event()
        self._paced.record()
        if before is not None:
            before.synchronize()

    def _start(self) -> None:
        """Makes the first latents, and for masks what is put back after every step."""
        painter, rows, scale = self._painter, self._rows, self._painter.scale
        shape = (len(rows), painter.channels, self._task.height // scale, self._task.width // scale)
        self._mask: Any = None
        self._kept: Any = None
        self._beside: Any = None
        inpainting = painter.unet.config.in_channels > painter.channels
        images, masks = [row.image for row in rows], [row.mask for row in rows]
        from_picture = images[0] is not None and (self._task.strength < 1 or masks[0] is None)
        if from_picture or (masks[0] is not None and not inpainting):
            self._kept = painter.encode(self._pictures(images), self._generators)
        self._noise = randn_tensor(shape, generator=self._generators, device=painter.device, dtype=painter.dtype)
        if from_picture:
            self._latents = self._scheduler.add_noise(self._kept, self._noise, self._times[:1].repeat(len(rows)))
        else:
            self._latents = self._noise * self._scheduler.init_noise_sigma
        if inpainting:
            self._beside = self._hidden(shape)
        elif masks[0] is not None:
            self._mask = self._small(masks, shape[-2:])

    def _hidden(self, shape: tuple[int, ...]) -> torch.Tensor:
        """What an inpainting checkpoint sees besides the latents: the mask, and the picture without what it covers."""
        everything = np.full((self._task.height, self._task.width), 255, np.uint8)
        nothing = np.full((self._task.height, self._task.width, 3), 127, np.uint8)
        masks = [everything if row.mask is None else row.mask for row in self._rows]
        images = [nothing if row.mask is None or row.image is None else row.image for row in self._rows]
        shown = torch.from_numpy(np.stack(masks) < 128)[:, None].to(self._painter.device)
        latents = self._painter.encode(self._pictures(images) * shown, self._generators)
        return torch.cat([self._small(masks, shape[-2:]), latents], dim=1)

    def _small(self, masks: Sequence[Any], size: tuple[int, ...]) -> torch.Tensor:
        """Masks in the size of latents: 1 is drawn anew."""
        full = torch.from_numpy(np.stack(masks)).float()[:, None] / 255
        return torch.nn.functional.interpolate(full, size, mode="area").to(self._painter.device, self._painter.dtype)

    def _pictures(self, images: Sequence[Any], *, signed: bool = True) -> torch.Tensor:
        """Pictures as the networks see them: [rows, 3, height, width], −1 to 1, or 0 to 1."""
        levels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        levels = levels * 2 - 1 if signed else levels
        return levels.to(self._painter.device, self._painter.dtype)

    def _column(self, values: Sequence[float]) -> torch.Tensor:
        """A number for each row, as it is multiplied with latents."""
        return torch.tensor(values, device=self._painter.device, dtype=self._painter.dtype).view(-1, 1, 1, 1)

    def _step(self, number: int, time: torch.Tensor) -> None:
        """From one time to the next."""
        self._before = self._scheduler.scale_model_input(self._latents, time), time
        predicted = self._predict(number, *self._before)
        self._predicted = predicted
        options = {"generator": self._generators} if "generator" in _accepted(self._scheduler.step) else {}
        self._latents = self._scheduler.step(predicted, time, self._latents, **options, return_dict=False)[0]
        if self._mask is not None:
            self._put_back(number)

    def _predict(self, number: int, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """What the U-Net says, led by the prompts."""
        seen = self._twice(latents)
        prompts = self._prompts if self._negatives is None else self._prompts.after(self._negatives)
        conditions = {"encoder_hidden_states": prompts.states, "added_cond_kwargs": prompts.added}
        control = self._control(number, seen, time, conditions)
        if self._beside is not None:
            seen = torch.cat([seen, self._twice(self._beside)], dim=1)
        predicted = self._painter.unet(seen, time, **conditions, **control, return_dict=False)[0]
        if self._negatives is None:
            return predicted
        without, led = predicted.chunk(2)
        return without + self._guidance * (led - without)

    def _twice(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows as the networks see them: once without the prompt, where that leads, and once with it."""
        return rows if self._negatives is None else torch.cat([rows] * 2)

    def _control(
        self, number: int, latents: torch.Tensor, time: torch.Tensor, conditions: dict[str, Any]
    ) -> dict[str, Any]:
        """What the ControlNets add to the U-Net's layers at this step; they add up."""
        down, middle, of = None, None, len(self._times)
        for (control, network), hint in zip(self._task.controls, self._hints, strict=True):
            if number / of < control.start or (number + 1) / of > control.end:
                continue
            residuals, residual = network(
                latents,
                time,
                **conditions,
                controlnet_cond=self._twice(hint),
                conditioning_scale=control.weight,
                return_dict=False,
            )
            down = residuals if down is None else [one + other for one, other in zip(down, residuals, strict=True)]
            middle = residual if middle is None else middle + residual
        if down is None:
            return {}
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def _put_back(self, number: int) -> None:
        """Outside the mask, the picture with as much noise as the next step expects."""
        kept, following = self._kept, self._times[number + 1 : number + 2]
        if len(following):
            kept = self._scheduler.add_noise(kept, self._noise, following.repeat(len(self._latents)))
        self._latents = (1 - self._mask) * kept + self._mask * self._latents

    def _keep(self, places: list[int]) -> None:
        """Goes on with these rows only, of those that are left."""
        count = len(self._numbers)
        if len(places) == count:
            return
        for name in ("_latents", "_noise", "_kept", "_mask", "_beside", "_guidance", "_hints"):
            setattr(self, name, _rows(getattr(self, name), places, count))
        # What it remembers of the steps before, whatever it calls that.
        for name, value in list(vars(self._scheduler).items()):
            setattr(self._scheduler, name, _rows(value, places, count))
        self._prompts = self._prompts.rows(places)
        self._negatives = None if self._negatives is None else self._negatives.rows(places)
        self._numbers = [self._numbers[place] for place in places]
        self._generators = [self._generators[place] for place in places]

    def _decoded(self) -> dict[int, Array | None]:
        """The pictures that are left; outside a mask they are the pictures that were given, to the last bit."""
        if not self._numbers:
            return {}
        sound = torch.isfinite(self._latents).flatten(1).all(1).tolist()
        pictures = self._painter.decode(torch.nan_to_num(self._latents))
        found: dict[int, Array | None] = {}
        for place, number in enumerate(self._numbers):
            row, picture = self._rows[number], pictures[place]
            found[number] = _blended(row.image, picture, row.mask) if sound[place] else None
        return found

    def _preview(self, number: int) -> Array:
        """What the latents of a row would be without their noise, decoded; shrunk where they are large."""
        place = self._numbers.index(number)
        (latents, time), predicted = self._before, self._predicted
        # What goes into the model is scaled alike for all samplers: √ā·picture + √(1−ā)·noise.
        share = self._scheduler.alphas_cumprod.to(latents.device)[int(time.round().clamp(min=0))]
        signal, noise = share.sqrt().to(latents.dtype), (1 - share).sqrt().to(latents.dtype)
        latents, predicted = latents[place : place + 1], predicted[place : place + 1]
        match self._scheduler.config.prediction_type:
            case "v_prediction":
                clean = signal * latents - noise * predicted
            case "sample":
                clean = predicted
            case _:
                clean = (latents - noise * predicted) / signal
        shrink = max(clean.shape[-2:]) / PREVIEW
        if shrink > 1:
            size = [max(1, round(side / shrink)) for side in clean.shape[-2:]]
            clean = torch.nn.functional.interpolate(clean.float(), size, mode="area").to(clean.dtype)
        picture: Array = self._painter.decode(torch.nan_to_num(clean))[0]
        return picture


def _rows(value: Any, places: list[int], count: int) -> Any:
    """Those rows of latents, or of a list of latents; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value[places] if value.ndim == 4 and len(value) == count else value
    if isinstance(value, list):
        return [_rows(one, places, count) for one in value]
    return value


def _blended(image: Array | None, picture: Array, mask: Array | None) -> Array:
    """A picture inside the mask, what was given outside of it."""
    if mask is None or image is None:
        return picture
    share = mask[..., None].astype(np.float32) / 255
    mixed: Array = np.round(image * (1 - share) + picture * share).astype(np.uint8)
    return mixed


def _accepted(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
