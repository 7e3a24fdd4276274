"""What a language model is told of a generated schema of a thousand tables: tokens of the prompt, and its making.

Run as ``python -m bench.sql_prompt [--tables N]``. The index is built once beforehand, as in the service.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

from services.sql.linking.joins import JoinGraph
from services.sql.linking.linking import LinkIndex
from services.sql.llm import prompt
from services.sql.query import Context
from services.sql.schema import Column, Dialect, ForeignKey, Kind, Schema, Table

_THINGS = ("customer", "order", "invoice", "shipment", "employee", "contract", "machine", "patient", "course", "ticket")
_ASPECTS = ("archive", "detail", "history", "note", "address", "payment", "review", "status", "price", "document")
_PLACES = ("north", "south", "east", "west", "central", "export", "retail", "online", "partner", "legacy")
_COLUMNS = ("name", "amount", "created_on", "city", "status", "quantity", "comment", "rating", "owner", "code")
QUESTIONS = (
    "total amount of the customer payments in the north",
    "how many shipments were there by status",
    "Có bao nhiêu hợp đồng ở mỗi thành phố?",
    "average rating of machine reviews",
    "which online orders have the highest quantity",
)


def schema(tables: int) -> Schema:
    """A schema of so many tables with twelve columns each, every one but the first with a key to another."""
    names = [f"{place}_{thing}_{aspect}" for thing, aspect, place in itertools.product(_THINGS, _ASPECTS, _PLACES)]
    names += [f"extra_{number}" for number in range(max(0, tables - len(names)))]
    made = []
    for number, name in enumerate(names[:tables]):
        columns = (
            Column("id", "INTEGER", Kind.INTEGER),
            Column("parent_id", "INTEGER", Kind.INTEGER),
            *(Column(column, "TEXT", Kind.TEXT, values=(f"{column} a", f"{column} b")) for column in _COLUMNS),
        )
        key = (ForeignKey(("parent_id",), names[number // 2], ("id",)),) if number else ()
        made.append(Table(name, columns, ("id",), key, 1000))
    return Schema(Dialect.POSTGRESQL, tuple(made))


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=int, default=1000)
    made = schema(parser.parse_args().tables)
    whole = prompt.tokens_of(prompt.described(made, prompt.Linked(), 10**9))
    started = time.perf_counter()
    index, graph = LinkIndex(made), JoinGraph(made)
    print(f"{len(made.tables)} tables of 12 columns, about {whole:,} tokens in full; "
          f"indexed in {time.perf_counter() - started:.1f} s")  # fmt: skip
    for budget in (2000, 6000, 20_000):
        times, sizes, shown = [], [], []
        for question in QUESTIONS * 3:
            started = time.perf_counter()
            messages, _links = prompt.messages(question, made, index, graph, Context(), budget)
            times.append((time.perf_counter() - started) * 1000)
            sizes.append(sum(prompt.tokens_of(message["content"]) for message in messages))
            shown.append(messages[0]["content"].count("\nTABLE "))
        print(
            f"budget {budget:6}: at most {max(sizes):6} tokens, {min(shown)}-{max(shown)} tables, "
            f"p50 {statistics.median(times):.0f} ms, worst {max(times):.0f} ms"
        )


if __name__ == "__main__":
    main()
