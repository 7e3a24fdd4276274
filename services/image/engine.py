"""How the models that make pictures are asked, whatever they run on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from services.image.catalog import Catalog
from services.image.drawing import LoraUse
from services.image.pictures import Pixels


@dataclass(frozen=True, slots=True)
class Guide:
    """A ControlNet with the picture that it follows, prepared and of the size that is drawn."""

    name: str
    image: Pixels
    weight: float
    start: float
    """Share of the steps after which it begins."""
    end: float


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pictures that are drawn together: of one size, by one model, each with its own seed."""

    model: str
    prompt: str
    """Without tags."""
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance_scale: float
    sampler: str
    seeds: tuple[int, ...]
    """One for each picture."""
    loras: tuple[LoraUse, ...] = ()
    guides: tuple[Guide, ...] = ()
    clip_skip: int = 0
    image: Pixels | None = None
    """What is drawn anew, of the size that is drawn."""
    mask: Pixels | None = None
    """Where: 255 anew, 0 stays."""
    strength: float | None = None
    """With `image`: how much of it, from 0 to 1."""
    preview_interval: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """The model went a step further."""

    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Sketch:
    """What the pictures look like so far."""

    step: int
    images: Pixels
    """[n, h, w, 3]; it may be smaller than the pictures."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The pictures; the last event."""

    images: Pixels
    """[n, height, width, 3]."""
    model_sha256: str = ""
    """Of the model's weights, where it is known."""


class Engine(Protocol):
    """What the studio needs of a model server. Errors about inputs name the fields of `Sheet`."""

    def draw(self, sheet: Sheet) -> AsyncGenerator[Step | Sketch | Drawn, None]:
        """Draws. Closing the generator stops the model within a step.

        Raises:
            InvalidArgument: The model refuses the sheet.
            Unavailable: The model server is away, or has no such model; the message says what to do.
        """
        ...

    async def upscale(self, image: Pixels, scale: float, upscaler: str) -> Pixels:
        """A picture enlarged by a factor. Raises InvalidArgument, Unavailable as above."""
        ...

    async def restore(self, image: Pixels, restorer: str) -> Pixels:
        """A picture with its faces restored. Raises Unsupported where nothing is installed that could."""
        ...

    async def catalog(self, *, refresh: bool) -> Catalog:
        """What there is; looked for again where `refresh` is set. Raises Unavailable as above."""
        ...

    async def live(self) -> None:
        """Raises Unavailable while the model server does not answer, whatever it has."""
        ...
