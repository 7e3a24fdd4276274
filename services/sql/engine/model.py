"""The learned weights of the embedded engine, as shipped: `model.json`, made by `python -m bench.sql_training`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

_SHIPPED = Path(__file__).with_name("model.json")


@dataclass(frozen=True)
class Model:
    """What speaks for a meaning, and how sure a first place is."""

    weights: Mapping[str, float]
    """Of features of question and meaning, by name."""
    confidence: Mapping[str, float]
    """Of features of a ranking, by name: log odds that its first place is right."""

    def sum(self, features: Mapping[str, float]) -> float:
        """What features count together."""
        return sum(self.weights.get(name, 0.0) * value for name, value in features.items())

    @cached_property
    def grams(self) -> frozenset[str]:
        """The n-grams that weights are known for."""
        return frozenset(name.partition("|")[2] for name in self.weights if "|" in name)


@cache
def shipped() -> Model:
    """The model that is part of the product."""
    data = json.loads(_SHIPPED.read_text())
    return Model(data["weights"], data["confidence"])
