"""Join paths: which tables connect some others over foreign keys, by the fewest and surest steps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from services.sql.language.words import lemma, split_name
from services.sql.schema import Schema, Table

# A declared key costs 1; one inferred from names costs more, so that it only serves where nothing is declared.
_INFERRED_COST = 1.6
_SAME_NAME_COST = 3.0
# A column name that more tables than this share says nothing about them.
_MOST_SHARED = 12
# Two people of one name, or of one age, have nothing to do with each other.
_PERSONAL = {("first", "name"), ("last", "name"), ("full", "name"), ("middle", "name"), ("birth", "date")}
# Rows that only share what they refer to have less to do with each other than rows that a table links.
_SIBLINGS_COST = 0.5
# Tables further apart than this have nothing to do with each other; it bounds the search in schemas of many tables.
_FURTHEST = 6.0


@dataclass(frozen=True)
class Step:
    """One join: `left` is connected already, `right` is added where the columns are equal."""

    left: str
    right: str
    columns: tuple[tuple[str, str], ...]
    refers: bool | None = None
    """Whether `left` refers to `right`, rather than `right` to `left`; None where no key says."""


class JoinGraph:
    """Tables as nodes, keys as edges in both directions."""

    def __init__(self, schema: Schema) -> None:
        self._edges: dict[str, list[tuple[float, Step]]] = {table.name: [] for table in schema.tables}
        self._distances: dict[str, dict[str, float]] = {}
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
        sure = cost < _SAME_NAME_COST
        back = tuple((there, here) for here, there in columns)
        self._edges[left].append((cost, Step(left, right, columns, True if sure else None)))
        self._edges[right].append((cost, Step(right, left, back, False if sure else None)))

    def direct(self, left: str, right: str) -> Step | None:
        """The join between two tables that touch; None where they do not."""
        found = sorted((item for item in self._edges[left] if item[1].right == right), key=lambda item: item[0])
        return found[0][1] if found else None

    def distance(self, left: str, right: str) -> float:
        """How many joins lie between two tables; infinite where they do not connect, or only from afar."""
        if left not in self._distances:
            self._distances[left] = self._steps_from(left)
        return self._distances[left].get(right, float("inf"))

    def _steps_from(self, start: str) -> dict[str, float]:
        """The joins to each table around one, over the cheapest paths."""
        found: dict[str, float] = {}
        queue = [(0.0, 0, start)]
        while queue:
            cost, steps, table = heapq.heappop(queue)
            if table in found or cost > _FURTHEST:
                continue
            found[table] = float(steps)
            for edge_cost, step in self._edges[table]:
                if step.right not in found:
                    heapq.heappush(queue, (cost + edge_cost, steps + 1, step.right))
        return found

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
            for step in min(paths, key=lambda path: path[0])[1]:
                steps.append(step)
                reached.add(step.right)
            missing = [table for table in missing if table not in reached]
        return steps

    def _path(self, sources: set[str], goal: str) -> tuple[float, tuple[Step, ...]] | None:
        """The cheapest path to `goal` with its cost (Dijkstra, over tables and how they were reached)."""
        if goal in sources:
            return 0.0, ()
        queue: list[tuple[float, int, str, tuple[Step, ...]]] = [(0.0, 0, source, ()) for source in sorted(sources)]
        seen: set[tuple[str, bool]] = set()
        best: dict[tuple[str, bool], float] = {}
        order = 0
        while queue:
            cost, _, table, path = heapq.heappop(queue)
            if table == goal:
                return cost, path
            up = bool(path) and path[-1].refers is True
            if (table, up) in seen:
                continue
            seen.add((table, up))
            for edge_cost, step in self._edges[table]:
                reached = cost + edge_cost + (_SIBLINGS_COST if up and step.refers is False else 0.0)
                state = (step.right, step.refers is True)
                if reached <= _FURTHEST and reached < best.get(state, _FURTHEST + 1) and step.right not in sources:
                    best[state] = reached
                    order += 1
                    heapq.heappush(queue, (reached, order, step.right, (*path, step)))
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
    sharing: dict[tuple[str, ...], dict[str, str]] = {}
    for table in schema.tables:
        for column, words in _words(table):
            if len(words) > 1 and words not in _PERSONAL:
                sharing.setdefault(words, {})[table.name] = column
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for columns in sharing.values():
        # What many tables have, such as `created_on`, joins none of them.
        if len(columns) <= _MOST_SHARED:
            for left, right in combinations(columns, 2):
                pairs.setdefault((left, right), []).append((columns[left], columns[right]))
    found: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []
    for (left, right), same in pairs.items():
        primary = schema.by_name[left].primary_key, schema.by_name[right].primary_key
        keys = [pair for pair in same if pair[0] in primary[0] or pair[1] in primary[1]]
        found.append((left, right, ((keys or same)[0],)))
    return found


def _words(table: Table) -> list[tuple[str, tuple[str, ...]]]:
    return [(column.name, tuple(map(lemma, split_name(column.name)))) for column in table.columns]


def leads_to(schema: Schema, table: str, goal: str) -> bool:
    """Whether each row of a table has at most one of the other: keys lead from it there."""
    reached, fresh = {table}, [table]
    while fresh:
        referred = {key.referred_table for key in schema.by_name[fresh.pop()].foreign_keys} - reached
        fresh += referred
        reached |= referred
    return goal in reached
