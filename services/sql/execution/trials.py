"""Trying statements out before one is the answer: checked by the guard like any other, short, and few rows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from services.mesh import telemetry
from services.mesh.errors import ParleyError
from services.sql.drivers import driver
from services.sql.errors import SchemaOutdated, SqlFailed, SqlRejected
from services.sql.execution.execute import Rows, Slots
from services.sql.execution.pool import Pools
from services.sql.guard import guard
from services.sql.query import PROBED_ROWS, Trial, Untried
from services.sql.schema import Schema
from services.sql.target import Target

log = telemetry.get_logger(__name__)

# Rows that language models' statements are compared by.
COMPARED_ROWS = 1000
# How long one probe may work, in seconds.
PROBE_SECONDS = 0.3


class Trials:
    """Tries statements out on databases.

    Args:
        pools: Connections to them.
        slots: Runs statements beside everybody else's.
        seconds: How long the probes of one question may take together; 0: nothing is probed.
        trial_seconds: How long one statement of a language model that thinks may work.
    """

    def __init__(self, pools: Pools, slots: Slots, seconds: float = 0.5, trial_seconds: float = 10.0) -> None:
        self._pools = pools
        self._slots = slots
        self._seconds = seconds
        self._trial_seconds = trial_seconds

    def probe(self, target: Target, schema: Schema) -> Probing | None:
        """For one question to a database; None where nothing is probed."""
        return Probing(self._pools, target, schema, self._seconds) if self._seconds else None

    async def attempt(self, target: Target, schema: Schema, sql: str) -> Trial:
        """What a statement gives, or what is said against it. Cancelling stops it in the database."""
        rows: list[tuple[Any, ...]] = []
        try:
            checked = guard.check(sql, schema.dialect, COMPARED_ROWS, sizes=schema.sizes)
            parts = self._slots.run(target, checked, COMPARED_ROWS, self._trial_seconds)
            async with contextlib.aclosing(parts):
                async for part in parts:
                    if isinstance(part, Rows):
                        rows += [tuple(row) for row in part.rows]
        except ParleyError as error:
            return Trial(error=error.message)
        return Trial(tuple(rows))


class Probing:
    """Probes of one question; implements services.sql.query.Probe.

    Args:
        pools: Connections.
        target: The database.
        schema: Its schema.
        seconds: How long they may take together.
    """

    def __init__(self, pools: Pools, target: Target, schema: Schema, seconds: float) -> None:
        self._pool = pools.of(target)
        self._schema = schema
        self._seconds = min(PROBE_SECONDS, seconds)
        self._end = time.monotonic() + seconds
        self.outdated = False
        """Whether a statement named what the database does not have: its schema changed."""

    def __call__(self, sql: str) -> Sequence[Sequence[Any]] | Untried | None:
        """The first rows; see Probe."""
        left = self._end - time.monotonic()
        if left <= 0:
            return Untried.UNTRIED
        try:
            checked = guard.check(sql, self._schema.dialect, PROBED_ROWS, sizes=self._schema.sizes)
            with self._pool.session() as session:
                try:
                    return driver.rows(session, checked.sql, min(self._seconds, left), PROBED_ROWS)
                except SqlFailed as error:
                    # The session is as good as before.
                    self.outdated = self.outdated or isinstance(error, SchemaOutdated)
                    return None
        except SqlRejected:
            return None
        except ParleyError as error:
            log.debug("probe failed", reason=error.reason)
            return Untried.UNTRIED
