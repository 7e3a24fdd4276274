"""Prometheus metrics of the gRPC server, named as the grpc-ecosystem's middlewares name them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# Unary calls take milliseconds, generations minutes.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_in_flight = Gauge("grpc_server_in_flight", "Calls being served.", ["grpc_service", "grpc_method"])
_handled = Counter("grpc_server_handled", "Calls completed, by code.", ["grpc_service", "grpc_method", "grpc_code"])
_seconds = Histogram(
    "grpc_server_handling_seconds", "Time until a call completed.", ["grpc_service", "grpc_method"], buckets=BUCKETS
)


class MethodMetrics:
    """The metrics of one method, their label look-ups done once.

    Args:
        full_name: gRPC name, `/package.Service/Method`.
    """

    __slots__ = ("_by_code", "_labels", "_seconds", "in_flight")

    def __init__(self, full_name: str) -> None:
        service, _, method = full_name.strip("/").partition("/")
        self._labels = (service, method)
        self.in_flight = _in_flight.labels(*self._labels)
        self._seconds = _seconds.labels(*self._labels)
        self._by_code: dict[str, Counter] = {}

    def completed(self, code: str, seconds: float) -> None:
        """Counts a completed call.

        Args:
            code: Name of the status code, `OK`, `NOT_FOUND` …
            seconds: How long it took.
        """
        if code not in self._by_code:
            self._by_code[code] = _handled.labels(*self._labels, code)
        self._by_code[code].inc()
        self._seconds.observe(seconds)
