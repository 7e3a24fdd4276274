"""Join paths: which tables connect some others over foreign keys, by the fewest and surest steps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from services.sql.schema import Schema, Table
from services.sql.words import lemma, split_name

# A declared key costs 1; one inferred from names costs more, so that it only serves where nothing is declared.
_INFERRED_COST = 1.6
_SAME_NAME_COST = 3.0


@dataclass(frozen=True)
class Step:
    """One join: `left` is connected already, `right` is added where the columns are equal."""

    left: str
    right: str
    columns: tuple[tuple[str, str], ...]


class JoinGraph:
    """Tables as nodes, keys as edges in both directions."""

    def __init__(self, schema: Schema) -> None:
        self._edges: dict[str, list[tuple[float, Step]]] = {table.name: [] for table in schema.tables}
        linked = set()
        for table in schema.tables:
            for key in table.foreign_keys:
                self._add(
                    table.name, key.referred_table, tuple(zip(key.columns, key.referred_columns, strict=True)), 1.0
                )
                linked |= {(table.name, key.referred_table), (key.referred_table, table.name)}
        for left, right, columns in _inferred(schema):
            if (left, right) not in linked:
                self._add(left, right, columns, _INFERRED_COST)
                linked |= {(left, right), (right, left)}
        for left, right, columns in _same_names(schema):
            if (left, right) not in linked:
                self._add(left, right, columns, _SAME_NAME_COST)

    def _add(self, left: str, right: str, columns: tuple[tuple[str, str], ...], cost: float) -> None:
        self._edges[left].append((cost, Step(left, right, columns)))
        self._edges[right].append((cost, Step(right, left, tuple((there, here) for here, there in columns))))

    def direct(self, left: str, right: str) -> Step | None:
        """The join between two tables that touch; None where they do not."""
        found = sorted((item for item in self._edges[left] if item[1].right == right), key=lambda item: item[0])
        return found[0][1] if found else None

    def distance(self, left: str, right: str) -> float:
        """The cost of the cheapest path; infinite where there is none."""
        path = self._path({left}, right)
        return float("inf") if path is None else float(len(path))

    def connect(self, tables: Iterable[str]) -> list[Step] | None:
        """Steps that join all tables, starting at the first; None where they do not connect.

        Takes the nearest missing table again and again: the shortest-path heuristic for Steiner trees of Takahashi and
        Matsuyama (1980), at most twice the cost of the best tree.
        """
        start, *missing = dict.fromkeys(tables)
        reached = {start}
        steps: list[Step] = []
        while missing:
            paths = [path for path in (self._path(reached, table) for table in missing) if path is not None]
            if not paths:
                return None
            for step in min(paths, key=len):
                steps.append(step)
                reached.add(step.right)
            missing = [table for table in missing if table not in reached]
        return steps

    def _path(self, sources: set[str], goal: str) -> list[Step] | None:
        """The cheapest path to `goal` (Dijkstra)."""
        if goal in sources:
            return []
        queue: list[tuple[float, int, str, tuple[Step, ...]]] = [(0.0, 0, source, ()) for source in sorted(sources)]
        seen: set[str] = set()
        order = 0
        while queue:
            cost, _, table, path = heapq.heappop(queue)
            if table == goal:
                return list(path)
            if table in seen:
                continue
            seen.add(table)
            for edge_cost, step in self._edges[table]:
                if step.right not in seen:
                    order += 1
                    heapq.heappush(queue, (cost + edge_cost, order, step.right, (*path, step)))
        return None


def _inferred(schema: Schema) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Joins that names suggest: a column named like another table's only key column, or `<table>_id`."""
    keys: dict[tuple[str, ...], tuple[str, str]] = {}
    for table in schema.tables:
        if len(table.primary_key) == 1:
            words = tuple(map(lemma, split_name(table.primary_key[0])))
            one = (*split_name(table.name)[:-1], lemma(split_name(table.name)[-1])) if split_name(table.name) else ()
            if len(words) > 1:
                keys.setdefault(words, (table.name, table.primary_key[0]))
            keys.setdefault((*one, "id"), (table.name, table.primary_key[0]))
    return [
        (table.name, keys[words][0], ((column, keys[words][1]),))
        for table in schema.tables
        for column, words in _words(table)
        if words in keys and keys[words][0] != table.name
    ]


def _same_names(schema: Schema) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Joins by columns of the same name that says whose they are: `state_name` here and there, but not `name`."""
    found: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []
    for position, left in enumerate(schema.tables):
        own = {words: column for column, words in _words(left) if len(words) > 1}
        for right in schema.tables[position + 1 :]:
            same = [(own[words], column) for column, words in _words(right) if words in own]
            keys = [pair for pair in same if pair[0] in left.primary_key or pair[1] in right.primary_key]
            found += [(left.name, right.name, (pair,)) for pair in (keys or same)[:1]]
    return found


def _words(table: Table) -> list[tuple[str, tuple[str, ...]]]:
    return [(column.name, tuple(map(lemma, split_name(column.name)))) for column in table.columns]
