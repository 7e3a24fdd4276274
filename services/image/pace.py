"""How long drawing takes here, learned from what was drawn."""

from __future__ import annotations

from typing import NamedTuple

WEIGHT = 0.3
"""Of the latest measurement in the running mean."""
KNOWN = 256
"""How many kinds of work are remembered."""


class Kind(NamedTuple):
    """Work whose steps take the same time."""

    model: str
    pixels: int
    """Of all pictures that are drawn together."""


class Pace:
    """Seconds per step of the kinds of work seen so far."""

    def __init__(self) -> None:
        self._means: dict[Kind, float] = {}

    def measured(self, kind: Kind, seconds: float) -> None:
        """A step of this kind took so long."""
        before = self._means.pop(kind, seconds)
        self._means[kind] = before + WEIGHT * (seconds - before)
        if len(self._means) > KNOWN:
            del self._means[next(iter(self._means))]

    def step(self, kind: Kind) -> float | None:
        """Seconds that a step of this kind takes; from the nearest size where it is new, None for a new model."""
        if kind in self._means:
            return self._means[kind]
        near = min(
            (known for known in self._means if known.model == kind.model),
            key=lambda known: abs(known.pixels - kind.pixels),
            default=None,
        )
        return None if near is None else self._means[near] * kind.pixels / near.pixels
