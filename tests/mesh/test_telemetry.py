"""Traces reach a real OTLP collector as one tree, and logs name the call."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from services.mesh import channels, telemetry
from services.mesh.server import Bound, running
from services.mesh.settings import ServiceSettings


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that arrive."""

    def __init__(self) -> None:
        self.spans: list[trace_pb2.Span] = []

    async def Export(self, request, context):  # type: ignore[no-untyped-def]
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    kept, server = Collector(), grpc.aio.server()
    add: Callable[[Collector, grpc.aio.Server], None] = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield kept, f"http://127.0.0.1:{port}"
    await server.stop(0)


class Inner(chat_pb2_grpc.ChatServiceServicer):
    async def ListModels(self, request, context):  # type: ignore[no-untyped-def]
        with telemetry.span("database.execute", rows=3):
            return chat_pb2.ListModelsResponse()


class Outer(chat_pb2_grpc.ChatServiceServicer):
    """Calls another service."""

    def __init__(self, target: str) -> None:
        self.target = target

    async def ListModels(self, request, context):  # type: ignore[no-untyped-def]
        async with channels.channel(self.target) as channel:
            return await chat_pb2_grpc.ChatServiceStub(channel).ListModels(request)


def bound(servicer: chat_pb2_grpc.ChatServiceServicer) -> list[Bound]:
    descriptor = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
    return [Bound(chat_pb2_grpc.add_ChatServiceServicer_to_server, servicer, descriptor)]


async def test_one_request_is_one_tree_of_spans(collector: tuple[Collector, str]) -> None:
    kept, endpoint = collector
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    telemetry.configure_traces("chat", endpoint)
    try:
        settings = ServiceSettings()
        async with (
            running(settings, bound(Inner())) as inner,
            running(settings, bound(Outer(inner))) as outer,
            grpc.aio.insecure_channel(outer) as channel,
        ):
            await chat_pb2_grpc.ChatServiceStub(channel).ListModels(
                chat_pb2.ListModelsRequest(), metadata=(("traceparent", f"00-{trace_id}-{parent_id}-01"),)
            )
    finally:
        # Flushing blocks, while the collector needs this very loop to take the spans.

        await asyncio.to_thread(telemetry.shutdown)
    spans = {(span.name, span.kind): span for span in kept.spans}
    rpc = "parley.chat.v1.ChatService/ListModels"
    server = [span for span in kept.spans if span.kind == trace_pb2.Span.SPAN_KIND_SERVER]
    client = spans[(rpc, trace_pb2.Span.SPAN_KIND_CLIENT)]
    step = spans[("database.execute", trace_pb2.Span.SPAN_KIND_INTERNAL)]
    first = next(span for span in server if span.parent_span_id.hex() == parent_id)
    second = next(span for span in server if span is not first)
    assert {span.trace_id.hex() for span in kept.spans} == {trace_id}
    assert client.parent_span_id == first.span_id
    assert second.parent_span_id == client.span_id
    assert step.parent_span_id == second.span_id


def test_log_lines_are_json_and_name_the_call() -> None:
    program = """
from services.mesh import context, telemetry
telemetry.configure_logs("sql", "info")
log = telemetry.get_logger("here")
context.enter(context.Call(method="/a.B/C", request_id="r-1", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-00"))
log.debug("unseen")
log.info("seen", rows=3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    entry = json.loads(line)
    assert (entry["service"], entry["module"], entry["event"], entry["rows"]) == ("sql", "here", "seen", 3)
    assert (entry["method"], entry["request_id"], entry["trace_id"]) == ("/a.B/C", "r-1", "a" * 32)


def test_a_logged_exception_shows_no_values_of_variables() -> None:
    program = """
from services.mesh import telemetry
if CONFIGURED:
    telemetry.configure_logs("sql", "info")
log = telemetry.get_logger("here")
def connect(url):
    raise RuntimeError("no such host")
try:
    connect("postgresql://ann:" + "hunter" + str(2) + "@db/shop")
except RuntimeError as error:
    log.error("unexpected error", exc_info=error)
"""
    for configured in ("True", "False"):
        command = [sys.executable, "-c", program.replace("CONFIGURED", configured)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        printed = done.stdout + done.stderr
        assert "no such host" in printed
        assert "hunter2" not in printed
