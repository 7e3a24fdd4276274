"""Tells callers how far their pictures are, and what they look like so far."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from triton_models.shared.diffusion.batches import Wanted
from triton_models.shared.wire import Array, strings

EVERY = 0.1  # seconds between two messages about progress, at least: each passes three processes and a network


class Step(NamedTuple):
    """What is known after a step."""

    number: int
    """1 to `of`."""
    of: int
    rows: Sequence[int]
    """The numbers of the rows that are still drawn."""
    preview: Callable[[int], Array]
    """Of a row: roughly what it will look like, uint8 [height, width, 3], possibly smaller."""


class Teller:
    """Tells those whose pictures are drawn together.

    Args:
        wanted: What they asked for.
        owners: For each row, the number of its request.
    """

    def __init__(self, wanted: Sequence[Wanted], owners: Sequence[int]) -> None:
        self._wanted, self._owners = wanted, owners
        self._begun = self._told = time.monotonic()

    def tell(self, step: Step) -> None:
        """Says how far it is, not too often, and shows pictures to those who want to see them now."""
        now = time.monotonic()
        left = (now - self._begun) / step.number * (step.of - step.number)
        due = step.number in (1, step.of) or now - self._told >= EVERY
        self._told = now if due else self._told
        for number in dict.fromkeys(self._owners[row] for row in step.rows):
            one = self._wanted[number]
            if due:
                _say(one, {"event": "progress", "step": step.number, "steps": step.of, "seconds_left": round(left, 3)})
            interval = one.draw.preview_interval
            if interval and step.number % interval == 0 and step.number < step.of:
                pictures = [step.preview(row) for row in step.rows if self._owners[row] == number]
                _say(one, {"event": "preview", "step": step.number, "steps": step.of}, images=np.stack(pictures))


def _say(one: Wanted, event: Mapping[str, Any], **tensors: Array) -> None:
    one.request.part({"event": strings([json.dumps(event)]), **tensors})
