"""Use case: what a statement costs by its database's own plan, and how it could cost less. Nothing is changed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlglot
from sqlglot import exp

from services.mesh import telemetry
from services.sql.advice import conditions, plans
from services.sql.advice.indexes import Advice, Advisor
from services.sql.advice.plans import Plan
from services.sql.advice.rewrites import Candidate, candidates
from services.sql.drivers import driver
from services.sql.drivers.driver import Session
from services.sql.errors import ConfirmationRequired, DatabaseUnavailable, SqlFailed, SqlRejected, SqlTimeout
from services.sql.execution.pool import Pools
from services.sql.guard import guard
from services.sql.schema import Schema
from services.sql.target import Target

log = telemetry.get_logger(__name__)

# A rewrite is worth its difference from this share of the cost downwards.
WORTH = 0.95
# How long a database may take to estimate a cost before a statement runs, in seconds.
EXPLAIN_SECONDS = 5.0
# Rows that are compared when a statement and its rewrite are run.
MEASURED_ROWS = 100_000


@dataclass(frozen=True)
class Rewrite:
    """An equivalent statement that costs less."""

    sql: str
    reason: str
    cost: float
    elapsed: float | None = None
    """How long it took, in seconds, where it was run."""


@dataclass(frozen=True)
class Explanation:
    """What a statement costs, and how it could cost less."""

    plan: Plan
    scans: tuple[tuple[str, int, str], ...]
    """Tables that are read in full: name, rows, condition."""
    indexes: tuple[Advice, ...]
    rewrites: tuple[Rewrite, ...]
    needs_confirmation: bool
    elapsed: float | None = None
    """How long it took, in seconds, where it was run."""


class Explainer:
    """Explains statements.

    Args:
        pools: Connections to databases.
        ceiling: The cost above which a statement has to be confirmed; 0 for none.
        max_rows: The row limit that statements are explained with.
        seconds: How long a statement may work when it is measured, in seconds.
    """

    def __init__(self, pools: Pools, ceiling: float, max_rows: int, seconds: float) -> None:
        self._pools = pools
        self._ceiling = ceiling
        self._max_rows = max_rows
        self._seconds = seconds

    async def explain(self, target: Target, sql: str, schema: Schema, measure: bool) -> Explanation:
        """Explains a statement.

        Args:
            target: The database.
            sql: Exactly one SELECT.
            schema: The database's.
            measure: Runs the statement and its rewrites, and keeps only those that give the same rows.

        Raises:
            SqlRejected: The guard refuses it.
            SqlFailed: The database refuses it.
            SqlTimeout: It is measured and takes too long.
            DatabaseUnavailable: The database cannot be reached.
        """
        return await asyncio.to_thread(self._explain, target, sql, schema, measure)

    async def confirm(self, target: Target, checked: guard.Checked, schema: Schema, confirmed: bool) -> None:
        """Lets a statement pass whose estimated cost is within the ceiling, or that was confirmed.

        A database that does not explain it lets it pass: running it says what is wrong, or shows that nothing is.

        Raises:
            ConfirmationRequired: It is neither.
        """
        if not self._ceiling or confirmed:
            return
        try:
            estimate = asyncio.to_thread(self._cost, target, checked, schema)
            cost = await asyncio.wait_for(estimate, EXPLAIN_SECONDS)
        except (SqlFailed, SqlTimeout, DatabaseUnavailable, TimeoutError) as error:
            log.info("statement not explained", error=type(error).__name__)
            return
        if cost > self._ceiling:
            raise ConfirmationRequired(cost, self._ceiling)

    def _cost(self, target: Target, checked: guard.Checked, schema: Schema) -> float:
        with self._pools.of(target).session() as session:
            return _plan(session, checked.sql, schema).cost

    def _explain(self, target: Target, sql: str, schema: Schema, measure: bool) -> Explanation:
        known = schema.sizes
        checked = guard.check(sql, schema.dialect, self._max_rows, sizes=known)
        with self._pools.of(target).session() as session:
            tree = _parsed(checked.sql, schema)
            plan = _plan(session, checked.sql, schema)
            names = {use.alias.lower(): use for use in conditions.uses(tree, schema)}
            scans = []
            for scan in plan.scans:
                use = names.get(scan.table.lower())
                own = " AND ".join(item.sql(schema.dialect.grammar) for item in use.own) if use else ""
                table = use.table.name if use else scan.table
                scans.append((table, known.get(table.lower(), 0), scan.condition or own))
            advice = Advisor(session, schema, known).advise(_parsed(sql, schema), plan)
            before = self._run(session, sql, schema) if measure else None
            rewrites = self._rewrites(session, _parsed(sql, schema), plan, schema, before)
        return Explanation(
            plan,
            tuple(dict.fromkeys(scans)),
            tuple(advice),
            tuple(rewrites),
            bool(self._ceiling) and plan.cost > self._ceiling,
            before.elapsed if before is not None else None,
        )

    def _rewrites(
        self, session: Session, tree: exp.Query, plan: Plan, schema: Schema, before: _Run | None
    ) -> list[Rewrite]:
        """Those that the plan says cost less, the cheapest first; with `before`, those that give the same rows."""
        found: dict[str, Rewrite] = {}
        for candidate in candidates(tree, schema):
            rewrite = self._judged(session, candidate, plan, schema)
            if rewrite is None or rewrite.sql in found:
                continue
            if before is not None:
                after = self._run(session, rewrite.sql, schema)
                if after.rows != before.rows:
                    continue
                rewrite = replace(rewrite, elapsed=after.elapsed)
            found[rewrite.sql] = rewrite
        return sorted(found.values(), key=lambda item: item.cost)

    def _judged(self, session: Session, candidate: Candidate, plan: Plan, schema: Schema) -> Rewrite | None:
        """A candidate with its cost; None where it is no cheaper, or does not run."""
        sql = candidate.tree.sql(schema.dialect.grammar, comments=False)
        try:
            cost = _plan(session, _bounded(sql, schema, self._max_rows), schema).cost
        except (SqlRejected, SqlFailed):
            return None
        return Rewrite(sql, candidate.reason, cost) if 0 < cost < plan.cost * WORTH else None

    def _run(self, session: Session, sql: str, schema: Schema) -> _Run:
        """Runs a statement. Raises SqlTimeout, SqlFailed."""
        bounded = _bounded(sql, schema, MEASURED_ROWS)
        started = time.monotonic()
        rows = driver.rows(session, bounded, self._seconds, MEASURED_ROWS)
        return _Run(_counted(rows), time.monotonic() - started)


@dataclass(frozen=True)
class _Run:
    """What a statement gave, in any order, and how long it took in seconds."""

    rows: Counter[str]
    elapsed: float


def _counted(rows: Iterable[tuple[object, ...]]) -> Counter[str]:
    return Counter(repr(row) for row in rows)


def _plan(session: Session, sql: str, schema: Schema) -> Plan:
    text = session.explain(sql)
    return plans.read(schema.dialect, text, conditions.sizes(_parsed(sql, schema), schema.sizes))


def _bounded(sql: str, schema: Schema, max_rows: int) -> str:
    return guard.check(sql, schema.dialect, max_rows, sizes=schema.sizes).sql


def _parsed(sql: str, schema: Schema) -> exp.Query:
    """A statement that passed the guard."""
    tree = sqlglot.parse_one(sql, dialect=schema.dialect.grammar)
    assert isinstance(tree, exp.Query)
    return tree
