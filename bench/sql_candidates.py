"""Possible meanings of development questions, each with whether it gives what the gold statement gives."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import Pool
from random import Random
from typing import Any

from bench.sql_data import Reader, Rows, schema_of, scorer
from services.sql.engine.evidence import Evidence
from services.sql.engine.moves import Moves
from services.sql.engine.probe import outcome
from services.sql.engine.ranking import same
from services.sql.engine.search import Candidate, search
from services.sql.linking.joins import JoinGraph
from services.sql.linking.linking import LinkIndex
from services.sql.meaning.builder import Builder, Unbuildable
from services.sql.meaning.understanding import Understanding, understand
from services.sql.query import PROBED_ROWS

TODAY = dt.date(2026, 7, 1)


@dataclass(frozen=True)
class Meaning:
    """A possible meaning of a question."""

    candidate: Candidate
    sql: str
    structure: Mapping[str, float]
    factors: Sequence[tuple[str, ...]]
    outcome: Mapping[str, float]
    same: int
    """The same for meanings that give the same rows."""
    right: bool


@dataclass(frozen=True)
class Question:
    """A question with its possible meanings, the likeliest first."""

    identifier: str
    database: str
    meanings: Sequence[Meaning]
    expanded: Mapping[tuple[str, ...], Sequence[str]]
    """The features of each factor."""
    doubts: int
    unknown: int


@dataclass(frozen=True)
class Job:
    """The questions of one database, and how their meanings are found."""

    database: str
    rows: Sequence[dict[str, Any]]
    weights: Mapping[str, float]
    grams: frozenset[str] | None
    beam: bool
    """Whether to search by the weights; else what lies one step away is sampled."""
    meanings: int


def collect(jobs: Sequence[Job], workers: int) -> list[Question]:
    """The questions of all jobs with their meanings; those whose gold statement gives no row are left out."""
    if workers == 1:
        return [question for job in jobs for question in _collected(job)]
    with Pool(workers) as pool:
        return [question for found in pool.imap_unordered(_collected, jobs) for question in found]


def grams(rows: Mapping[str, Sequence[dict[str, Any]]], databases: int) -> frozenset[str]:
    """The n-grams of questions that occur with so many databases."""
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for database, asked in rows.items():
        schema = schema_of(database)
        index, graph = LinkIndex(schema), JoinGraph(schema)
        for row in asked:
            read = understand(row["question"], schema, index, graph)
            for gram in Evidence(schema, graph, read.tokens, read.marks, {}).ngrams:
                seen[gram].add(database)
    return frozenset(gram for gram, where in seen.items() if len(where) >= databases)


def _collected(job: Job) -> list[Question]:
    schema = schema_of(job.database)
    index, graph = LinkIndex(schema), JoinGraph(schema)
    builder, same_rows = Builder(schema, graph, TODAY), scorer()
    found = []
    with closing(Reader(job.database)) as reader:
        for row in job.rows:
            gold = reader.rows(row["gold_sql"], 30.0)
            read = understand(row["question"], schema, index, graph)
            if not gold or not read.frame.tables:
                continue
            evidence = Evidence(schema, graph, read.tokens, read.marks, job.weights, job.grams)
            moves = Moves(schema, graph, read.marks)
            ordered = same_rows.has_outer_order(row["gold_sql"])

            def right(rows: Rows, gold: Rows = gold, ordered: bool = ordered) -> bool:
                return bool(same_rows.same(gold, rows, ordered))

            candidates = _chosen(job, row, read, moves, evidence)
            meanings = list(_meanings(candidates, builder, reader, evidence, right))
            factors = {factor for meaning in meanings for factor in meaning.factors}
            expanded = {factor: evidence.expanded(factor) for factor in sorted(factors)}
            found.append(
                Question(row["id"], row["db"], meanings, expanded, len(read.doubts), len(read.unknown))
            )  # fmt: skip
    return found


def _chosen(job: Job, row: Mapping[str, Any], read: Understanding, moves: Moves, evidence: Evidence) -> list[Candidate]:
    """The candidates of a question that are looked at; what the rules read is always among them."""
    seeds = [seed for seed in (read.frame, moves.plain()) if seed is not None]
    if job.beam:
        found = search(seeds, moves, evidence)
        return [*found[: job.meanings], *(item for item in found[job.meanings :] if item.steps == 0)]
    found = search(seeds, moves, evidence, width=1, steps=1)
    near = [item for item in found if item.steps]
    Random(row["id"]).shuffle(near)
    return [*(item for item in found if not item.steps), *near[: job.meanings]]


def _meanings(
    candidates: Sequence[Candidate], builder: Builder, reader: Reader, evidence: Evidence, right: Callable[[Rows], bool]
) -> Iterator[Meaning]:
    known: dict[str, bool] = {}
    for candidate in candidates:
        try:
            sql = builder.build(candidate.frame)
        except Unbuildable:
            continue
        rows = reader.rows(sql)
        if rows is None:
            continue
        if sql not in known:
            known[sql] = right(rows)
        structure, factors = evidence.taken_apart(candidate.frame)
        structure["steps"] = float(candidate.steps)
        said = outcome(rows[:PROBED_ROWS], candidate.frame)
        yield Meaning(candidate, sql, structure, factors, said, hash(same(rows, candidate.frame)), known[sql])


def merged(rounds: Sequence[Sequence[Question]]) -> list[Question]:
    """The questions of several rounds, each with all meanings that were found for it."""
    found: dict[str, Question] = {}
    for question in (question for one in rounds for question in one):
        if question.identifier in found:
            earlier = found[question.identifier]
            meanings = {(item.sql, item.candidate.frame.key): item for item in (*earlier.meanings, *question.meanings)}
            expanded = {**earlier.expanded, **question.expanded}
            question = replace(question, meanings=list(meanings.values()), expanded=expanded)
        found[question.identifier] = question
    return list(found.values())
