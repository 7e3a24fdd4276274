"""Values of a table's columns, read within a bound of time and size: what questions may name."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from services.mesh import telemetry
from services.sql.drivers.driver import Described, Session, rows
from services.sql.errors import NotOpen, SqlFailed, SqlTimeout
from services.sql.schema import Column, Dialect, Kind, Table

log = telemetry.get_logger(__name__)

# Values are read from this many rows, kept up to this many for a column, and cut off at this length.
SCANNED_ROWS = 100_000
MAX_VALUES = 2000
MAX_VALUE_LENGTH = 120
SAMPLES = 5
# So many text columns of a table are read each by itself, for all their values; a table with more has no room for them.
DISTINCT_COLUMNS = 100
# Of columns that are no text a few rows are looked at, fewer of a wide table.
SAMPLED_CELLS = 20_000
SAMPLED_ROWS = 500
COUNTED_ROWS = 1_000_000
# A statement may take so long, in seconds; one on a view less, since a view may be any query.
TABLE_SECONDS = 5.0
VIEW_SECONDS = 1.0
_LARGE = ("blob", "binary", "bytea", "image", "varbit", "geometry")


@dataclass
class Budget:
    """What reading values may still cost, over all tables."""

    values: int = 100_000
    seconds: float = 60.0


def sampled(session: Session, described: Described, dialect: Dialect, budget: Budget) -> Table:
    """A table with values of its columns and a row count. What takes too long stays without.

    Args:
        session: With the database; it is as new afterwards.
        described: The table as the catalogue has it.
        dialect: The database's.
        budget: Is used up.

    Raises:
        DatabaseUnavailable: The database was lost.
    """
    sampler = _Sampler(session, described, dialect, budget)
    table = described.table
    first = sampler.first_rows()
    columns = tuple(sampler.column(column, first.get(column.name, ())) for column in table.columns)
    return replace(table, columns=columns, row_count=sampler.count())


class _Sampler:
    """Reads one table. A statement that takes too long is the last one on that table."""

    def __init__(self, session: Session, described: Described, dialect: Dialect, budget: Budget) -> None:
        self._session = session
        self._table = described.table
        self._seconds = VIEW_SECONDS if described.view else TABLE_SECONDS
        self._dialect = dialect
        self._budget = budget
        self._slow = False
        texts = [item.name for item in self._table.columns if item.kind is Kind.TEXT]
        self._distinct = set(texts[:DISTINCT_COLUMNS])

    def first_rows(self) -> dict[str, tuple[Any, ...]]:
        """Values of the columns that are not read by themselves, by column, from the table's first rows."""
        plain = [item for item in self._table.columns if item.name not in self._distinct and not _large(item)]
        if not plain:
            return {}
        count = max(SAMPLES, min(SAMPLED_ROWS, SAMPLED_CELLS // len(plain)))
        query = exp.select(*(_name(item.name) for item in plain)).from_(_name(self._table.name)).limit(count)
        found = self._read(query, count)
        return {item.name: tuple(row[index] for row in found) for index, item in enumerate(plain)}

    def column(self, column: Column, first: tuple[Any, ...]) -> Column:
        """A column with its distinct values."""
        if _large(column):
            return column
        if column.name in self._distinct:
            values = self._texts(column)[: max(SAMPLES, self._budget.values)]
        else:
            values = _kept(dict.fromkeys(str(value) for value in first if value is not None))[:SAMPLES]
        self._budget.values -= len(values)
        return replace(column, values=values)

    def _texts(self, column: Column) -> tuple[str, ...]:
        scanned = exp.select(exp.alias_(_name(column.name), "v")).from_(_name(self._table.name)).limit(SCANNED_ROWS)
        query = exp.select("v").distinct().from_(scanned.subquery("scanned")).where("v IS NOT NULL").limit(MAX_VALUES)
        found = self._read(query, MAX_VALUES)
        return _kept(dict.fromkeys(str(row[0]) for row in found if not isinstance(row[0], (bytes, memoryview))))

    def count(self) -> int:
        """The rows, counted up to a bound: beyond it, and where it takes too long, the database's estimate does."""
        if self._table.row_count > COUNTED_ROWS:
            return self._table.row_count
        some = exp.select("1 AS one").from_(_name(self._table.name)).limit(COUNTED_ROWS)
        found = self._read(exp.select("count(*) AS n").from_(some.subquery("counted")), 1)
        return int(found[0][0]) if found else self._table.row_count

    def _read(self, query: exp.Query, limit: int) -> list[tuple[Any, ...]]:
        """The rows of a statement; none where it fails or where there is no time left."""
        if self._slow or self._budget.seconds <= 0:
            return []
        started = time.monotonic()
        try:
            return rows(self._session, query.sql(self._dialect.value), min(self._seconds, self._budget.seconds), limit)
        except SqlTimeout:
            self._slow = True
            log.info("table is too slow to sample", seconds=self._seconds)
            return []
        except (SqlFailed, NotOpen) as error:
            # A view of tables that are gone or not open, a foreign table whose server is away, a type without equality.
            log.info("table cannot be sampled", error=type(error).__name__)
            return []
        finally:
            self._budget.seconds -= time.monotonic() - started


def _name(name: str) -> exp.Expr:
    return exp.to_identifier(name, quoted=True)


def _large(column: Column) -> bool:
    return any(mark in column.type.lower() for mark in _LARGE)


def _kept(values: dict[str, None]) -> tuple[str, ...]:
    return tuple(value for value in values if 0 < len(value) <= MAX_VALUE_LENGTH and "\x00" not in value)
