"""Channels to other services: found by name, balanced, kept alive, and carrying the current call's context along.

A channel's calls forward the deadline (the nearer of theirs and the served call's), the identity, the request id and
the trace of the call that is being served. When that call is cancelled, awaiting code is, and with it the call made
here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from services.mesh import context, telemetry

# Only methods that change nothing are tried again: Get and List, and Triton's questions about itself.
IDEMPOTENT = [
    {"service": "parley.asr.v1.SpeechRecognition", "method": "ListModels"},
    {"service": "parley.image.v1.ImageService", "method": "GetImage"},
    {"service": "parley.image.v1.ImageService", "method": "GetJob"},
    {"service": "parley.image.v1.ImageService", "method": "ListModels"},
    {"service": "parley.sql.v1.SqlService", "method": "GetDatabase"},
    {"service": "parley.sql.v1.SqlService", "method": "GetSchema"},
    {"service": "parley.sql.v1.SqlService", "method": "GetVocabulary"},
    {"service": "parley.sql.v1.SqlService", "method": "ListDatabases"},
    {"service": "inference.GRPCInferenceService", "method": "ModelReady"},
    {"service": "inference.GRPCInferenceService", "method": "ServerReady"},
    {"service": "inference.GRPCInferenceService", "method": "ServerLive"},
]
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": IDEMPOTENT,
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
Metadata = Sequence[tuple[str, str | bytes]]


def options(max_message_bytes: int) -> list[tuple[str, Any]]:
    """The channel arguments of every channel.

    Args:
        max_message_bytes: Largest message either way.
    """
    return [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A dependency that restarts is found again within a second rather than gRPC's default of two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


def channel(target: str, *, max_message_bytes: int = 72 * 1024 * 1024) -> grpc.aio.Channel:
    """A channel to a service.

    Args:
        target: host:port; names are resolved by DNS to all of their addresses, and calls go round them.
        max_message_bytes: Largest message either way.
    """
    address = target if "://" in target or target.startswith(("dns:", "unix:", "ipv4:")) else f"dns:///{target}"
    return ForwardingChannel(grpc.aio.insecure_channel(address, options=options(max_message_bytes)))


class ForwardingChannel(grpc.aio.Channel):
    """A channel whose calls carry the current call's context.

    Not gRPC's client interceptors: those wrap every call in further tasks, and cancelling what they wrap is unreliable.

    Args:
        inner: The channel that makes the calls.
    """

    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel; calls in flight have `grace` seconds, none where it is None."""
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection; connects when asked to."""
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the state is no longer the one given."""
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when the channel is connected."""
        await self._inner.channel_ready()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method with one request and one response."""
        return _forwarding(method, self._inner.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method that streams responses."""
        return _forwarding(method, self._inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method that takes a stream of requests."""
        return _forwarding(method, self._inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method that streams both ways."""
        return _forwarding(method, self._inner.stream_stream(method, *args, **kwargs))


def _forwarding(method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """A callable that makes the same call with the context added."""

    def call(
        request: Iterable[Any] | AsyncIterable[Any] | Any = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **kwargs: Any,
    ) -> Any:
        served = context.current()
        extra = context.outbound(served)
        span = telemetry.start_client_span(method)
        if span is not None:
            parent = telemetry.traceparent_of(span)
            extra = [item for item in extra if item[0] != context.TRACEPARENT] + [(context.TRACEPARENT, parent)]
        left = served.remaining() if served is not None else None
        limits = [seconds for seconds in (timeout, left) if seconds is not None]
        made = inner(request, timeout=min(limits, default=None), metadata=(*(metadata or ()), *extra), **kwargs)
        if span is not None:
            made.add_done_callback(lambda _call: span.end())
        return made

    return call
