"""Learns examples.json of services/sql/examples: which words ask for which operations, how candidates rank.

Run as ``python -m bench.sql_examples_training [--out FILE]``; takes some minutes. Reads ../shared/data/sql: of
Spider the databases of the tuned half only (bench/sql_data.py), of GeoQuery the train part. Needs numpy, which the sql
service does not.

Cues: a logistic regression for each operation over words and pairs of words that occur in several databases. For
ranking, those of each half of the databases are learned on the other half, so that they look there as on new ones.
Ranking: a softmax over the candidates of a question and `none`, which a small network scores; the loss is the
log-probability that a right one is drawn. Questions get all other examples of their database, or only some of them, as
young knowledge bases do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.sql_data import DATA, half, load, scorer
from bench.sql_examples import Bench, Task, folds, leave_one_out
from services.sql.examples import cues
from services.sql.examples.examples import ExampleIndex
from services.sql.examples.recall import Candidate, Recall
from services.sql.examples.scoring import FAR

Floats = NDArray[np.float64]
Cues = Mapping[str, Mapping[str, float]]

# Words count that so many databases share; operations that so many statements have.
MIN_DATABASES = 4
MIN_STATEMENTS = 25
SMALLEST_WEIGHT = 0.12
RATE, ROUNDS = 0.05, 300
# The network of the ranking: hidden units, how much its weights are held small, its rate and
# rounds, its first weights.
HIDDEN, SHRINK, RANKING_RATE, RANKING_ROUNDS, SEED = 16, 0.01, 0.02, 200, 0
# Every so many questions of Spider; the others of their database are examples in any case.
STEP = 4
# The part of a question's examples that a young knowledge base has.
YOUNG = 0.25


def side(text: str) -> int:
    """One of two halves, the same every day."""
    return hashlib.sha256(text.encode()).digest()[1] % 2


def adam(start: Floats, gradient: Any, rounds: int, rate: float) -> Floats:
    """Minimises by gradient descent with moments (Kingma and Ba, 2015)."""
    weights, mean, spread = start, np.zeros_like(start), np.zeros_like(start)
    for number in range(1, rounds + 1):
        slope = gradient(weights)
        mean = 0.9 * mean + 0.1 * slope
        spread = 0.999 * spread + 0.001 * slope * slope
        step = (mean / (1 - 0.9**number)) / (np.sqrt(spread / (1 - 0.999**number)) + 1e-8)
        weights = weights - rate * step
    return weights


def learn_cues(bench: Bench, rows: Sequence[dict[str, Any]]) -> Cues:
    """The weights of words by operation; the word "" is the constant."""
    prepared = bench.examples(rows)
    databases = [row["db"] for row in rows]
    seen = [cues.features(item.words) for item in prepared]
    shared: dict[str, set[str]] = defaultdict(set)
    for database, features in zip(databases, seen, strict=True):
        for feature in features:
            shared[feature].add(database)
    names = [*sorted(name for name, where in shared.items() if len(where) >= MIN_DATABASES), ""]
    column = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(rows), len(names)))
    for number, features in enumerate(seen):
        table[number, [column[feature] for feature in features if feature in column] + [column[""]]] = 1
    counts = Counter(operation for item in prepared for operation in item.sketch.operations)
    operations = sorted(operation for operation, count in counts.items() if count >= MIN_STATEMENTS)
    wanted = np.array([[operation in item.sketch.operations for operation in operations] for item in prepared], float)

    def gradient(weights: Floats) -> Floats:
        chance = 1 / (1 + np.exp(-table @ weights))
        slope: Floats = table.T @ (chance - wanted) / len(rows) + 3e-4 * weights
        return slope

    weights = adam(np.zeros((len(names), len(operations))), gradient, ROUNDS, RATE)
    return {
        operation: {
            name: round(float(weights[row, number]), 2)
            for row, name in enumerate(names)
            if abs(weights[row, number]) >= SMALLEST_WEIGHT
        }
        for number, operation in enumerate(operations)
    }


class Lesson(NamedTuple):
    """The candidates of one question and which of them are right."""

    candidates: Sequence[Candidate]
    right: Sequence[bool]


class Judge:
    """Says which statements are right, by the data's own scorer."""

    def __init__(self) -> None:
        self._score = scorer()
        self._known: dict[tuple[str, str], Any] = {}

    def right(self, row: dict[str, Any], sql: str) -> bool:
        """Whether a statement gives what the gold one does."""
        gold, failure = self._run(row["db"], row["gold_sql"])
        found, _ = self._run(row["db"], sql)
        if failure or found is None:
            return False
        return bool(self._score.same(gold, found, self._score.has_outer_order(row["gold_sql"])))

    def _run(self, database: str, sql: str) -> Any:
        key = (database, sql)
        if key not in self._known:
            self._known[key] = self._score.execute(f"{DATA / 'db' / database}.sqlite", sql, 3.0)
        return self._known[key]


def lessons(bench: Bench, tasks: Iterator[Task], weights: Mapping[str, Cues], judge: Judge) -> Iterator[Lesson]:
    """Candidates for every question of tasks; `weights` holds cues by the side of a database, and for all."""
    chance = random.Random(7)
    for task in tasks:
        schema = bench.schema(task.database)
        taught = list(task.taught)
        if chance.random() < YOUNG:
            taught = chance.sample(taught, max(1, int(len(taught) * YOUNG)))
        spider = task.database.startswith("spider/")
        model = weights[str(1 - side(task.database))] if spider else weights["all"]
        recall = Recall(ExampleIndex(schema, bench.examples(taught)), bench.domains(task.database), model)
        for row in task.asked:
            written = bench.written(row)
            found = recall.candidates(row["question"], [(written.sql, written.confidence)] if written else [])
            yield Lesson(found, [judge.right(row, candidate.sql(schema)) for candidate in found])


class Table(NamedTuple):
    """The candidates of all lessons, one row for each, and after those of a lesson one for `none of them`."""

    figures: Floats
    """Candidates by figures, standardised; zeros for `none`."""
    right: Floats
    none: NDArray[np.bool_]
    """Which rows stand for `none`."""
    starts: NDArray[np.intp]
    """The first row of each lesson."""
    owner: NDArray[np.intp]
    """The lesson of each row."""


def learn_ranking(taught: Sequence[Lesson]) -> dict[str, Any]:
    """The network of scoring.py: the log-probability that a right candidate, or `none`, is drawn is made highest."""
    names = sorted({name for lesson in taught for candidate in lesson.candidates for name in candidate.figures})
    # Nothing in the data was reviewed: what that is worth is not learned.
    names.remove("approved")
    plain = np.array(
        [[c.figures.get(name, 0.0) for name in names] for lesson in taught for c in lesson.candidates], float
    )
    mean, spread = plain.mean(axis=0), plain.std(axis=0) + 1e-3
    data = _table(taught, (plain - mean) / spread)
    chance = np.random.default_rng(SEED)
    size = len(names)
    shapes = {"linear": (size,), "hidden": (size, HIDDEN), "bias": (HIDDEN,), "out": (HIDDEN,), "none": (1,)}
    start = {name: np.zeros(shape) for name, shape in shapes.items()}
    start["hidden"] = chance.normal(0, 0.5 / np.sqrt(size), shapes["hidden"])
    start["out"] = chance.normal(0, 0.3 / np.sqrt(HIDDEN), shapes["out"])
    ends = np.cumsum([value.size for value in start.values()])[:-1]

    def parts(flat: Floats) -> dict[str, Floats]:
        return {name: part.reshape(shapes[name]) for name, part in zip(shapes, np.split(flat, ends), strict=True)}

    def gradient(flat: Floats) -> Floats:
        slopes = _slopes(parts(flat), data)
        return np.concatenate([slopes[name].ravel() for name in shapes])

    found = parts(
        adam(np.concatenate([value.ravel() for value in start.values()]), gradient, RANKING_ROUNDS, RANKING_RATE)
    )
    learned = {"mean": mean, "spread": spread, **found, "hidden": found["hidden"].T}
    rounded = {name: np.round(value, 4).tolist() for name, value in learned.items()}
    return {"names": names, **rounded, "none": rounded["none"][0]}


def _table(taught: Sequence[Lesson], figures: Floats) -> Table:
    counts = [len(lesson.candidates) for lesson in taught]
    owner = np.repeat(np.arange(len(taught)), [count + 1 for count in counts])
    ends = np.cumsum([count + 1 for count in counts])
    none = np.zeros(len(owner), bool)
    none[ends - 1] = True
    rows = np.zeros((len(owner), figures.shape[1]))
    rows[~none] = np.clip(figures, -FAR, FAR)
    right = np.array([float(mark) for lesson in taught for mark in [*lesson.right, not any(lesson.right)]])
    return Table(rows, right, none, np.append(0, ends[:-1]), owner)


def _slopes(weights: Mapping[str, Floats], data: Table) -> dict[str, Floats]:
    """The gradient of the loss, with less for large weights."""
    raised = np.tanh(data.figures @ weights["hidden"] + weights["bias"])
    scores = data.figures @ weights["linear"] + raised @ weights["out"]
    scores[data.none] = weights["none"][0]
    likely = np.exp(scores - np.maximum.reduceat(scores, data.starts)[data.owner])
    chance = likely / np.add.reduceat(likely, data.starts)[data.owner]
    hit = chance * data.right
    share = hit / (np.add.reduceat(hit, data.starts)[data.owner] + 1e-12)
    slope = (chance - share) / len(data.starts)
    none = slope[data.none].sum()
    slope[data.none] = 0
    inner = slope[:, None] * weights["out"] * (1 - raised**2)
    return {
        "linear": data.figures.T @ slope + 1e-3 * weights["linear"],
        "hidden": data.figures.T @ inner + SHRINK * weights["hidden"],
        "bias": inner.sum(axis=0),
        "out": raised.T @ slope + SHRINK * weights["out"],
        "none": np.array([none]),
    }


def geography() -> Iterator[Task]:
    """GeoQuery's train part in ten folds by question, and in ten by query."""
    rows = load("geoquery_train.jsonl", None)
    place = {row["id"]: number for number, row in enumerate(rows)}
    yield from folds(rows, lambda row: place[row["id"]] % 10, 10)
    yield from folds(rows, lambda row: hashlib.sha256(row["template"].encode()).digest()[0] % 10, 10)


def main() -> None:
    """Writes the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=cues.MODEL, help="where to write it; by default where it is shipped"
    )
    out: Path = parser.parse_args().out
    if not DATA.is_dir():
        sys.exit("the development data is not here (../shared/data/sql)")
    bench, judge = Bench(), Judge()
    tuned = [row for row in load("spider_train_devpool.jsonl", None) if half(row["db"]) == "tuned"]
    weights: dict[str, Cues] = {"all": learn_cues(bench, tuned)}
    for number in (0, 1):
        weights[str(number)] = learn_cues(bench, [row for row in tuned if side(row["db"]) == number])
    print(f"cues for {len(weights['all'])} operations", flush=True)
    taught = list(lessons(bench, leave_one_out(tuned, STEP), weights, judge))
    print(f"{len(taught)} questions of Spider", flush=True)
    taught += lessons(bench, geography(), weights, judge)
    model = {"cues": weights["all"], "ranking": learn_ranking(taught)}
    out.write_text(json.dumps(model, indent=None, separators=(",", ":"), sort_keys=True) + "\n")
    print(f"{len(taught)} questions; wrote {out}, {out.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
