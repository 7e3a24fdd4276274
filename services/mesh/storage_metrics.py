"""What is counted of a service's own database for Prometheus."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prometheus_client import Gauge, Histogram

CONNECTIONS = Gauge("parley_database_connections", "Connections to its database that the service may use at once.")
IN_USE = Gauge("parley_database_connections_in_use", "Connections that a transaction uses now.")
# Those beyond the connections in use wait for one.
ASKED = Gauge("parley_database_transactions", "Transactions that somebody waits for, those under way among them.")
SECONDS = Histogram(
    "parley_database_transaction_seconds",
    "Time of a transaction, from its connection to its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


@contextlib.contextmanager
def connection() -> Iterator[None]:
    """Counts a connection as used while the block runs, in whatever thread."""
    with IN_USE.track_inprogress(), SECONDS.time():
        yield
