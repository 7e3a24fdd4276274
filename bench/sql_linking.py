"""Linking on a generated schema of a thousand tables: time to index, memory of the index, time to link and to answer.

Run as ``python -m bench.sql_linking [--tables N]``.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from random import Random

from services.mesh.errors import ParleyError
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.language.tokens import tokenize
from services.sql.language.words import listed
from services.sql.linking.linking import LinkIndex
from services.sql.meaning.marks import scan
from services.sql.schema import Column, Dialect, ForeignKey, Kind, Schema, Table

_THINGS = listed(
    "customer order product invoice payment shipment supplier employee contract project task asset machine sensor "
    "patient doctor visit course student teacher room building vehicle driver route station account loan card branch "
    "policy claim ticket event venue artist album track playlist review rating article author journal city region"
)
_KINDS = listed(
    "history detail status type line note plan budget forecast archive summary log group member region rule"
)
_COLUMNS = listed(
    "name code price amount quantity city country status category title score weight created_on rank level"
)
_SYLLABLES = listed("an bel cor dan el fir gol han il jor kal lim mon nor ol per qua ris sol tan ur vin wes yal zor")
QUESTIONS = (
    "How many {thing}s are there?",
    "What is the average {column} of {thing} {kind}s?",
    "Show the name and {column} of {thing} {kind}s with a price above 100",
    "Which {thing} has the highest {column}?",
    "List {thing}s in {value}",
)


def schema(tables: int, seed: int = 1) -> Schema:
    """A schema of so many tables with 15 columns each, keys between them, and 40 values in each text column."""
    random = Random(seed)
    names = [f"{thing}_{kind}" for kind in ("", *_KINDS) for thing in _THINGS]
    names = [
        (names[n % len(names)] + (f"_{n // len(names)}" if n >= len(names) else "")).strip("_") for n in range(tables)
    ]
    return Schema(Dialect.SQLITE, tuple(_table(name, names, random) for name in sorted(names)))


def _table(name: str, names: Sequence[str], random: Random) -> Table:
    columns = [Column("id", "INTEGER", Kind.INTEGER, False)]
    for column in _COLUMNS:
        number = column in ("price", "amount", "quantity", "score", "weight", "rank", "level")
        values = () if number else tuple(_word(random) for _ in range(40))
        columns.append(Column(column, "REAL" if number else "TEXT", Kind.NUMBER if number else Kind.TEXT, True, values))
    keys = []
    for other in random.sample(list(names), 2):
        columns.append(Column(f"{other}_id", "INTEGER", Kind.INTEGER))
        keys.append(ForeignKey((f"{other}_id",), other, ("id",)))
    return Table(name, tuple(columns), ("id",), tuple(keys), 1000)


def _word(random: Random) -> str:
    return "".join(random.choices(_SYLLABLES, k=3)).capitalize()


def questions(found: Schema, count: int, seed: int = 2) -> list[str]:
    """Questions about it."""
    random = Random(seed)
    asked = []
    for number in range(count):
        value = random.choice(random.choice(found.tables).by_name["city"].values)
        asked.append(
            QUESTIONS[number % len(QUESTIONS)].format(
                thing=random.choice(_THINGS), kind=random.choice(_KINDS), column=random.choice(_COLUMNS), value=value
            )
        )
    return asked


def milliseconds(work: Callable[[str], object], asked: Sequence[str]) -> list[float]:
    """How long each question takes, sorted."""
    found = []
    for question in asked:
        started = time.perf_counter()
        work(question)
        found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--questions", type=int, default=100)
    arguments = parser.parse_args()
    for tables in arguments.tables:
        found = schema(tables)
        asked = questions(found, arguments.questions)
        started = time.perf_counter()
        index = LinkIndex(found)
        built = time.perf_counter() - started
        tracemalloc.start()
        kept = LinkIndex(found)
        memory = tracemalloc.get_traced_memory()[0] / 2**20
        tracemalloc.stop()
        del kept
        link = milliseconds(lambda question, index=index: scan(tokenize(question), index), asked)  # type: ignore[misc]  # mypy takes the default for a second argument
        engine = EmbeddedEngine(min_confidence=0.0)

        def answer(question: str, engine: EmbeddedEngine = engine, found: Schema = found) -> None:
            try:
                engine.answer(question, found)
            except ParleyError:
                return

        answer(asked[0])
        whole = milliseconds(answer, asked)
        print(
            f"sql linking: {tables:5} tables, {sum(len(t.columns) for t in found.tables):6} columns: indexed in "
            f"{built:6.2f} s, {memory:6.1f} MiB; link p50 {statistics.median(link):6.2f} ms, p95 {_p95(link):6.2f} ms; "
            f"answer p50 {statistics.median(whole):7.1f} ms, p95 {_p95(whole):7.1f} ms"
        )


def _p95(times: Sequence[float]) -> float:
    return times[int(len(times) * 0.95)]


if __name__ == "__main__":
    main()
