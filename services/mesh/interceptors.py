"""What happens around every RPC, in this order: context · metrics · errors · validation · the servicer.

One place holds all of it, and wraps each handler once, when its method is first called. gRPC's own interceptors would
cost every call coroutines and objects, and scatter the order over a list.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from services.mesh import acts, errors, rest, status, telemetry, usage, validation
from services.mesh import context as calls
from services.mesh.acts import Act, Log, NameOf
from services.mesh.metrics import METRICS, TYPES, MethodMetrics
from services.mesh.usage import Meter

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Context = grpc.aio.ServicerContext[Any, Any]

log = telemetry.get_logger(__name__)

STATUS_DETAILS = "grpc-status-details-bin"
# Statuses travel in HTTP/2 trailers, whose size every hop limits (8 KiB in gRPC).
MESSAGE_LIMIT = 2000


class Reporting(Meter, Log, Protocol):
    """Is told what callers use and do."""


class Chassis(grpc.GenericRpcHandler):
    """The handlers of a service, each wrapped once.

    Args:
        inner: The handlers as the generated code registers them.
        reporter: Told what callers use and do; None: nobody is.
    """

    def __init__(self, inner: grpc.GenericRpcHandler, reporter: Reporting | None = None) -> None:
        self._inner = inner
        self._reporter = reporter
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The wrapped handler of the called method; None for a method that is not of this service."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            inner = self._inner.service(handler_call_details)
            if inner is None:
                return None
            handler = self._handlers[method] = wrap(method, inner, self._reporter)
        return handler


class Registrar:
    """What the generated `add_…Servicer_to_server` functions get for a server: it puts the chassis around all handlers.

    Args:
        server: The server.
        reporter: Told what callers use and do; None: nobody is.
    """

    def __init__(self, server: grpc.aio.Server, reporter: Reporting | None = None) -> None:
        self._server = server
        self._reporter = reporter

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Adds a service's handlers, wrapped."""
        self._server.add_generic_rpc_handlers(tuple(Chassis(one, self._reporter) for one in handlers))

    def add_registered_method_handlers(self, service_name: str, method_handlers: object) -> None:
        """Does nothing, as in grpc.aio: its servers look methods up in the generic handlers."""


class Around:
    """What surrounds one call: an async context manager, entered when it arrives and left when it ends."""

    __slots__ = ("_audit", "_context", "_metrics", "_reporter", "_span", "_started", "call", "resource")

    def __init__(
        self,
        method: str,
        metrics: MethodMetrics,
        context: Context,
        reporter: Reporting | None = None,
        audit: NameOf | None = None,
    ) -> None:
        self._context = context
        self._reporter = reporter
        self._audit = audit
        self.resource = ""
        self._metrics = metrics
        self._started = time.perf_counter()
        self._span: Span | None = None
        self.call = calls.inbound(method, context.invocation_metadata() or (), context.time_remaining())

    async def __aenter__(self) -> None:
        calls.enter(self.call)
        usage.enter(self._reporter)
        self._span = telemetry.start_server_span(self.call)
        self.call.traceparent = self.call.traceparent or calls.new_traceparent()
        self.call.request_id = self.call.request_id or self.call.trace_id
        self._metrics.in_flight += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = grpc.StatusCode.OK.name if error is None else self._code(error)
        self._metrics.completed(code, time.perf_counter() - self._started)
        if self._audit is not None and self._reporter is not None:
            self._note(self._reporter, code)
        if self._span is not None:
            self._span.set_attribute("rpc.grpc.status_code", code)
            self._span.end()
        if error is not None:
            await self._answer(error)

    def names(self, message: Any) -> None:
        """Remembers the resource that a request or an answer of an audited method names, unless it is known."""
        if self._audit is not None and not self.resource:
            self.resource = self._audit(message)

    def _note(self, reporter: Reporting, code: str) -> None:
        """Has the call written to the audit log, where it is known who made it."""
        identity = dict(self.call.identity)
        who = usage.payer(identity.get(calls.SUBJECT, ""), identity.get(calls.KEY, ""))
        if who is not None:
            number = int(grpc.StatusCode[code].value[0])
            address, now = identity.get(calls.ADDRESS, ""), datetime.now(UTC)
            method = self.call.method.strip("/")
            reporter.acted(Act(who, method, self.resource, number, address, self.call.request_id, now))

    def _code(self, error: BaseException) -> str:
        """The status code's name that an error ends the call with."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            return grpc.StatusCode.CANCELLED.name
        if isinstance(error, grpc.aio.AbortError):
            return str(getattr(self._context.code(), "name", "UNKNOWN"))
        if isinstance(error, grpc.aio.AioRpcError):
            error = status.from_rpc_error(error)
        return status.code_of(error).name

    async def _answer(self, error: BaseException) -> None:
        """Ends the call with the status that an error stands for; lets pass what has ended it already."""
        if not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
            return
        if isinstance(error, grpc.aio.AioRpcError):
            error = status.from_rpc_error(error)
        if not isinstance(error, errors.ParleyError):
            error = unexpected(error)
        await abort(self._context, status.to_status(error))


def unexpected(error: Exception) -> errors.Internal:
    """Logs an unexpected error under an id, and gives the error that names the id and nothing else."""
    noted = [n.removeprefix("error_id=") for n in getattr(error, "__notes__", []) if n.startswith("error_id=")]
    error_id = noted[0] if noted else status.new_error_id()
    log.error("unexpected error", error_id=error_id, exc_info=error)
    return status.internal(error_id)


async def abort(context: Context, answer: status_pb2.Status) -> None:
    """Ends a call with a google.rpc.Status: code, message and details. Raises grpc.aio.AbortError."""
    answer.message = answer.message[:MESSAGE_LIMIT]
    details = answer.SerializeToString()
    trailers = ((STATUS_DETAILS, details),) if len(details) <= 3 * MESSAGE_LIMIT else ()
    await context.abort(status.BY_NUMBER[answer.code], answer.message, trailing_metadata=trailers)


async def checked(requests: AsyncIterator[bytes], read: Callable[[bytes], Message]) -> AsyncIterator[Message]:
    """Reads a stream of requests and passes them on, each checked first."""
    async for data in requests:
        request = read(data)
        validation.check(request)
        yield request


def reader(method: str, inner: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    """What reads a method's requests; what it cannot read is the caller's fault. gRPC would say UNKNOWN, and log it."""

    def read(data: bytes) -> Message:
        try:
            return inner(data)
        except DecodeError:
            why = f"these bytes are no request of {method}. Send what the contract says, which reflection tells."
            raise errors.InvalidArgument("request", why) from None

    return read


def wrap(
    method: str, inner: grpc.RpcMethodHandler[Any, Any], reporter: Reporting | None = None
) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler that does what `inner` does, with the chassis around it.

    Args:
        method: Full gRPC name.
        inner: A handler of an asyncio servicer: coroutine functions, or async generators where it streams responses.
        reporter: Told what callers use and do; None: nobody is.
    """
    audit = acts.names_of(method) if reporter is not None else None
    metrics = METRICS.method(method, TYPES[inner.request_streaming, inner.response_streaming])
    make = {
        (False, False): (grpc.unary_unary_rpc_method_handler, inner.unary_unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, inner.unary_stream),
        (True, False): (grpc.stream_unary_rpc_method_handler, inner.stream_unary),
        (True, True): (grpc.stream_stream_rpc_method_handler, inner.stream_stream),
    }
    handler: Callable[..., grpc.RpcMethodHandler[Any, Any]]
    # The stubs type handlers as those of synchronous servers.
    behaviour: Any
    handler, behaviour = make[(inner.request_streaming, inner.response_streaming)]

    path_check = rest.path_check(method)
    assert inner.request_deserializer is not None
    read = reader(method, inner.request_deserializer)

    def admitted(data: Any, around: Around) -> Any:
        """The request, or the stream of them, read and checked."""
        if inner.request_streaming:
            return checked(data, read)
        request = read(data)
        around.names(request)
        validation.check(request)
        if path_check is not None and around.call.rest_path:
            path_check(around.call.rest_path, request)
        return request

    async def one(data: bytes, context: Context) -> Any:
        around = Around(method, metrics, context, reporter, audit)
        async with around:
            answer = await behaviour(admitted(data, around), context)
            around.names(answer)
            return answer

    async def many(data: Any, context: Context) -> AsyncIterator[Any]:
        around = Around(method, metrics, context, reporter, audit)
        async with around:
            answering = behaviour(admitted(data, around), context)
            if not hasattr(answering, "__aiter__"):
                # A coroutine that writes to the context by itself, as gRPC's own health servicer does.
                await answering
                return
            # Closed here, not by the garbage collector: what a cancelled call holds is let go at once.
            async with contextlib.aclosing(answering):
                async for response in answering:
                    yield response

    return handler(
        many if inner.response_streaming else one,
        # Read within the chassis, where errors are answered.
        request_deserializer=None,
        response_serializer=inner.response_serializer,
    )
