"""Prometheus metrics of the gRPC server, named as the grpc-ecosystem's middlewares name them.

Counted in plain integers and made into metric families when somebody scrapes: the event loop is the only writer, and
the client library's own counters, which lock and look labels up, cost some 7 µs a call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# Unary calls take milliseconds, generations minutes. In seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
LABELS = ("grpc_type", "grpc_service", "grpc_method")
TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
"""What a method is, by whether its request and its response are streams."""


class MethodMetrics:
    """The metrics of one method of one server.

    Args:
        full_name: gRPC name, `/package.Service/Method`.
        kind: One of TYPES.

    Attributes:
        labels: Type, service and method.
        in_flight: Calls being served.
        codes: Calls completed, by the name of their status code.
        buckets: Calls completed, by the first of BUCKETS that is not below their time; the last counts the longer ones.
        seconds: Sum of their times.
    """

    __slots__ = ("buckets", "codes", "in_flight", "labels", "seconds")

    def __init__(self, full_name: str, kind: str) -> None:
        service, _, method = full_name.strip("/").partition("/")
        self.labels = (kind, service, method)
        self.in_flight = 0
        self.codes: Counter[str] = Counter()
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def completed(self, code: str, seconds: float) -> None:
        """Counts a completed call.

        Args:
            code: Name of the status code, `OK`, `NOT_FOUND` …
            seconds: How long it took.
        """
        self.in_flight -= 1
        self.codes[code] += 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class ServerMetrics(Collector):
    """The metrics of all methods in this process; those of one name, of several servers in a test, are added up."""

    def __init__(self) -> None:
        self._methods: list[MethodMetrics] = []

    def method(self, full_name: str, kind: str) -> MethodMetrics:
        """Metrics for a method of this type, collected from now on."""
        made = MethodMetrics(full_name, kind)
        self._methods.append(made)
        return made

    def collect(self) -> Iterator[Metric]:
        """The metric families, as they are now."""
        in_flight = GaugeMetricFamily("grpc_server_in_flight", "Calls being served.", labels=LABELS)
        handled = CounterMetricFamily("grpc_server_handled", "Calls completed, by code.", labels=(*LABELS, "grpc_code"))
        times = HistogramMetricFamily("grpc_server_handling_seconds", "Time until a call completed.", labels=LABELS)
        for labels in sorted({method.labels for method in self._methods}):
            same = [method for method in self._methods if method.labels == labels]
            in_flight.add_metric(labels, sum(method.in_flight for method in same))
            codes = sum((method.codes for method in same), Counter[str]())
            for code, count in sorted(codes.items()):
                handled.add_metric((*labels, code), count)
            total, cumulative = 0, []
            for index, bound in enumerate((*map(str, BUCKETS), "+Inf")):
                total += sum(method.buckets[index] for method in same)
                cumulative.append((bound, total))
            times.add_metric(labels, cumulative, sum(method.seconds for method in same))
        yield from (in_flight, handled, times)


METRICS = ServerMetrics()
REGISTRY.register(METRICS)
