"""Which of the possible meanings of a question was meant: they are tried on the database and vote by what they give."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from services.sql.engine.model import Model
from services.sql.engine.probe import outcome
from services.sql.engine.search import Candidate
from services.sql.meaning.builder import Builder, Unbuildable
from services.sql.meaning.frame import Frame
from services.sql.query import PROBED_ROWS, Probe, Untried

# Meanings that are tried out, the likeliest first, and those that may fail on the way.
TRIED = 12
MOST_TRIED = 24


@dataclass(frozen=True)
class Tried:
    """A meaning with its statement, tried out or not."""

    candidate: Candidate
    sql: str
    score: float
    """Evidence and what its rows say together: an unnormalised log probability."""
    outcome: dict[str, float]
    """What its rows say; empty where it was not tried out."""
    same: Hashable
    """The same for statements that give the same."""


@dataclass(frozen=True)
class Ranked:
    """A meaning with its place among others."""

    frame: Frame
    sql: str
    probability: float
    """Among the meanings that were tried."""
    agreement: float
    """The probability of all meanings that give the same rows."""
    outcome: dict[str, float]
    """What its rows say; empty where it was not tried out."""
    steps: int
    """How far it lies from what the rules read."""


def rank(candidates: Sequence[Candidate], builder: Builder, model: Model, probe: Probe | None) -> list[Ranked]:
    """The meanings that make a statement, best first.

    Args:
        candidates: What a search found, the likeliest first.
        builder: Makes the statements.
        model: The weights.
        probe: Tries statements out; None: nothing is tried.
    """
    found: dict[str, Tried] = {}
    for candidate in candidates[:MOST_TRIED]:
        try:
            sql = builder.build(candidate.frame)
        except Unbuildable:
            continue
        if sql in found:
            continue
        if probe is None or (rows := probe(sql)) is Untried.UNTRIED:
            found[sql] = Tried(candidate, sql, candidate.score, {}, sql)
        elif rows is not None:
            said = outcome(rows[:PROBED_ROWS], candidate.frame)
            score = candidate.score + model.sum(said)
            found[sql] = Tried(candidate, sql, score, said, same(rows, candidate.frame))
        if len(found) == TRIED:
            break
    return vote(list(found.values()))


def vote(tried: Sequence[Tried]) -> list[Ranked]:
    """Meanings that give the same rows stand together: the best of the group that is likeliest together comes first.

    As in minimum-Bayes-risk decoding by execution (Shi et al. 2022).
    """
    if not tried:
        return []
    top = max(item.score for item in tried)
    masses = [math.exp(item.score - top) for item in tried]
    together: defaultdict[Hashable, float] = defaultdict(float)
    for item, mass in zip(tried, masses, strict=True):
        together[item.same] += mass / sum(masses)
    found = [
        Ranked(
            item.candidate.frame, item.sql, mass / sum(masses), together[item.same], item.outcome, item.candidate.steps
        )
        for item, mass in zip(tried, masses, strict=True)
    ]  # fmt: skip
    return sorted(found, key=lambda item: (-item.agreement, -item.probability))


def same(rows: Sequence[Sequence[Any]], frame: Frame) -> Hashable:
    """The same for rows that say the same; their order counts where one is asked for."""
    cells = [tuple(map(str, row)) for row in rows[:PROBED_ROWS]]
    return tuple(cells) if frame.order is not None else tuple(sorted(cells))
