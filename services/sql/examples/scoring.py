"""Scores candidates by their figures: a small network that was learned once and is shipped.

A linear part with a hidden layer beside it, because figures matter together: that an engine is sure says little where
an example is nearly the same question. `python -m bench.sql_examples_training` learns it; examples.json holds it as
`ranking`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from services.sql.examples import cues

# A figure so many standard deviations from its mean says no more than one nearer to it.
FAR = 6.0


@dataclass(frozen=True)
class Network:
    """What was learned."""

    names: Sequence[str]
    """The figures that it sees."""
    mean: Sequence[float]
    spread: Sequence[float]
    """The standard deviation of each figure."""
    linear: Sequence[float]
    hidden: Sequence[Sequence[float]]
    """The weights of each hidden unit, one for each figure."""
    bias: Sequence[float]
    """Of the hidden units."""
    out: Sequence[float]
    """What each hidden unit adds."""
    none: float
    """The score of no candidate being right."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Network:
        """The network as examples.json has it."""
        return cls(**data)

    def score(self, figures: Mapping[str, float]) -> float:
        """How likely a candidate with these figures is right, as a logarithm without its constant."""
        seen = [
            max(-FAR, min(FAR, (figures.get(name, 0.0) - mean) / spread))
            for name, mean, spread in zip(self.names, self.mean, self.spread, strict=True)
        ]
        total = sum(map(float.__mul__, self.linear, seen))
        for row, bias, out in zip(self.hidden, self.bias, self.out, strict=True):
            total += out * math.tanh(bias + sum(map(float.__mul__, row, seen)))
        return total


@cache
def network() -> Network:
    """The shipped one."""
    return Network.from_json(cues.model()["ranking"])
