"""Plans as databases print them, where the test of the real database is elsewhere or has another version."""

from __future__ import annotations

import json

import pytest

from services.sql.advice.plans import Scan, read
from services.sql.schema import Dialect

CLICKHOUSE = """Aggregating
└──ReadFromMergeTree (d.orders)
      Read type: Default
      Parts: 1 | Granules: {granules}
      Prewhere filter column:  status = 'x'
{indexes}"""
INDEXES = """      Indexes:
        PrimaryKey
          Parts: 1/1
          Granules: 1/4"""
# MySQL 8 says its cost; MariaDB 10 does not.
MYSQL = {
    "query_block": {
        "select_id": 1,
        "cost_info": {"query_cost": "2041.35"},
        "nested_loop": [
            {
                "table": {
                    "table_name": "o",
                    "access_type": "ALL",
                    "rows_examined_per_scan": 19973,
                    "filtered": "10.00",
                    "attached_condition": "(`o`.`status` = 'x')",
                }
            },
            {"table": {"table_name": "c", "access_type": "eq_ref", "rows_examined_per_scan": 1, "filtered": "100.00"}},
        ],
    }
}
POSTGRESQL = """Limit  (cost=30.12..40.50 rows=11 width=8)
  ->  Hash Join  (cost=30.12..900.00 rows=900 width=8)
        Hash Cond: (o.customer_id = c.id)
        ->  Parallel Seq Scan on "odd name" o  (cost=0.00..364.00 rows=20000 width=8)
              Filter: (total > 5)
        ->  Index Scan using c_pkey on customers c  (cost=0.28..8.29 rows=1 width=4)
              Index Cond: (id = 7)
              Filter: (city = 'Hue'::text)"""
SQLITE = """SCAN o
CORRELATED SCALAR SUBQUERY 1
  SEARCH c USING INTEGER PRIMARY KEY (rowid=?)
SEARCH x USING AUTOMATIC COVERING INDEX (customer_id=?)
USE TEMP B-TREE FOR ORDER BY"""


@pytest.mark.parametrize(
    ("granules", "indexes", "cost", "scans"),
    [("4", "", 20_000, (Scan("orders", "status = 'x'"),)), ("1", INDEXES, 5_000, ())],
)
def test_clickhouse(granules: str, indexes: str, cost: float, scans: tuple[Scan, ...]) -> None:
    found = read(Dialect.CLICKHOUSE, CLICKHOUSE.format(granules=granules, indexes=indexes), {"orders": 20_000})
    assert (found.cost, found.scans) == (cost, scans)


def test_mysql_says_its_own_cost() -> None:
    found = read(Dialect.MYSQL, json.dumps(MYSQL), {})
    assert (found.cost, found.scans) == (2041.35, (Scan("o", "(`o`.`status` = 'x')"),))


def test_postgresql_scans_are_those_without_an_index() -> None:
    found = read(Dialect.POSTGRESQL, POSTGRESQL, {})
    assert (found.cost, found.rows, found.scans) == (40.5, 11, (Scan("odd name", "(total > 5)"),))


def test_an_index_that_sqlite_makes_for_one_statement_is_a_scan() -> None:
    found = read(Dialect.SQLITE, SQLITE, {"o": 100, "x": 5000, "c": 10})
    assert found.scans == (Scan("o"), Scan("x", "customer_id=?"))
    assert found.cost > 5000


@pytest.mark.parametrize("text", ["", "nonsense", "[]"])
@pytest.mark.parametrize("dialect", [Dialect.POSTGRESQL, Dialect.SQLITE, Dialect.CLICKHOUSE, Dialect.MONGODB])
def test_a_plan_that_says_nothing_costs_nothing(dialect: Dialect, text: str) -> None:
    found = read(dialect, text, {})
    assert (found.text, found.cost, found.scans) == (text, 0.0, ())
