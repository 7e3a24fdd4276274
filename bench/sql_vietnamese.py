"""Accuracy of the embedded SQL engine on 100 Vietnamese questions of our own: as written, without diacritics, misspelt.

Run as ``python -m bench.sql_vietnamese [--errors FILE]``. The questions are about the sample shop, a company whose
schema is Vietnamese, and a library; 30 of them are held out: nobody looks at their errors. An answer is right where its
rows are the gold statement's: as a sequence where that has an outer ORDER BY, as a multiset otherwise, columns in any
order, numbers to six digits.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import sqlglot
from sqlalchemy import make_url
from sqlglot import exp

from deploy.local import sample_shop
from services.mesh.errors import ParleyError
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.guard import guard
from services.sql.language.words import unmarked
from services.sql.query import PROBED_ROWS
from services.sql.schema import Schema
from services.sql.schemas.introspect import read_schema
from services.sql.target import Target

DATA = Path(__file__).resolve().parent.parent / "tests" / "sql" / "data" / "vietnamese"
Rows = list[tuple[Any, ...]]
Change = Callable[[str], str]
"""Makes another wording of a question."""
MOST_ROWS = 10_000
# A word that gets a typo is at least this long: in a shorter one it would be another word.
LONG = 4


class Asked(NamedTuple):
    """A question with the statement that answers it."""

    id: str
    db: str
    question: str
    gold_sql: str
    held_out: bool


class Shelf:
    """The three databases in a folder.

    Args:
        folder: Where their files are written.
    """

    def __init__(self, folder: Path) -> None:
        sample_shop.build(folder / "shop.sqlite")
        for script in DATA.glob("*.sql"):
            with closing(sqlite3.connect(folder / f"{script.stem}.sqlite")) as connection, connection:
                connection.executescript(script.read_text())
        names = ("shop", *sorted(script.stem for script in DATA.glob("*.sql")))
        self._connections = {name: sqlite3.connect(f"file:{folder / name}.sqlite?mode=ro", uri=True) for name in names}
        self.schemas: dict[str, Schema] = {
            name: read_schema(Target(make_url(f"sqlite:///{folder / name}.sqlite"))) for name in names
        }

    def rows(self, database: str, sql: str, most: int = MOST_ROWS) -> Rows | None:
        """The rows of a statement; None where it fails."""
        try:
            return self._connections[database].execute(sql).fetchmany(most)
        except sqlite3.Error:
            return None

    def close(self) -> None:
        """Closes the files."""
        for connection in self._connections.values():
            connection.close()


def questions() -> list[Asked]:
    """The test set."""
    return [Asked(**json.loads(line)) for line in (DATA / "questions.jsonl").read_text().splitlines()]


def misspelt(question: str) -> str:
    """The question with one typo, the same each time: two neighbouring letters change places in one longer word."""
    chance = random.Random(question)
    words = question.split(" ")
    places = [at for at, word in enumerate(words) if len(word) >= LONG and word.isalpha()]
    if not places:
        return question
    at = chance.choice(places)
    letter = chance.randrange(1, len(words[at]) - 1)
    word = words[at]
    words[at] = word[:letter] + word[letter + 1] + word[letter] + word[letter + 2 :]
    return " ".join(words)


def same(gold: Rows, given: Rows, ordered: bool) -> bool:
    """Whether two results say the same, columns in any order."""
    if len(gold) != len(given) or (gold and len(gold[0]) != len(given[0])):
        return False
    left, right = [tuple(map(_plain, row)) for row in gold], [tuple(map(_plain, row)) for row in given]
    for order in itertools.permutations(range(len(left[0]) if left else 0)):
        moved = [tuple(row[at] for at in order) for row in right]
        if left == moved or (not ordered and Counter(left) == Counter(moved)):
            return True
    return not left


def _plain(value: Any) -> str:
    return f"{float(value):.6g}" if isinstance(value, (int, float)) else str(value)


def ordered(sql: str) -> bool:
    """Whether a statement has an outer ORDER BY."""
    return isinstance(tree := sqlglot.parse_one(sql, dialect="sqlite"), exp.Query) and bool(tree.args.get("order"))


def right(shelf: Shelf, engine: EmbeddedEngine, item: Asked, question: str) -> tuple[bool, str]:
    """Whether the engine's answer to a wording of a question is right, and what it said."""
    schema = shelf.schemas[item.db]
    try:
        sql = engine.answer(question, schema, lambda text: shelf.rows(item.db, text, PROBED_ROWS)).sql
        guard.check(sql, schema.dialect, 1000)
    except ParleyError as error:
        return False, f"refused: {error.message}"
    gold, given = shelf.rows(item.db, item.gold_sql), shelf.rows(item.db, sql)
    return gold is not None and given is not None and same(gold, given, ordered(item.gold_sql)), sql


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--errors", type=Path, help="write wrong answers to questions not held out to this file")
    chosen = parser.parse_args(arguments)
    wrong: list[str] = []
    wordings: dict[str, Change] = {"as written": str, "without diacritics": unmarked, "one typo": misspelt}
    asked, engine = questions(), EmbeddedEngine()
    print("Embedded SQL engine on own Vietnamese questions; execution accuracy, refusals count as wrong")
    with tempfile.TemporaryDirectory() as folder, closing(Shelf(Path(folder))) as shelf:
        for name, change in wordings.items():
            found = [(item, *right(shelf, engine, item, change(item.question))) for item in asked]
            wrong += [
                f"{name} | {item.id} {item.db} | {change(item.question)}\n   G {item.gold_sql}\n   P {said}\n"
                for item, correct, said in found
                if not correct and not item.held_out
            ]
            parts = {
                "looked at": [f for f in found if not f[0].held_out],
                "held out": [f for f in found if f[0].held_out],
            }
            parts |= {db: [f for f in found if f[0].db == db] for db in shelf.schemas}
            refused = sum(said.startswith("refused") for _, _, said in found)
            shares = ", ".join(f"{part} {sum(f[1] for f in rows)}/{len(rows)}" for part, rows in parts.items())
            print(f"{name:20} {sum(f[1] for f in found):3}/{len(found)}  refused {refused:3}  ({shares})")
    if chosen.errors:
        chosen.errors.write_text("".join(wrong))


if __name__ == "__main__":
    main()
