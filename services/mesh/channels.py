"""Channels to other services: found by name, balanced, kept alive, and carrying the current call's context along.

A channel's calls forward the deadline (the nearer of theirs and the served call's), the identity, the request id and
the trace of the call that is being served. When that call is cancelled, awaiting code is, and with it the call made
here.

With certificates a channel shows its own, and checks that of whom it reaches for the name in the target.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from services.mesh import context, telemetry
from services.mesh.certificates import Certificates, Loaded, Renewed, channel_credentials

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
TRITON = "/inference.GRPCInferenceService/"
TRACE = (context.TRACEPARENT, context.TRACESTATE)
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


def channel(
    target: str, certificates: Certificates | None = None, *, max_message_bytes: int = 72 * 1024 * 1024
) -> grpc.aio.Channel:
    """A channel to a service.

    Args:
        target: host:port; names are resolved by DNS to all of their addresses, and calls go round them. The certificate
            there has to be that host's. name@host:port: it has to be that name's.
        certificates: This process's. None: plaintext.
        max_message_bytes: Largest message either way.

    Raises:
        CertificateError: The certificate cannot be used.
    """
    name, _, place = target.rpartition("@")
    address = place if "://" in place or place.startswith(("dns:", "unix:", "ipv4:")) else f"dns:///{place}"
    arguments = options(max_message_bytes)
    if name:
        arguments.append(("grpc.ssl_target_name_override", name))
    if certificates is None:
        return ForwardingChannel(grpc.aio.insecure_channel(address, options=arguments))

    def connect(loaded: Loaded) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(address, channel_credentials(loaded), options=arguments)

    return ForwardingChannel(RenewingChannel(Renewed(certificates, connect)))


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


class Generation:
    """A channel, until another one has replaced it and its last call has ended.

    gRPC closes a channel at once, but for the calls that it happens to find awaited: so they are counted here.

    Args:
        channel: It.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._in_flight = 0
        self._replaced = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing is left to be closed."""
        return self._closing is not None and self._closing.done()

    def made(self, call: Any) -> Any:
        """Counts a call until it has ended; returns it."""
        self._in_flight += 1
        call.add_done_callback(self._ended)
        return call

    def replace(self) -> None:
        """Closes the channel, as soon as no call is in flight."""
        self._replaced = True
        self._close_idle()

    def _ended(self, _call: Any) -> None:
        self._in_flight -= 1
        self._close_idle()

    def _close_idle(self) -> None:
        if self._replaced and not self._in_flight and self._closing is None:
            self._closing = asyncio.create_task(self.channel.close())


class RenewingChannel(grpc.aio.Channel):
    """A channel that gives way to a new one when the certificate changes; calls in flight end on the old one.

    gRPC reads a client's certificate once, and certificates of months are used by processes that live for longer.

    Args:
        renewed: The channel that makes the calls.
    """

    def __init__(self, renewed: Renewed[grpc.aio.Channel]) -> None:
        self._renewed = renewed
        self._generations = [Generation(renewed.current)]

    def _current(self) -> Generation:
        """The channel to make the next call with."""
        made = self._renewed.renew()
        if made is not None:
            self._generations[-1].replace()
            self._generations = [*(each for each in self._generations if not each.closed), Generation(made)]
        return self._generations[-1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel; calls in flight have `grace` seconds, none where it is None."""
        await asyncio.gather(*(each.channel.close(grace) for each in self._generations))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection; connects when asked to."""
        return self._current().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the state is no longer the one given."""
        await self._current().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when the channel is connected."""
        await self._current().channel.channel_ready()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method with one request and one response."""
        return self._renewing("unary_unary", method, *args, **kwargs)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method that streams responses."""
        return self._renewing("unary_stream", method, *args, **kwargs)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method that takes a stream of requests."""
        return self._renewing("stream_unary", method, *args, **kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method that streams both ways."""
        return self._renewing("stream_stream", method, *args, **kwargs)

    def _renewing(self, kind: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """A callable that makes each call on the channel of that moment."""
        generation: Generation | None = None
        inner: Callable[..., Any]

        def call(*given: Any, **named: Any) -> Any:
            nonlocal generation, inner
            current = self._current()
            if current is not generation:
                generation, inner = current, getattr(current.channel, kind)(*args, **kwargs)
            return current.made(inner(*given, **named))

        return call


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
        if method.startswith(TRITON) and not context.is_sampled(dict(extra).get(context.TRACEPARENT, "")):
            # Triton records every trace that it hears of, whatever that says of itself.
            extra = [item for item in extra if item[0] not in TRACE]
        left = served.remaining() if served is not None else None
        limits = [seconds for seconds in (timeout, left) if seconds is not None]
        made = inner(request, timeout=min(limits, default=None), metadata=(*(metadata or ()), *extra), **kwargs)
        if span is not None:
            made.add_done_callback(lambda _call: span.end())
        return made

    return call
