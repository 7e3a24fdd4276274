"""The demo's trace receiver: what a real OTLP exporter sends becomes the way of a request."""

from __future__ import annotations

import io

import httpx
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
    """A trace of Envoy and two services: chat calls sql, which has a step of its own and asks a silent Triton."""
    root = Root.new()
    with Receiver() as receiver:
        gateway, chat, sql = (provider(receiver, name) for name in ("gateway", "chat", "sql"))
        client = TraceContextTextMapPropagator().extract({"traceparent": root.traceparent})
        ingress = gateway.get_tracer("t").start_span("ingress", client, SpanKind.SERVER)
        behind = trace.set_span_in_context(ingress)
        outer = chat.get_tracer("t").start_span("parley.chat.v1.ChatService/SendMessage", behind, SpanKind.SERVER)
        below_outer = trace.set_span_in_context(outer)
        call = chat.get_tracer("t").start_span("parley.sql.v1.SqlService/Ask", below_outer, SpanKind.CLIENT)
        below_call = trace.set_span_in_context(call)
        served = sql.get_tracer("t").start_span("parley.sql.v1.SqlService/Ask", below_call, SpanKind.SERVER)
        below_served = trace.set_span_in_context(served)
        sql.get_tracer("t").start_span("database.execute", below_served).end()
        sql.get_tracer("t").start_span(
            "inference.GRPCInferenceService/ModelInfer", below_served, SpanKind.CLIENT, attributes={"model": "vad"}
        ).end()
        for span in (served, call, outer, ingress):
            span.end()
        for exporter in (gateway, chat, sql):
            exporter.shutdown()
        found = receiver.trace(root)
        assert len(found) == 6
        assert receiver.trace(Root.new(), timeout=0.1) == []
    return root, receiver


def test_a_call_and_the_called_services_span_are_one_hop(exported: tuple[Root, Receiver]) -> None:
    root, receiver = exported
    (gateway,) = hops(receiver.trace(root, timeout=0), root.span_id)
    assert (gateway.span.service, gateway.span.kind) == ("gateway", "server")
    (chat,) = gateway.below
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
    lines = text.getvalue().splitlines()[1:-1]
    labels = [line.strip().split(" ms")[0].rsplit(maxsplit=1)[0].strip() for line in lines]
    assert labels == [
        "client  stub",
        "└─ Envoy",
        "└─ chat  SendMessage",
        "└─ sql  Ask",
        "├─ your database",
        "└─ Triton  vad",
    ]
    assert all(" ms " in line for line in lines)


def test_spans_as_json_are_taken_too() -> None:
    """As Triton exports them: OTLP/HTTP, whose ids are hexadecimal."""
    root = Root.new()
    text = {"stringValue": "triton"}
    span = {
        "traceId": root.trace_id,
        "spanId": "ab" * 8,
        "parentSpanId": root.span_id,
        "name": "vad",
        "kind": 2,
        "startTimeUnixNano": "1000000",
        "endTimeUnixNano": "3000000",
        "attributes": [{"key": "triton.model_version", "value": {"intValue": "1"}}],
    }
    resource = {"attributes": [{"key": "service.name", "value": text}]}
    export = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    with Receiver() as receiver:
        httpx.post(receiver.http_endpoint, json=export, trust_env=False).raise_for_status()
        (found,) = receiver.trace(root)
        assert receiver.traces() == {root.trace_id}
    assert (found.service, found.name, found.kind, found.milliseconds) == ("triton", "vad", "server", 2.0)
    assert (found.parent_id, found.attributes) == (root.span_id, {"triton.model_version": "1"})
