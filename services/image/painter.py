"""Carries a plan out: asks the models for what is drawn together, and draws a second time what is to become larger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np

from services.image import infotext, pictures
from services.image.canvas import Canvas
from services.image.drawing import Settings
from services.image.engine import Drawn, Engine, Guide, Sheet, Sketch, Step
from services.image.pace import Kind, Pace
from services.image.pictures import Pixels
from services.image.plan import Plan, larger
from services.image.preprocess import PREPROCESSORS
from services.mesh import usage
from services.mesh.errors import InvalidArgument, rename
from services.mesh.usage import Unit

SETTINGS = (
    *("prompt", "negative_prompt", "model", "width", "height", "steps", "guidance_scale", "sampler"),
    *("loras", "controls", "clip_skip"),
)
REQUEST = {name: f"settings.{name}" for name in SETTINGS} | {"seeds": "settings.seed"}
"""What a model calls what it refuses, and what the request calls it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is painted."""

    plan: Plan
    guides: tuple[Guide, ...]
    canvas: Canvas | None
    preview_interval: int

    @property
    def steps(self) -> int:
        """Steps of each run of the first pass."""
        whole = self.plan.settings.steps
        return whole if self.canvas is None else max(1, int(whole * self.canvas.strength))


@dataclass(frozen=True, slots=True)
class Stroke:
    """A step was made."""

    step: int
    steps: int
    passes: int
    """Runs of the model that are complete, of this batch."""
    seconds: float | None
    """That such a step takes, where it is known."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a picture looks like so far."""

    number: int
    step: int
    image: Pixels


@dataclass(frozen=True, slots=True)
class Finished:
    """A picture is complete."""

    number: int
    image: Pixels
    seed: int
    text: str
    """Its infotext."""


Painted = Stroke | Glimpse | Finished


class Painter:
    """Paints.

    Args:
        engine: The models.
        pace: Learns how long they take.
    """

    def __init__(self, engine: Engine, pace: Pace) -> None:
        self._engine, self._pace = engine, pace

    def expected(self, job: Job) -> float:
        """Seconds that a job will take; 0 where nobody knows."""
        plan, total = job.plan, 0.0
        pixels = plan.settings.width * plan.settings.height
        for batch in plan.batches:
            step = self._pace.step(Kind(plan.model.id, pixels * len(batch)))
            if step is None:
                return 0.0
            total += step * job.steps
        second = plan.settings.second_pass
        if second is not None:
            again = self._pace.step(Kind(plan.model.id, round(pixels * second.scale**2))) or 0.0
            total += again * (second.steps or plan.settings.steps) * second.strength * len(plan.seeds)
        return total

    async def batch(self, job: Job, numbers: range) -> AsyncGenerator[Painted, None]:
        """Paints the pictures that are drawn together. Raises what Engine does, with the request's names of fields."""
        try:
            sheet = self._sheet(job, numbers)
            images, sha256 = _untouched(sheet), ""
            if images is None:
                async with aclosing(self._run(sheet, numbers, 0)) as events:
                    async for event in events:
                        if isinstance(event, Drawn):
                            images, sha256 = event.images, event.model_sha256
                        else:
                            yield event
            if images is None:
                raise RuntimeError("the model ended without pictures")
            for place, number in enumerate(numbers):
                image, seed = images[place], sheet.seeds[place]
                async with aclosing(self._finish(job, sheet, image, seed, number, place + 1)) as rest:
                    async for painted in rest:
                        if isinstance(painted, Finished):
                            painted = replace(painted, text=_text(job, seed, sha256))
                        yield painted
        except InvalidArgument as error:
            rename(error, REQUEST)
            raise

    def _sheet(self, job: Job, numbers: range) -> Sheet:
        settings, canvas = job.plan.settings, job.canvas
        return Sheet(
            model=settings.model,
            prompt=job.plan.words,
            negative_prompt=settings.negative_prompt,
            width=settings.width,
            height=settings.height,
            steps=settings.steps,
            guidance_scale=job.plan.guidance_scale,
            sampler=settings.sampler,
            seeds=tuple(job.plan.seeds[number] for number in numbers),
            loras=settings.loras,
            guides=job.guides,
            clip_skip=settings.clip_skip,
            image=canvas.image if canvas is not None else None,
            mask=canvas.mask if canvas is not None else None,
            strength=canvas.strength if canvas is not None else None,
            preview_interval=job.preview_interval,
        )

    async def _run(self, sheet: Sheet, numbers: range, passes: int) -> AsyncGenerator[Stroke | Glimpse | Drawn, None]:
        """One run of the model."""
        kind = Kind(sheet.model, sheet.width * sheet.height * len(sheet.seeds))
        before: tuple[int, float] | None = None
        done, megapixels = 0, sheet.width * sheet.height * len(sheet.seeds) / 1e6
        async with aclosing(self._engine.draw(sheet)) as events:
            async for event in events:
                if isinstance(event, Step):
                    now = time.monotonic()
                    if before is not None and event.step > before[0]:
                        self._pace.measured(kind, (now - before[1]) / (event.step - before[0]))
                    before = event.step, now
                    usage.add(Unit.MEGAPIXEL_STEPS, (event.step - done) * megapixels, sheet.model)
                    done = max(done, event.step)
                    yield Stroke(event.step, event.steps, passes, self._pace.step(kind))
                elif isinstance(event, Sketch):
                    for number, image in zip(numbers, event.images, strict=False):
                        yield Glimpse(number, event.step, image)
                else:
                    yield event

    async def _finish(
        self, job: Job, sheet: Sheet, image: Pixels, seed: int, number: int, passes: int
    ) -> AsyncGenerator[Painted, None]:
        """A picture after its first pass: put back where the mask lets it be, or drawn a second time."""
        canvas, second = job.canvas, job.plan.settings.second_pass
        if canvas is not None and canvas.mask is not None:
            image = await asyncio.to_thread(pictures.blended, canvas.image, image, canvas.mask)
        if second is not None:
            width, height = larger(sheet.width, second.scale), larger(sheet.height, second.scale)
            enlarged = await self._engine.upscale(image, second.scale, second.upscaler or "Lanczos")
            again = replace(
                sheet,
                width=width,
                height=height,
                steps=second.steps or sheet.steps,
                seeds=(seed,),
                image=await asyncio.to_thread(pictures.resized, enlarged, width, height),
                strength=second.strength,
                guides=tuple(
                    replace(guide, image=pictures.resized(guide.image, width, height)) for guide in sheet.guides
                ),
            )
            image = again.image if again.image is not None else image
            if again.strength:
                async with aclosing(self._run(again, range(number, number + 1), passes)) as events:
                    async for event in events:
                        if isinstance(event, Drawn):
                            image = event.images[0]
                        else:
                            yield event
        yield Finished(number, image, seed, "")


def _untouched(sheet: Sheet) -> Pixels | None:
    """The pictures of an edit that draws nothing anew; None for one that the model is to be asked for."""
    if sheet.image is None or sheet.strength:
        return None
    return np.broadcast_to(sheet.image, (len(sheet.seeds), *sheet.image.shape))


def guides_of(settings: Settings, width: int, height: int, max_pixels: int) -> tuple[Guide, ...]:
    """The ControlNets of a request with their pictures read, brought to the size that is drawn, and prepared.

    Raises:
        InvalidImage: One cannot be read.
    """
    guides = []
    for number, control in enumerate(settings.controls):
        image = pictures.opaque(pictures.read(control.image, f"settings.controls[{number}].image", max_pixels))
        array = pictures.resized(pictures.pixels(image), width, height)
        if control.preprocessor:
            array = PREPROCESSORS[control.preprocessor](array)
        guides.append(Guide(control.name, array, control.weight, control.start, control.end))
    return tuple(guides)


def _text(job: Job, seed: int, sha256: str) -> str:
    """The infotext of a picture."""
    settings, canvas = job.plan.settings, job.canvas
    second = settings.second_pass
    strength = canvas.strength if canvas is not None else second.strength if second is not None else None
    return infotext.written(
        infotext.Making(
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            steps=settings.steps,
            sampler=settings.sampler,
            guidance_scale=job.plan.guidance_scale,
            seed=seed,
            width=settings.width,
            height=settings.height,
            model=settings.model,
            model_sha256=sha256 or job.plan.model.sha256,
            strength=strength,
            clip_skip=settings.clip_skip,
            mask_blur=canvas.mask_blur if canvas is not None and canvas.mask is not None else 0,
            controls=settings.controls,
            second_pass=second,
            lora_hashes=job.plan.lora_hashes,
        )
    )
