"""A model server at the far edge that needs no weights: what it paints follows from the prompt and the seed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator

import numpy as np
from PIL import Image

from services.image.catalog import Catalog, ControlNet, Lora, Memory, Model, Sampler, Upscaler
from services.image.engine import Drawn, Sheet, Sketch, Step
from services.image.pictures import Pixels
from services.mesh.errors import Unavailable

SHA = hashlib.sha256(b"shapes").hexdigest()
CATALOG = Catalog(
    models=(
        Model("shapes", "Shapes", "sd", 64, 8, 4.0, "Euler", loaded=True, sha256=SHA),
        Model("large", "Large", "sd", 128, 10, 7.0, "DPM++ 2M Karras"),
    ),
    loras=(Lora("sketch", "Sketch", 1000),),
    control_nets=(ControlNet("edges", "Edges"),),
    samplers=(
        Sampler("Euler", ("k_euler",)),
        Sampler("Euler a", ("k_euler_a",)),
        Sampler("DPM++ 2M", ("k_dpmpp_2m",)),
        Sampler("DPM++ 2M Karras", ("k_dpmpp_2m_ka",)),
    ),
    upscalers=(Upscaler("Lanczos"), Upscaler("Sharp 4x", 4.0)),
    face_restorers=("GFPGAN",),
    ram=Memory(1, 2, 3),
)


class Brush:
    """An engine that paints one colour, which the prompt and the seed decide.

    Args:
        catalog: What it says that there is.
        delay: Seconds that a step takes.
    """

    def __init__(self, catalog: Catalog = CATALOG, delay: float = 0.0) -> None:
        self.shelf, self.delay = catalog, delay
        self.sheets: list[Sheet] = []
        """What was asked to be drawn."""
        self.restored: list[str] = []
        self.closed = 0
        """Drawings that were stopped half-way."""
        self.breaks_after: int | None = None
        """After how many steps the model server goes away."""
        self.away = False
        """Whether the model server answers nobody."""

    async def draw(self, sheet: Sheet) -> AsyncGenerator[Step | Sketch | Drawn, None]:
        """Its colour, blended into what is edited."""
        self.sheets.append(sheet)
        done = False
        try:
            for step in range(1, sheet.steps + 1):
                await asyncio.sleep(self.delay)
                if self.breaks_after is not None and step > self.breaks_after:
                    raise Unavailable("The model server cannot be reached.")
                yield Step(step, sheet.steps)
                if sheet.preview_interval and step % sheet.preview_interval == 0 and step < sheet.steps:
                    yield Sketch(step, painted(sheet)[:, ::2, ::2])
            done = True
            yield Drawn(painted(sheet), SHA)
        finally:
            self.closed += not done

    async def upscale(self, image: Pixels, scale: float, upscaler: str) -> Pixels:
        """Nearest neighbours."""
        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST))

    async def restore(self, image: Pixels, restorer: str) -> Pixels:
        """A white dot in the middle says that it was done."""
        self.restored.append(restorer)
        restored = image.copy()
        restored[image.shape[0] // 2, image.shape[1] // 2] = 255
        return restored

    async def catalog(self, *, refresh: bool) -> Catalog:
        """What it was told."""
        await self.live()
        return self.shelf

    async def live(self) -> None:
        """Whether it is there."""
        if self.away:
            raise Unavailable("The model server cannot be reached.")


def colour(prompt: str, seed: int) -> tuple[int, int, int]:
    """What a prompt and a seed are painted as."""
    red, green, blue = hashlib.sha256(f"{prompt}/{seed}".encode()).digest()[:3]
    return red, green, blue


def painted(sheet: Sheet) -> Pixels:
    """The pictures of a sheet: [n, height, width, 3]."""
    flat = np.array([colour(sheet.prompt, seed) for seed in sheet.seeds], np.float64)
    images = np.tile(flat[:, None, None], (1, sheet.height, sheet.width, 1))
    if sheet.image is not None:
        share = 1.0 if sheet.strength is None else sheet.strength
        mask = np.full((sheet.height, sheet.width), 255) if sheet.mask is None else sheet.mask
        weight = share * mask[..., None] / 255
        images = images * weight + sheet.image * (1 - weight)
    return images.round().astype(np.uint8)
