"""Accuracy, confidence and latency of the embedded SQL engine, zero-shot, on the development sets in ../shared/data.

Run as ``python -m bench.sql [--limit N]``. Answers are compared by that folder's score.py. Spider is reported by two
halves of its databases: rules and weights are tuned while looking at the first half only, so the second half says what
generalises. The engine tries statements out on the database, and answers whatever it can read, however unsure: its
confidence then says which of the answers to give.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from bench.sql_data import DATA, Reader, half, load, schema_of, scorer
from bench.sql_hardness import LEVELS, hardness
from services.mesh.errors import ParleyError
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.guard import guard

SECONDS = 5.0
BINS = 10
BASELINES = """For orientation, execution accuracy of others in %, on sets kept apart (other databases and questions):
  Spider dev, naive schema linker without examples  24.8   (easy 44, medium 28, hard 10, extra 4)
  Spider dev, zero-shot language models of 70B      77-82
  GeoQuery, nearest-neighbour template look-up      50.9 by question, 3.3 by query"""


class Prediction(NamedTuple):
    """What the engine said to one question."""

    sql: str | None
    """None where it refused."""
    confidence: float
    seconds: float


def predict(rows: Sequence[dict[str, Any]], engine: EmbeddedEngine) -> dict[str, Prediction]:
    """The engine's SQL for each question, by the question's id; schemas are read and indexed beforehand."""
    found: dict[str, Prediction] = {}
    for database in dict.fromkeys(row["db"] for row in rows):
        schema = schema_of(database)
        engine.index(schema)
        with closing(Reader(database)) as reader:
            for row in rows:
                if row["db"] != database:
                    continue
                started = time.perf_counter()
                try:
                    query = engine.answer(row["question"], schema, reader.probe)
                    guard.check(query.sql, schema.dialect, 1000)
                    sql, sure = query.sql, query.confidence
                except ParleyError:
                    sql, sure = None, 0.0
                found[row["id"]] = Prediction(sql, sure, time.perf_counter() - started)
    return found


def report(
    title: str, gold: Sequence[dict[str, Any]], predictions: dict[str, Prediction], score: ModuleType
) -> list[Any]:
    """Prints one line of figures; returns the scorer's rows."""
    sql = {key: prediction.sql for key, prediction in predictions.items() if prediction.sql}
    summary, rows = score.score(gold, sql, str(DATA / "db"), SECONDS)
    times = sorted(predictions[row["id"]].seconds * 1000 for row in gold)
    p95 = times[int(len(times) * 0.95)] if times else 0.0
    answered = summary["answered"]
    print(
        f"{title:34} n {summary['n']:5}  EX {summary['EX'] * 100:5.1f}  answered {answered * 100:5.1f}  "
        f"right of answered {summary['precision_when_answered'] * 100:5.1f}  "
        f"of them run {100 * summary['valid'] / answered if answered else 0:5.1f}  "
        f"p50 {statistics.median(times):6.1f} ms  p95 {p95:6.1f} ms"
    )
    return list(rows)


def report_confidence(title: str, judged: Sequence[tuple[float, bool]]) -> None:
    """Prints how sure answers are and how right, refusals counting as answers without confidence.

    Args:
        title: Of the set.
        judged: Of each question its confidence and whether its answer is right.
    """
    ordered = sorted(judged, reverse=True)
    parts = []
    for share in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        kept = ordered[: max(1, int(len(ordered) * share))]
        parts.append(f"{share:.0%} {sum(right for _, right in kept) / len(kept):.1%} (from {kept[-1][0]:.2f})")
    print(f"{title}: right among the surest " + ", ".join(parts))
    covered = [count for count in range(1, len(ordered) + 1)
               if sum(right for _, right in ordered[:count]) >= 0.8 * count]  # fmt: skip
    most = max(covered, default=0)
    print(
        f"{title}: 80% right for the surest {most / len(ordered):.1%}; "
        f"expected calibration error {calibration_error(judged):.3f}"
    )


def calibration_error(judged: Sequence[tuple[float, bool]]) -> float:
    """The mean gap between confidence and accuracy over bins of equal width (Naeini et al. 2015), answers only."""
    answered = [(sure, right) for sure, right in judged if sure > 0]
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for sure, right in answered:
        bins[min(int(sure * BINS), BINS - 1)].append((sure, right))
    gaps = (abs(sum(sure for sure, _ in part) - sum(right for _, right in part)) for part in bins if part)
    return sum(gaps) / len(answered) if answered else 0.0


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, help="so many questions of each set, spread evenly")
    parser.add_argument("--errors", type=Path, help="write wrong answers of the tuned half to this file")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(0, "The development data is not here (../shared/data/sql): nothing measured.\n")
    score, engine = scorer(), EmbeddedEngine(min_confidence=0.0)
    print("Embedded SQL engine, zero-shot; EX = execution accuracy in %")
    spider = load("spider_train_devpool.jsonl", arguments.limit)
    predictions = predict(spider, engine)
    for name in ("tuned", "untouched"):
        part = [row for row in spider if half(row["db"]) == name]
        rows = report(f"spider, {name} half of databases", part, predictions, score)
        for level in LEVELS:
            report(f"  {level}", [row for row in part if hardness(row["gold_sql"]) == level], predictions, score)
        report_confidence(f"  {name} half", [(predictions[row["id"]].confidence, row["ex"]) for row in rows])
        if arguments.errors and name == "tuned":
            wrong = [
                f"{gold['db']} | {gold['question']}\n   G {gold['gold_sql']}\n   P {predictions[gold['id']]}\n"
                for gold, row in zip(part, rows, strict=True)
                if not row["ex"]
            ]
            arguments.errors.write_text("".join(wrong))
    for name in ("geoquery_dev", "restaurants"):
        gold = load(f"{name}.jsonl", arguments.limit)
        report(name, gold, predict(gold, engine), score)
    print(BASELINES)


if __name__ == "__main__":
    main()
