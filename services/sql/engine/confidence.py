"""How sure an answer is: a calibrated probability that the first of the ranked meanings is right.

A logistic regression over a handful of features, fitted on questions whose databases the ranking was not trained on
(Platt 1999).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from services.sql.engine.ranking import Ranked


def signals(ranked: Sequence[Ranked], doubts: int, unknown: int, structure: Mapping[str, float]) -> dict[str, float]:
    """What says how sure a ranking is, by name.

    Args:
        ranked: The meanings, best first; at least one.
        doubts: How many words the rules found nothing to do with.
        unknown: How many words stand for nothing known.
        structure: The structural features of the best meaning, see Evidence.taken_apart.
    """
    best = ranked[0]
    others = [item for item in ranked if item.agreement != best.agreement]
    margin = best.agreement - (others[0].agreement if others else 0.0)
    found = {
        "": 1.0,
        "agreement": best.agreement,
        "log agreement": math.log(max(best.agreement, 1e-3)),
        "margin": margin,
        "probability": best.probability,
        "read by rules": float(best.steps == 0),
        "steps": float(best.steps),
        "doubts": float(min(doubts, 3)),
        "doubted": float(doubts > 0),
        "unknown words": float(min(unknown, 4)),
        "not tried": float(not best.outcome),
        "gives nothing": float(any(name.startswith("gives nothing") for name in best.outcome)),
        "gives unknowns": float("gives only unknowns" in best.outcome or "gives an unknown column" in best.outcome),
        "unheard": sum(value for name, value in structure.items() if name.startswith("unheard")),
        "unsaid": sum(value for name, value in structure.items() if name.startswith("unsaid")),
        "unasked": sum(value for name, value in structure.items() if name.startswith("unasked")),
    }
    for name in ("joins", "conditions", "columns", "link lack", "link gap", "tables between", "tables not named"):
        found[name] = structure.get(name, 0.0)
    frame = best.frame
    found["groups"] = float(bool(frame.groups))
    found["order"] = float(frame.order is not None)
    found["sets"] = float(bool(frame.sets or frame.without))
    found["distinct"] = float(frame.distinct)
    return found


def confidence(weights: Mapping[str, float], found: Mapping[str, float]) -> float:
    """The probability that the first meaning is right."""
    odds = sum(weights.get(name, 0.0) * value for name, value in found.items())
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))
