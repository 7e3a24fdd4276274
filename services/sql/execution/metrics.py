"""What is counted of statements on users' databases for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

SECONDS = Histogram(
    "parley_sql_statement_seconds",
    "Time that a user's database worked on a statement.",
    ["system"],
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
ROWS = Counter("parley_sql_rows", "Rows that statements gave.", ["system"])
