"""Searches the meanings of a question: from what the rules read, step by step to what more speaks for."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from services.sql.engine.evidence import IMPOSSIBLE, Evidence
from services.sql.engine.moves import Moves
from services.sql.meaning.frame import Frame

# Meanings that are followed at each step, and the steps that are made.
WIDTH = 4
STEPS = 3


@dataclass(frozen=True)
class Candidate:
    """A meaning that a question may have."""

    frame: Frame
    score: float
    """An unnormalised log probability."""
    steps: int
    """How far it lies from what was read or proposed."""


def search(
    seeds: Iterable[Frame], moves: Moves, evidence: Evidence, width: int = WIDTH, steps: int = STEPS, trust: float = 0.0
) -> list[Candidate]:
    """Meanings, the likeliest first: a beam search from the seeds.

    Args:
        seeds: Completed frames to start from: the rules' reading, or what an example proposes.
        moves: The steps.
        evidence: What the meanings are judged by.
        width: How many meanings each step goes on from.
        steps: How many steps there are at most.
        trust: What speaks for the first seed besides.
    """
    known: dict[Hashable, Candidate] = {}
    for seed in seeds:
        # One that nobody means may still lie beside one that somebody does.
        extra = 0.0 if known else trust
        known.setdefault(seed.key, Candidate(seed, evidence.score(seed) + extra, 0))
    followed: set[Hashable] = set()
    for step in range(1, steps + 1):
        best = heapq.nlargest(width, known.values(), key=lambda found: found.score)
        fresh = [found for found in best if found.frame.key not in followed]
        if not fresh:
            break
        for found in fresh:
            followed.add(found.frame.key)
            for frame in moves.neighbours(found.frame):
                key = frame.key
                if key not in known and frame.tables:
                    score = evidence.score(frame)
                    if score > IMPOSSIBLE:
                        known[key] = Candidate(frame, score + step * evidence.step, step)
    possible = [found for found in known.values() if found.score > IMPOSSIBLE]
    return sorted(possible, key=lambda found: -found.score)
