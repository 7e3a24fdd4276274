"""Which operations a question asks for, by its words: a small model that was learned once and is shipped.

For each operation of a statement (sketch.py) there is a logistic regression over the words and pairs of
neighbouring words of a question. Only words that many databases share take part, so it says nothing about any one
database. `python -m bench.sql_examples_training` learns it anew and writes examples.json.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from services.sql.language.phrases import Word
from services.sql.language.words import listed

MODEL = Path(__file__).with_name("examples.json")
# No single operation may rule a statement out.
_FLOOR = 0.02
_NUMBERS = frozenset(
    listed("many much number numbers count counts counted total amount quantity often frequency times sum")
)

NEGATIVE = frozenset(listed("not no never without neither nor none"))
_DENIALS = frozenset({"not", "neq", "except"})


def features(words: Sequence[Word]) -> set[str]:
    """What the model sees of a question."""
    plain = ["#" if word.number is not None else word.folded for word in words]
    padded = ["^", *plain, "$"]
    joined = [f"{left} {right}" for left, right in itertools.pairwise(padded)]
    commas = f"n{min(len(plain) // 4, 6)}"
    return {*plain, *joined, commas}


def asks_how_many(words: Sequence[Word]) -> bool:
    """Whether words say `how many`."""
    return any((left.folded, right.folded) == ("how", "many") for left, right in itertools.pairwise(words))


def asks_number(words: Sequence[Word]) -> bool:
    """Whether any word may ask for a number of things."""
    return any(word.folded in _NUMBERS for word in words)


def denies(words: Sequence[Word]) -> bool:
    """Whether words say that something is not so."""
    return any(word.folded in NEGATIVE for word in words)


@cache
def model() -> Mapping[str, Any]:
    """The shipped model: `cues` and `ranking`."""
    found: Mapping[str, Any] = json.loads(MODEL.read_text())
    return found


def likelihoods(words: Sequence[Word], weights: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, float]:
    """How likely each operation is in a statement that answers the question, from 0 to 1."""
    chosen = model()["cues"] if weights is None else weights
    present = features(words)
    found: dict[str, float] = {}
    for operation, table in chosen.items():
        total = table.get("", 0.0) + sum(table[feature] for feature in present if feature in table)
        found[operation] = 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
    return found


def disagrees(words: Sequence[Word], operations: Collection[str]) -> bool:
    """Whether only one of a question and a statement denies something."""
    return denies(words) != bool(_DENIALS & set(operations))


def fit(likely: Mapping[str, float], operations: Collection[str]) -> float:
    """The mean log-likelihood of a statement's operations, from ln(0.02) to 0."""
    if not likely:
        return 0.0
    total = 0.0
    for operation, chance in likely.items():
        total += math.log(max(_FLOOR, chance if operation in operations else 1 - chance))
    return total / len(likely)
