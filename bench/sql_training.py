"""Trains the embedded engine's model on the tuned half of the development databases, and writes it where it is shipped.

Run as ``python -m bench.sql_training [--workers N]``: some ten minutes. A log-linear model over the features of
services.sql.engine.evidence is fitted to the marginal likelihood of the right meanings (Liang, Jordan and Klein 2013)
with L-BFGS; first on what lies one step from the rules' reading, then on what a search by those weights finds. Folds
are by database, so that a search is never guided, nor a confidence judged, by weights that have seen its database.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.sql_candidates import Job, Meaning, Question, collect, grams, merged
from bench.sql_data import half, load
from services.sql.engine.confidence import signals
from services.sql.engine.probe import NO_MATTER
from services.sql.engine.ranking import TRIED, Ranked, Tried, vote

SHIPPED = Path(__file__).resolve().parent.parent / "services" / "sql" / "model.json"
FOLDS = 3
# Searches of all questions, each by the weights of those before it.
ROUNDS = 1
# A feature has to be met with so many databases.
MIN_DATABASES = 3
MIN_GRAM_DATABASES = 4
# Precision of the normal distributions that weights are expected from: of n-grams and contexts, and of structure.
LEXICAL, STRUCTURAL = 5.0, 0.3
# Weights below this are left out of what is shipped.
NEGLIGIBLE = 0.02

Vector = np.ndarray[Any, np.dtype[np.float64]]
Objective = Callable[[Vector], tuple[float, Vector]]


def fold(database: str) -> int:
    """The fold of a database: by a hash, the same every day."""
    return hashlib.sha256(database.encode()).digest()[1] % FOLDS


@dataclass
class Batch:
    """The meanings of many questions as sparse matrices; factors shared by meanings of a question are stored once."""

    factor_features: Any
    """Pairs of a factor and a feature of it, as two rows."""
    meaning_factors: Any
    """Pairs of a meaning and a factor of it, as two rows."""
    meaning_features: Any
    """Pairs of a meaning and a structural feature of it, as two rows."""
    values: Vector
    """Of those structural features."""
    right: Any
    """Whether each meaning is right."""
    starts: Any
    """Index of each question's first meaning."""
    factors: int

    def scores(self, weights: Vector) -> Vector:
        """The score of each meaning."""
        count = len(self.right)
        sums = np.bincount(self.factor_features[0], weights[self.factor_features[1]], minlength=self.factors)
        lexical = np.bincount(self.meaning_factors[0], sums[self.meaning_factors[1]], minlength=count)
        owners, features = self.meaning_features
        return np.asarray(lexical + np.bincount(owners, weights[features] * self.values, minlength=count))

    def loss(self, weights: Vector, precision: Vector) -> tuple[float, Vector]:
        """The negative log posterior of the weights, and its gradient."""
        scores = self.scores(weights)
        owner = np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(scores))))
        masses = np.exp(scores - np.maximum.reduceat(scores, self.starts)[owner])
        total = np.add.reduceat(masses, self.starts)
        good = np.add.reduceat(masses * self.right, self.starts) + 1e-300
        pull = masses / total[owner] - masses * self.right / good[owner]
        of_factors = np.bincount(self.meaning_factors[1], pull[self.meaning_factors[0]], minlength=self.factors)
        size = len(weights)
        gradient = np.bincount(self.factor_features[1], of_factors[self.factor_features[0]], minlength=size)
        owners, features = self.meaning_features
        gradient = gradient + np.bincount(features, pull[owners] * self.values, minlength=size)
        penalty = 0.5 * float((precision * weights * weights).sum())
        return penalty - float(np.log(good / total).sum()), gradient + precision * weights


def batch(questions: Sequence[Question], ids: dict[str, int], tried: bool) -> Batch:
    """The matrices of some questions that have right and wrong meanings; new features get ids.

    Args:
        questions: With their meanings.
        ids: Of features by name; filled in.
        tried: Whether what the rows of a meaning say counts.
    """
    common = _common(questions)
    # Flat arrays: there are some twenty million pairs.
    pairs, links, cells = (array("q"), array("q")), (array("q"), array("q")), (array("q"), array("q"))
    values, right, starts = array("d"), array("b"), array("q")
    factors = 0
    for question in questions:
        if len({meaning.right for meaning in question.meanings}) < 2:
            continue
        starts.append(len(right))
        own: dict[tuple[str, ...], int] = {}
        for factor, names in question.expanded.items():
            own[factor] = factors
            found = [ids.setdefault(name, len(ids)) for name in names if name in common]
            pairs[0].extend([factors] * len(found))
            pairs[1].extend(found)
            factors += 1
        for meaning in question.meanings:
            links[0].extend([len(right)] * len(meaning.factors))
            links[1].extend(own[factor] for factor in meaning.factors)
            for name, value in _structure(meaning, tried).items():
                cells[0].append(len(right))
                cells[1].append(ids.setdefault(name, len(ids)))
                values.append(value)
            right.append(meaning.right)
    factor_features, meaning_factors, meaning_features = (
        np.array([np.asarray(side) for side in part]) for part in (pairs, links, cells)
    )
    return Batch(
        factor_features,
        meaning_factors,
        meaning_features,
        np.asarray(values), np.asarray(right), np.asarray(starts), factors,
    )  # fmt: skip


def _structure(meaning: Meaning, tried: bool) -> Mapping[str, float]:
    if not tried:
        return meaning.structure
    said = {name: value for name, value in meaning.outcome.items() if not name.startswith(NO_MATTER)}
    return {**meaning.structure, **said}


def _common(questions: Iterable[Question]) -> set[str]:
    """The features that are met with enough databases."""
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for question in questions:
        for names in question.expanded.values():
            for name in names:
                seen[name].add(question.database)
    return {name for name, where in seen.items() if len(where) >= MIN_DATABASES}


def fit(questions: Sequence[Question], tried: bool = True) -> dict[str, float]:
    """The weights under which the right meanings are likeliest."""
    ids: dict[str, int] = {}
    matrices = batch(questions, ids, tried)
    precision = np.array([LEXICAL if "|" in name or "@" in name else STRUCTURAL for name in ids])
    weights = minimise(lambda point: matrices.loss(point, precision), np.zeros(len(ids)), 60)
    return {name: round(float(weights[index]), 3) for name, index in ids.items() if abs(weights[index]) >= NEGLIGIBLE}


def minimise(objective: Objective, point: Vector, iterations: int, memory: int = 8) -> Vector:
    """A local minimum by L-BFGS with backtracking (Nocedal and Wright 2006, algorithms 7.4 and 3.1)."""
    value, gradient = objective(point)
    moves: list[tuple[Vector, Vector]] = []
    for _ in range(iterations):
        direction = -_scaled(gradient, moves)
        slope = float(gradient @ direction)
        length = 1.0
        while True:
            there = point + length * direction
            reached, turned = objective(there)
            if reached <= value + 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        step, bend = there - point, turned - gradient
        if float(step @ bend) > 1e-10:
            moves = [*moves, (step, bend)][-memory:]
        done = abs(value - reached) < 1e-5 * abs(value)
        point, value, gradient = there, reached, turned
        if done:
            break
    return point


def _scaled(gradient: Vector, moves: Sequence[tuple[Vector, Vector]]) -> Vector:
    """The gradient times the inverse Hessian that the last moves suggest."""
    if not moves:
        return np.asarray(gradient / max(1.0, 2 * float(np.abs(gradient).max())))
    found, shares = gradient.copy(), []
    for step, bend in reversed(moves):
        shares.append(float(step @ found) / float(bend @ step))
        found -= shares[-1] * bend
    step, bend = moves[-1]
    found *= float(step @ bend) / float(bend @ bend)
    for (step, bend), share in zip(moves, reversed(shares), strict=True):
        found += step * (share - float(bend @ found) / float(bend @ step))
    return np.asarray(found)


def ranking(question: Question, weights: Mapping[str, float]) -> list[tuple[Ranked, Meaning]]:
    """The meanings as services.sql.engine.ranking would rank them by some weights, best first."""
    sums = {factor: sum(weights.get(name, 0.0) for name in names) for factor, names in question.expanded.items()}

    def score(meaning: Meaning, features: Mapping[str, float]) -> float:
        structure = sum(weights.get(name, 0.0) * value for name, value in features.items())
        return structure + sum(sums[factor] for factor in meaning.factors)

    ordered = sorted(question.meanings, key=lambda meaning: -score(meaning, meaning.structure))
    first = {meaning.sql: meaning for meaning in reversed(ordered)}
    chosen = [meaning for meaning in ordered if first[meaning.sql] is meaning][:TRIED]
    tried = [
        Tried(item.candidate, item.sql, score(item, _structure(item, True)), dict(item.outcome), item.same)
        for item in chosen
    ]
    return [(ranked, first[ranked.sql]) for ranked in vote(tried)]


def judged(questions: Sequence[Question], weights: Mapping[str, float]) -> list[tuple[dict[str, float], bool]]:
    """What says how sure the first place of each question is, and whether it is right."""
    found = []
    for question in questions:
        ranked = ranking(question, weights)
        if ranked:
            best = ranked[0][1]
            said = signals([item for item, _ in ranked], question.doubts, question.unknown, best.structure)
            found.append((said, best.right))
    return found


def calibrate(examples: Sequence[tuple[Mapping[str, float], bool]]) -> dict[str, float]:
    """The weights of a logistic regression: how likely a first place is right."""
    names = sorted({name for said, _ in examples for name in said})
    matrix = np.array([[said.get(name, 0.0) for name in names] for said, _ in examples])
    right = np.array([float(good) for _, good in examples])

    def loss(weights: Vector) -> tuple[float, Vector]:
        odds = matrix @ weights
        penalty = 0.5 * float(weights @ weights)
        value = float(np.logaddexp(0.0, odds).sum() - right @ odds) + penalty
        return value, np.asarray(matrix.T @ (1.0 / (1.0 + np.exp(-odds)) - right) + weights)

    weights = minimise(loss, np.zeros(len(names)), 200)
    return {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}


def _jobs(
    rows: Mapping[str, Sequence[dict[str, Any]]], by_fold: Sequence[Mapping[str, float]], known: frozenset[str],
    beam: bool, meanings: int,
) -> list[Job]:  # fmt: skip
    ordered = sorted(rows, key=lambda name: -len(rows[name]))
    return [Job(name, rows[name], by_fold[fold(name)], known, beam, meanings) for name in ordered]


def _without_each(questions: Sequence[Question], tried: bool) -> list[dict[str, float]]:
    """Weights for each fold, fitted on the others."""
    return [fit([item for item in questions if fold(item.database) != number], tried) for number in range(FOLDS)]


def _share(flags: Sequence[bool]) -> str:
    return f"{sum(flags) / len(flags):.1%}" if flags else "none"


def main() -> None:
    """Trains and writes the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit", type=int, help="so many questions, spread evenly")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in load("spider_train_devpool.jsonl", arguments.limit):
        if half(row["db"]) == "tuned":
            rows[row["db"]].append(row)
    known = grams(rows, MIN_GRAM_DATABASES)
    rounds = [collect(_jobs(rows, [{}] * FOLDS, known, False, 50), arguments.workers)]
    for number in range(ROUNDS):
        guides = _without_each(merged(rounds), False)
        rounds.append(collect(_jobs(rows, guides, known, True, 40), arguments.workers))
        reach = [any(meaning.right for meaning in question.meanings) for question in rounds[-1]]
        print(f"round {number + 1}: {len(reach)} questions, a right meaning among the first 40: {_share(reach)}")
    questions = merged(rounds)
    examples = []
    for number, weights in enumerate(_without_each(questions, True)):
        part = [item for item in rounds[-1] if fold(item.database) == number]
        examples += judged(part, weights)
    print(f"right by weights that have not seen the database: {_share([good for _, good in examples])}")
    model = {"weights": dict(sorted(fit(questions).items())), "confidence": calibrate(examples)}
    arguments.out.write_text(json.dumps(model, separators=(",", ":"), ensure_ascii=False) + "\n")
    print(f"{len(model['weights'])} weights in {arguments.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
