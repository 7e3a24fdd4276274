"""Execution accuracy and latency of the embedded SQL engine, zero-shot, on the development sets in ../shared/data/sql.

Run as ``python -m bench.sql [--limit N]``. Answers are compared by that folder's score.py. Spider is reported by two
halves of its databases: rules are tuned while looking at the first half only, so the second half says what generalises.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from sqlalchemy import make_url

from services.mesh.errors import ParleyError
from services.sql import guard
from services.sql.embedded import EmbeddedEngine
from services.sql.introspect import read_schema
from services.sql.schema import Schema
from services.sql.target import Target

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "sql"
SECONDS = 5.0
BASELINES = """For orientation, execution accuracy of others in %, on sets kept apart (other databases and questions):
  Spider dev, naive schema linker without examples  24.8   (easy 44, medium 28, hard 10, extra 4)
  Spider dev, zero-shot language models of 70B      77-82
  GeoQuery, nearest-neighbour template look-up      50.9 by question, 3.3 by query"""


class Prediction(NamedTuple):
    """What the engine said to one question."""

    sql: str | None
    """None where it refused."""
    seconds: float


def scorer() -> ModuleType:
    """The data's own scorer."""
    spec = importlib.util.spec_from_file_location("score", DATA / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name: str, limit: int | None) -> list[dict[str, Any]]:
    """The questions of a set; with a limit, so many spread evenly over it."""
    rows = [json.loads(line) for line in (DATA / name).read_text().splitlines() if line.strip()]
    return rows if limit is None or limit >= len(rows) else [rows[len(rows) * n // limit] for n in range(limit)]


def predict(rows: Sequence[dict[str, Any]], engine: EmbeddedEngine) -> dict[str, Prediction]:
    """The engine's SQL for each question, by the question's id; schemas are read beforehand."""
    schemas: dict[str, Schema] = {}
    for row in rows:
        if row["db"] not in schemas:
            schemas[row["db"]] = read_schema(Target(make_url(f"sqlite:///{DATA / 'db' / row['db']}.sqlite")))
    found: dict[str, Prediction] = {}
    for row in rows:
        schema = schemas[row["db"]]
        started = time.perf_counter()
        try:
            sql: str | None = engine.answer(row["question"], schema).sql
            guard.check(sql or "", schema.dialect, 1000)
        except ParleyError:
            sql = None
        found[row["id"]] = Prediction(sql, time.perf_counter() - started)
    return found


def hardness(sql: str) -> str:
    """Roughly Spider's levels, by what a gold statement uses: joins, groupings, orders, subqueries, set operations."""
    text = f" {sql.lower()} "
    nested = text.count("select") - 1
    parts = sum(text.count(f" {word} ") for word in ("join", "group by", "order by", "having", "and", "or", "like"))
    if nested:
        return "extra" if nested + parts > 2 else "hard"
    return "easy" if parts <= 0 else "medium" if parts <= 2 else "hard" if parts <= 4 else "extra"


def half(database: str) -> str:
    """Which half of the databases one is in: by a hash, the same every day."""
    return "tuned" if hashlib.sha256(database.encode()).digest()[0] % 2 else "untouched"


def report(
    title: str, gold: Sequence[dict[str, Any]], predictions: dict[str, Prediction], score: ModuleType
) -> list[Any]:
    """Prints one line of figures; returns the scorer's rows."""
    sql = {key: prediction.sql for key, prediction in predictions.items() if prediction.sql}
    summary, rows = score.score(gold, sql, str(DATA / "db"), SECONDS)
    times = sorted(predictions[row["id"]].seconds * 1000 for row in gold)
    p95 = times[int(len(times) * 0.95)] if times else 0.0
    print(
        f"{title:34} n {summary['n']:5}  EX {summary['EX'] * 100:5.1f}  answered {summary['answered'] * 100:5.1f}  "
        f"right of answered {summary['precision_when_answered'] * 100:5.1f}  runs {summary['valid'] * 100:5.1f}  "
        f"p50 {statistics.median(times):6.1f} ms  p95 {p95:6.1f} ms"
    )
    return list(rows)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, help="so many questions of each set, spread evenly")
    parser.add_argument("--errors", type=Path, help="write wrong answers of the tuned half to this file")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(0, "The development data is not here (../shared/data/sql): nothing measured.\n")
    score, engine = scorer(), EmbeddedEngine()
    print("Embedded SQL engine, zero-shot; EX = execution accuracy in %")
    spider = load("spider_train_devpool.jsonl", arguments.limit)
    predictions = predict(spider, engine)
    rows = report("spider, all", spider, predictions, score)
    for name in ("tuned", "untouched"):
        part = [row for row in spider if half(row["db"]) == name]
        report(f"  {name} half of the databases", part, predictions, score)
    for level in ("easy", "medium", "hard", "extra"):
        part = [row for row in spider if hardness(row["gold_sql"]) == level]
        report(f"  {level} (approximately)", part, predictions, score)
    for name in ("geoquery_dev", "restaurants"):
        gold = load(f"{name}.jsonl", arguments.limit)
        report(name, gold, predict(gold, engine), score)
    print(BASELINES)
    if arguments.errors:
        wrong = [
            f"{gold['db']} | {gold['question']}\n   G {gold['gold_sql']}\n   P {predictions[gold['id']].sql}\n"
            for gold, row in zip(spider, rows, strict=True)
            if not row["ex"] and half(gold["db"]) == "tuned"
        ]
        arguments.errors.write_text("".join(wrong))


if __name__ == "__main__":
    main()
