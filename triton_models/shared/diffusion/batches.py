"""Which requests are drawn together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import NamedTuple

from triton_models.shared.diffusion.request import Draw
from triton_models.shared.diffusion.samplers import Sampler
from triton_models.shared.worker_process import Request


class Wanted(NamedTuple):
    """A request with what was left to the model."""

    request: Request
    draw: Draw
    """Model, size and steps are filled in."""
    sampler: Sampler
    guidance_scale: float
    truncated: bool
    """Whether the prompt is longer than the text encoder reads."""

    @property
    def pixels(self) -> int:
        """Of all its pictures."""
        return len(self.draw.seeds) * self.draw.width * self.draw.height

    @property
    def kind(self) -> Hashable:
        """The same for all that can be drawn together: prompts, seeds, pictures and guidance scales may differ."""
        draw = self.draw
        return (
            *(draw.model, draw.width, draw.height, draw.steps, self.sampler.name, self.guidance_scale > 1),
            *(draw.loras, draw.controls, draw.strength, draw.clip_skip, draw.image is None, draw.mask is None),
        )


def together(wanted: Mapping[int, Wanted], pixels: int) -> Iterator[list[int]]:
    """The numbers of requests of one kind, as many at a time as there are pixels for.

    Args:
        wanted: Requests by number.
        pixels: How many are drawn together at most; one request may have more.
    """
    kinds: dict[Hashable, list[int]] = {}
    for number, one in wanted.items():
        kinds.setdefault(one.kind, []).append(number)
    for numbers in kinds.values():
        batch: list[int] = []
        for number in numbers:
            if batch and sum(wanted[other].pixels for other in [*batch, number]) > pixels:
                yield batch
                batch = []
            batch.append(number)
        yield batch
