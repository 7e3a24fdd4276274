"""Asks the diffusion model as the image service does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.mesh.triton import Tensor, Triton

Picture = NDArray[np.uint8]
WITHIN = 300  # seconds that a machine with other things to do may take


class Event(NamedTuple):
    """Something that the model said."""

    said: dict[str, Any]
    images: Picture | None


def inputs(
    *, image: Picture | None = None, mask: Picture | None = None, control_images: Picture | None = None, **asked: Any
) -> dict[str, Tensor]:
    """The tensors of a request; a small drawing where nothing else is said."""
    request = {"task": "draw", "prompt": "a red circle", "seeds": [1], "steps": 4, "sampler": "Euler", **asked}
    pictures = {"image": image, "mask": mask, "control_images": control_images}
    given: dict[str, Tensor] = {name: value for name, value in pictures.items() if value is not None}
    return {"request": [json.dumps(request).encode()], **given}


async def events(client: Triton, **asked: Any) -> AsyncIterator[Event]:
    """All that the model says to a request; see `inputs`."""
    async for answer in client.stream("diffusion", inputs(**asked), within=WITHIN):
        yield Event(json.loads(answer["event"][0]), answer.get("images"))


async def draw(client: Triton, **asked: Any) -> Picture:
    """The pictures of a request, [n, height, width, 3]."""
    *_, last = [event async for event in events(client, **asked)]
    assert last.said["event"] == "images"
    assert last.images is not None
    return last.images


async def catalog(client: Triton) -> dict[str, Any]:
    """What there is to draw with."""
    (only,) = [event async for event in events(client, task="catalog")]
    return only.said


def apart(one: Picture, other: Picture) -> int:
    """The largest difference between two pictures in any of their numbers."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())
