"""Learns examples.json of services/sql/examples: which words ask for which operations, how candidates rank.

Run as ``python -m bench.sql_examples_training [--out FILE]``; takes some minutes. Reads ../shared/data/sql: of
Spider the databases of the tuned half only (bench/sql_data.py), of GeoQuery the train part. Needs numpy, which the sql
service does not.

Cues: a logistic regression for each operation over words and pairs of words that occur in several databases. For
ranking, those of each half of the databases are learned on the other half, so that they look there as on new ones.
Ranking: a linear softmax over the candidates of a question and `none`; the loss is the log-probability that a right one
is drawn. Questions get all other examples of their database, or only some of them, as young knowledge bases do.
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

Floats = NDArray[np.float64]
Cues = Mapping[str, Mapping[str, float]]

# Words count that so many databases share; operations that so many statements have.
MIN_DATABASES = 4
MIN_STATEMENTS = 25
SMALLEST_WEIGHT = 0.12
RATE, ROUNDS = 0.05, 300
# Every so many questions of Spider; the others of their database are examples in any case.
STEP = 4
# The part of a question's examples that a young knowledge base has.
YOUNG = 0.25


def side(text: str) -> int:
    """One of two halves, the same every day."""
    return hashlib.sha256(text.encode()).digest()[1] % 2


def adam(start: Floats, gradient: Any, rounds: int) -> Floats:
    """Minimises by gradient descent with moments (Kingma and Ba, 2015)."""
    weights, mean, spread = start, np.zeros_like(start), np.zeros_like(start)
    for number in range(1, rounds + 1):
        slope = gradient(weights)
        mean = 0.9 * mean + 0.1 * slope
        spread = 0.999 * spread + 0.001 * slope * slope
        step = (mean / (1 - 0.9**number)) / (np.sqrt(spread / (1 - 0.999**number)) + 1e-8)
        weights = weights - RATE * step
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

    weights = adam(np.zeros((len(names), len(operations))), gradient, ROUNDS)
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


def learn_ranking(taught: Sequence[Lesson]) -> dict[str, float]:
    """The weights of figures; `none` is the score of no candidate being right."""
    names = sorted({name for lesson in taught for candidate in lesson.candidates for name in candidate.figures})
    rows, wanted, owner = [], [], []
    for number, lesson in enumerate(taught):
        for candidate, right in zip(lesson.candidates, lesson.right, strict=True):
            rows.append([candidate.figures.get(name, 0.0) for name in names] + [0.0])
            wanted.append(float(right))
            owner.append(number)
        rows.append([0.0] * len(names) + [1.0])
        wanted.append(float(not any(lesson.right)))
        owner.append(number)
    table, good, question = np.array(rows), np.array(wanted), np.array(owner)
    spread = table.std(axis=0) + 1e-9
    table = table / spread
    starts = np.flatnonzero(np.diff(question, prepend=-1))

    def gradient(weights: Floats) -> Floats:
        scores = table @ weights
        raised = np.exp(scores - np.maximum.reduceat(scores, starts)[question])
        chance = raised / np.add.reduceat(raised, starts)[question]
        hit = chance * good
        share = hit / (np.add.reduceat(hit, starts)[question] + 1e-12)
        slope: Floats = table.T @ (chance - share) / len(taught) + 1e-3 * weights
        return slope

    weights = adam(np.zeros(len(names) + 1), gradient, ROUNDS) / spread
    return {name: round(float(weight), 3) for name, weight in zip([*names, "none"], weights, strict=True)}


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
