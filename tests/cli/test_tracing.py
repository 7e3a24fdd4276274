"""The demo's trace receiver: what a real OTLP exporter sends becomes the way of a request."""

from __future__ import annotations

import io

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from rich.console import Console

from deploy.local.demo_view import View
from deploy.local.tracing import Receiver, Root, hops


def provider(receiver: Receiver, service: str) -> TracerProvider:
    """What a service exports with."""
    made = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=receiver.endpoint, insecure=True)))
    return made


@pytest.fixture
def exported() -> tuple[Root, Receiver]:
    """A trace of two services: chat calls sql, which has a step of its own and asks a Triton that exports nothing."""
    root = Root.new()
    with Receiver() as receiver:
        chat, sql = provider(receiver, "chat"), provider(receiver, "sql")
        client = TraceContextTextMapPropagator().extract({"traceparent": root.traceparent})
        outer = chat.get_tracer("t").start_span("parley.chat.v1.ChatService/SendMessage", client, SpanKind.SERVER)
        below_outer = trace.set_span_in_context(outer)
        call = chat.get_tracer("t").start_span("parley.sql.v1.SqlService/Ask", below_outer, SpanKind.CLIENT)
        below_call = trace.set_span_in_context(call)
        served = sql.get_tracer("t").start_span("parley.sql.v1.SqlService/Ask", below_call, SpanKind.SERVER)
        below_served = trace.set_span_in_context(served)
        sql.get_tracer("t").start_span("database.execute", below_served).end()
        sql.get_tracer("t").start_span(
            "inference.GRPCInferenceService/ModelInfer", below_served, SpanKind.CLIENT, attributes={"model": "vad"}
        ).end()
        for span in (served, call, outer):
            span.end()
        chat.shutdown()
        sql.shutdown()
        found = receiver.trace(root)
        assert len(found) == 5
        assert receiver.trace(Root.new(), timeout=0.1) == []
    return root, receiver


def test_a_call_and_the_called_services_span_are_one_hop(exported: tuple[Root, Receiver]) -> None:
    root, receiver = exported
    (chat,) = hops(receiver.trace(root, timeout=0), root.span_id)
    assert (chat.span.service, chat.span.kind, chat.wire) == ("chat", "server", None)
    (sql,) = chat.below
    assert (sql.span.service, sql.span.kind) == ("sql", "server")
    assert sql.wire is not None
    assert 0 <= sql.wire < chat.span.milliseconds
    assert [hop.span.name.partition("/")[0] for hop in sql.below] == [
        "database.execute",
        "inference.GRPCInferenceService",
    ]


def test_the_way_is_shown_as_a_tree_with_milliseconds(
    exported: tuple[Root, Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.demo_view.MINIMUM_MS", 0.0)
    root, receiver = exported
    below = hops(receiver.trace(root, timeout=0), root.span_id)
    text = io.StringIO()
    start = below[0].span.start - 1_000_000
    View(Console(file=text, width=140)).hops("stub", start, below[0].span.end + 1_000_000, below)
    lines = text.getvalue().splitlines()[1:-2]
    labels = [line.strip().split(" ms")[0].rsplit(maxsplit=1)[0].strip() for line in lines]
    assert labels == [
        "client  stub",
        "└─ Envoy",
        "└─ chat  SendMessage",
        "└─ sql  Ask",
        "├─ your database",
        "└─ Triton  vad",
    ]
    assert lines[1].split() == ["└─", "Envoy", "2.0", "ms", "¹"]
    assert all(" ms " in line for line in lines)
