"""Logs and traces.

Logs are JSON lines on standard error with the request and trace ids of the call that is being served. Traces go to an
OTLP collector when an endpoint is set; without one nothing is recorded, and the trace context only travels on. No
secret, prompt or audio belongs into either.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from services.mesh import context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind, Tracer


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Lets imports in the block take it that a package is not installed, unless it is loaded already."""
    if package in sys.modules:
        yield
        return
    # What the import system itself takes for "there is none".
    sys.modules[package] = None  # type: ignore[assignment]  # typeshed knows modules only
    try:
        yield
    finally:
        del sys.modules[package]


# It loads rich and its highlighter where they are installed, as on a laptop they are: 5 MB in every process, for
# consoles that no service writes to.
with _without("rich"):
    import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_provider: TracerProvider | None = None
_tracer: Tracer | None = None
_span: ContextVar[Span | None] = ContextVar("parley_span", default=None)


def _add_call(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names the current call in a log line."""
    call = context.current()
    if call is not None:
        event["request_id"], event["trace_id"], event["method"] = call.request_id, call.trace_id, call.method
    return event


# Without the values of local variables: those hold URLs with passwords, prompts and audio.
_exceptions = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _stderr(*_names: str) -> structlog.WriteLogger:
    """A logger on standard error as it is now: tests replace it."""
    return structlog.WriteLogger(sys.stderr)


def _configure(service: str, level: int, *, cache: bool) -> None:
    """Sets up structlog. Only a process whose standard error stays the same may keep its loggers."""

    def add_service(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            add_service,
            _add_call,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exceptions,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_stderr,
        cache_logger_on_first_use=cache,
    )


# Until configure_logs is called, and where it never is, as in tests: structlog's own default shows local variables.
_configure("parley", logging.INFO, cache=False)


def configure_logs(service: str, level: str) -> None:
    """Sends logs to standard error as JSON lines.

    Args:
        service: Name of the service, in every line.
        level: debug, info, warning or error.
    """
    _configure(service, LEVELS[level], cache=True)
    # Libraries log through the standard library: their warnings come out beside ours, as they are.
    logging.basicConfig(stream=sys.stderr, level=max(LEVELS[level], logging.WARNING))


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry the module's name."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


def configure_traces(service: str, endpoint: str) -> None:
    """Records spans and sends them to a collector; does nothing when the endpoint is empty.

    Args:
        service: `service.name` of the spans.
        endpoint: OTLP/gRPC address, e.g. http://127.0.0.1:4317.
    """
    global _provider, _tracer
    if not endpoint:
        return
    # Imported here: the SDK costs a process that records nothing some 20 MB and a tenth of a second.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    _provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    _provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    _tracer = _provider.get_tracer("parley")


def shutdown() -> None:
    """Sends what is recorded and stops recording."""
    global _provider, _tracer
    if _provider is not None:
        _provider.shutdown()
    _provider = _tracer = None


def recording() -> bool:
    """Whether spans are recorded."""
    return _tracer is not None


def start_server_span(call: context.Call) -> Span | None:
    """Starts the span of a call that arrived, whose traceparent becomes that of the span. None when not recording."""
    if _tracer is None:
        return None
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": call.traceparent, "tracestate": call.tracestate})
    started = _tracer.start_span(call.method.strip("/"), context=parent, kind=SpanKind.SERVER)
    started.set_attribute("rpc.system", "grpc")
    call.traceparent = traceparent_of(started)
    _span.set(started)
    return started


def start_client_span(method: str) -> Span | None:
    """Starts the span of a call to another service, below the current one. None when not recording."""
    if _tracer is None:
        return None
    from opentelemetry.trace import SpanKind

    return _start(method.strip("/"), SpanKind.CLIENT)


def _start(name: str, kind: SpanKind) -> Span:
    from opentelemetry import trace

    assert _tracer is not None
    parent = _span.get()
    return _tracer.start_span(name, context=trace.set_span_in_context(parent) if parent else None, kind=kind)


def traceparent_of(span: Span) -> str:
    """The W3C traceparent that makes a span the parent of another hop."""
    ids = span.get_span_context()
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{int(ids.trace_flags):02x}"


@contextmanager
def span(name: str, **attributes: str | float | bool) -> Iterator[None]:
    """Records a step of the work as a span below the current one; free when not recording.

    Outside of calls nothing is recorded: a worker that looks for work every other second would fill the collector.

    Args:
        name: What is done, e.g. `database.execute`.
        **attributes: Facts about it; no secret, prompt or audio.
    """
    outer = _span.get()
    if _tracer is None or outer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    inner = _start(name, SpanKind.INTERNAL)
    for key, value in attributes.items():
        inner.set_attribute(key, value)
    _span.set(inner)
    try:
        yield
    finally:
        # Set back by hand: a generator may be closed in another context than the one that opened the span.
        _span.set(outer)
        inner.end()
