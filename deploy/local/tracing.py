"""A small OTLP receiver that keeps the spans of traces in memory, and the hops that they tell of.

It takes what Envoy and the services export over OTLP/gRPC (opentelemetry-proto's TraceService) and what Triton exports
over OTLP/HTTP as JSON, and nothing else; for the demo and for looking at one request, not for production.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS = {trace_pb2.Span.SPAN_KIND_SERVER: "server", trace_pb2.Span.SPAN_KIND_CLIENT: "client"}

# Services export every half second: a trace that got nothing new for longer than that is whole.
QUIET_SECONDS = 0.75


class Root(NamedTuple):
    """The span that a client starts a trace with."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""

    @property
    def traceparent(self) -> str:
        """The W3C header that makes a request part of the trace, sampled."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @classmethod
    def new(cls) -> Self:
        """A trace of its own."""
        return cls(os.urandom(16).hex(), os.urandom(8).hex())


class Span(NamedTuple):
    """A step of the work of one service."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    """`parley.sql.v1.SqlService/Ask` for an RPC; what is done, for a step within."""
    kind: str
    """server, client or internal."""
    start: int
    """Nanoseconds since 1970."""
    end: int
    attributes: dict[str, str]

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e6


@dataclass
class Hop:
    """A stop of a request on its way: a span with what happened below it.

    Attributes:
        span: The work itself; for a call to another service, that service's own span.
        wire: Milliseconds between the caller and that service; None where the hop is no such call.
        below: What it led to, by start.
    """

    span: Span
    wire: float | None = None
    below: list[Hop] = field(default_factory=list)


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Receives spans on two free ports of loopback, one for each protocol; a context manager."""

    def __init__(self) -> None:
        self._spans: dict[str, list[Span]] = {}
        self._changed = threading.Condition()
        self._latest = time.monotonic()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        # The generated code has no annotations.
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _posted_to(self))
        self._listening = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="otlp-http")

    def __enter__(self) -> Self:
        self._server.start()
        self._listening.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()
        self._http.shutdown()
        self._listening.join()
        self._http.server_close()

    @property
    def endpoint(self) -> str:
        """What PARLEY_<SERVICE>_OTLP_ENDPOINT has to say."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def http_endpoint(self) -> str:
        """Where spans as JSON are taken: what Triton is told."""
        return f"http://127.0.0.1:{self._http.server_port}/v1/traces"

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Takes spans."""
        self.keep(_spans(request))
        return trace_service_pb2.ExportTraceServiceResponse()

    def keep(self, spans: Iterable[Span]) -> None:
        """Adds spans to their traces."""
        with self._changed:
            for span in spans:
                self._spans.setdefault(span.trace_id, []).append(span)
            self._latest = time.monotonic()
            self._changed.notify_all()

    def traces(self) -> set[str]:
        """The ids of the traces that it knows."""
        with self._changed:
            return set(self._spans)

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace so far."""
        with self._changed:
            return list(self._spans.get(trace_id, []))

    def trace(self, root: Root, timeout: float = 8.0) -> list[Span]:
        """The spans of a trace that has ended, once no more of them come.

        Args:
            root: The client's span.
            timeout: Seconds after which what is there is returned, be it whole or not.
        """
        deadline = time.monotonic() + timeout
        asked = time.monotonic()
        with self._changed:
            while (now := time.monotonic()) < deadline:
                found = self._spans.get(root.trace_id, [])
                quiet = now - max(self._latest, asked)
                if quiet >= QUIET_SECONDS and _whole(found, root):
                    break
                self._changed.wait(min(QUIET_SECONDS - quiet if quiet < QUIET_SECONDS else 0.1, deadline - now))
        return self.spans(root.trace_id)


def _posted_to(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    """What answers OTLP/HTTP for a receiver."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.keep(_json_spans(json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
            """Says nothing."""

    return Handler


def _whole(spans: Sequence[Span], root: Root) -> bool:
    """Whether there are spans and each of them has its parent."""
    known = {root.span_id, *(span.span_id for span in spans)}
    return bool(spans) and all(span.parent_id in known for span in spans)


def _spans(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterable[Span]:
    """The spans of an export."""
    for resource in request.resource_spans:
        names = {item.key: item.value.string_value for item in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    service=names.get("service.name", ""),
                    name=span.name,
                    kind=KINDS.get(span.kind, "internal"),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes={item.key: _text(item.value) for item in span.attributes},
                )


def _json_spans(export: Any) -> Iterable[Span]:
    """The spans of an export as JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding)."""
    for resource in export["resourceSpans"]:
        names = _json_attributes(resource["resource"])
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield Span(
                    trace_id=span["traceId"],
                    span_id=span["spanId"],
                    parent_id=span.get("parentSpanId", ""),
                    service=names.get("service.name", ""),
                    name=span["name"],
                    kind=KINDS.get(span.get("kind"), "internal"),
                    start=int(span["startTimeUnixNano"]),
                    end=int(span["endTimeUnixNano"]),
                    attributes=_json_attributes(span),
                )


def _json_attributes(holder: Any) -> dict[str, str]:
    """The attributes of a resource or a span: each value is an object with its type as its one key."""
    return {item["key"]: str(next(iter(item["value"].values()), "")) for item in holder.get("attributes", [])}


def _text(value: Any) -> str:
    """An OTLP attribute value as text."""
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""


def hops(spans: Sequence[Span], parent_id: str) -> list[Hop]:
    """The hops below a span, by start.

    A call between two services has two spans, the caller's and the called one's: they become one hop, whose `wire` is
    the difference. A call to something that exports no spans, Triton for one, stays the caller's span.

    Args:
        spans: Those of one trace.
        parent_id: The span to start below.
    """
    found = []
    for span in sorted((span for span in spans if span.parent_id == parent_id), key=lambda span: span.start):
        below = hops(spans, span.span_id)
        if span.kind == "client" and len(below) == 1 and below[0].span.kind == "server":
            served = below[0]
            served.wire = span.milliseconds - served.span.milliseconds
            found.append(served)
        else:
            found.append(Hop(span, below=below))
    return found
