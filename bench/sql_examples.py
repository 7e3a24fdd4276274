"""Execution accuracy of questions with a knowledge base: the other questions of the same database are its examples.

Run as ``python -m bench.sql_examples [--limit N]``. The development sets lie in ../shared/data/sql and are compared by
that folder's score.py. Spider leaves one out: each question is answered by all others of its database. GeoQuery is
split by question and by query (which shares no SQL between the parts) as the field does. The ranking was learned on
the tuned half of Spider's databases and on GeoQuery's train part, so that the untouched half and GeoQuery's kept-apart
questions say what generalises. Beside each figure stand the engine without examples and a nearest-neighbour look-up.
"""

from __future__ import annotations

import argparse
import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.sql_data import DATA, Reader, half, load, schema_of, scorer
from services.mesh.errors import ParleyError
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.examples.domains import Domains
from services.sql.examples.examples import Example, Prepared, prepare
from services.sql.knowledge import learned
from services.sql.knowledge.knowledge import bound
from services.sql.language.phrases import words_of
from services.sql.query import GeneratedQuery
from services.sql.schema import Schema

SECONDS = 5.0
BASELINES = """For orientation, execution accuracy in % on sets kept apart: a nearest-neighbour template look-up gets
50.3 on Spider dev when the other questions of a database are its examples, 50.9 on GeoQuery's question split, 3.3 on
its query split."""


class Task(NamedTuple):
    """Questions of one database, and the questions that are its examples while they are asked."""

    database: str
    asked: Sequence[dict[str, Any]]
    taught: Sequence[dict[str, Any]]


class Answer(NamedTuple):
    """What was said to one question, in three ways."""

    row: dict[str, Any]
    sql: str | None
    confidence: float
    zero: str | None
    """By the engine alone."""
    nearest: str | None
    """The statement of the example with the most similar words, with its own values."""
    seconds: float
    work: float
    """Of them, those in which the processor worked: on a busy machine the rest is waiting for it."""


class Bench:
    """Schemas, prepared examples and the engine, each made once."""

    def __init__(self) -> None:
        self.engine = EmbeddedEngine()
        self._schemas: dict[str, Schema] = {}
        self._domains: dict[str, Domains] = {}
        self._prepared: dict[str, Prepared | None] = {}
        self._readers: dict[str, Reader] = {}

    def schema(self, database: str) -> Schema:
        """A database's schema."""
        if database not in self._schemas:
            self._schemas[database] = schema_of(database)
            self.engine.index(self._schemas[database])
        return self._schemas[database]

    def domains(self, database: str) -> Domains:
        """A database's values."""
        if database not in self._domains:
            self._domains[database] = Domains(self.schema(database))
        return self._domains[database]

    def examples(self, rows: Sequence[dict[str, Any]]) -> list[Prepared]:
        """Questions with their gold statements as examples."""
        found = []
        for row in rows:
            if row["id"] not in self._prepared:
                example = Example(row["id"], row["question"], row["gold_sql"])
                self._prepared[row["id"]] = prepare(example, self.schema(row["db"]))
            made = self._prepared[row["id"]]
            if made is not None:
                found.append(made)
        return found

    def written(self, row: dict[str, Any]) -> GeneratedQuery | None:
        """What the engine says without examples; None where it refuses."""
        if row["db"] not in self._readers:
            self._readers[row["db"]] = Reader(row["db"])
        try:
            return self.engine.answer(row["question"], self.schema(row["db"]), self._readers[row["db"]].probe)
        except ParleyError:
            return None

    def answers(self, task: Task) -> Iterator[Answer]:
        """The answers to a task's questions."""
        schema = self.schema(task.database)
        examples = self.examples(task.taught)
        book = bound(schema, examples, self.domains(task.database))
        for row in task.asked:
            started, worked = time.perf_counter(), time.thread_time()
            written = self.written(row)
            found = learned.taught(row["question"], schema, book, "embedded") or learned.joined(
                row["question"], schema, book, written, "embedded"
            )
            seconds, work = time.perf_counter() - started, time.thread_time() - worked
            yield Answer(
                row,
                found.sql if found else None,
                found.confidence if found else 0.0,
                written.sql if written else None,
                _nearest(row["question"], examples),
                seconds,
                work,
            )


def _nearest(question: str, examples: Sequence[Prepared]) -> str | None:
    """The statement of the example that shares the most words (Jaccard)."""
    own = {word.stem for word in words_of(question)}

    def likeness(item: Prepared) -> float:
        other = {word.stem for word in item.words}
        return len(own & other) / (len(own | other) or 1)

    return max(examples, key=likeness).example.sql if examples else None


def leave_one_out(rows: Sequence[dict[str, Any]], step: int = 1) -> Iterator[Task]:
    """Every `step`-th question with all others of its database as examples."""
    by_database: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_database[row["db"]].append(row)
    for database, own in by_database.items():
        for number in range(0, len(own), step):
            yield Task(database, [own[number]], own[:number] + own[number + 1 :])


def folds(rows: Sequence[dict[str, Any]], part: Callable[[dict[str, Any]], int], count: int) -> Iterator[Task]:
    """Cross-validation: each part asked with the others as examples; all rows are of one database."""
    for number in range(count):
        asked = [row for row in rows if part(row) == number]
        if asked:
            yield Task(rows[0]["db"], asked, [row for row in rows if part(row) != number])


def geoquery(field: str) -> Task:
    """A standard split: the train part as examples, all others asked. `field`: split or query_split."""
    rows = [*load("geoquery_train.jsonl", None), *load("geoquery_dev.jsonl", None)]
    taught = [row for row in rows if row[field] == "train"]
    return Task(rows[0]["db"], [row for row in rows if row[field] != "train"], taught)


def report(title: str, answers: Sequence[Answer]) -> None:
    """Prints one line of figures."""
    if not answers:
        return
    score = scorer()
    gold = [answer.row for answer in answers]

    def right(statements: Mapping[str, str | None]) -> tuple[dict[str, Any], list[Any]]:
        summary, rows = score.score(gold, {k: sql for k, sql in statements.items() if sql}, str(DATA / "db"), SECONDS)
        return summary, rows

    summary, rows = right({answer.row["id"]: answer.sql for answer in answers})
    zero, _ = right({answer.row["id"]: answer.zero for answer in answers})
    nearest, _ = right({answer.row["id"]: answer.nearest for answer in answers})
    ranked = sorted(zip(answers, rows, strict=True), key=lambda pair: -pair[0].confidence)
    surest = ranked[: (len(ranked) + 1) // 2]
    sure = sum(row["ex"] for _answer, row in surest) / len(surest)
    executes = summary["valid"] / summary["answered"] if summary["answered"] else 1.0
    times = sorted(answer.seconds * 1000 for answer in answers)
    work = sorted(answer.work * 1000 for answer in answers)
    print(
        f"{title:34} n {len(answers):5}  EX {summary['EX'] * 100:5.1f}  (without examples {zero['EX'] * 100:5.1f}, "
        f"nearest {nearest['EX'] * 100:5.1f})  surest half right {sure * 100:5.1f} from confidence "
        f"{surest[-1][0].confidence:.2f} on  runs {executes * 100:5.1f}  p50 {statistics.median(times):5.1f} ms  "
        f"p95 {times[int(len(times) * 0.95)]:5.1f} ms (processor {work[int(len(work) * 0.95)]:5.1f})",
        flush=True,
    )


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--step", type=int, default=1, help="ask every N-th question of Spider")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(0, "The development data is not here (../shared/data/sql): nothing measured.\n")
    bench = Bench()
    print("Embedded SQL engine with examples of the same database; EX = execution accuracy in %")
    spider = load("spider_train_devpool.jsonl", None)
    answers = [answer for task in leave_one_out(spider, arguments.step) for answer in bench.answers(task)]
    report("spider, leave one out", answers)
    for name in ("tuned", "untouched"):
        report(f"  {name} half of the databases", [answer for answer in answers if half(answer.row["db"]) == name])
    report("geoquery, question split", list(bench.answers(geoquery("split"))))
    report("geoquery, query split", list(bench.answers(geoquery("query_split"))))
    # 48 questions say little: the training part, each fifth asked with the other four as examples, says more.
    taught = geoquery("split").taught
    tasks = folds(taught, lambda row: zlib.crc32(row["id"].encode()) % 5, 5)
    report("geoquery, training part in folds", [answer for task in tasks for answer in bench.answers(task)])
    print(BASELINES)


if __name__ == "__main__":
    main()
