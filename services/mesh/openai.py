"""Errors in OpenAI's envelope, for the façades that carry HTTP bodies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import grpc
from google.api import httpbody_pb2
from google.protobuf.message import Message

from services.mesh import errors, status

# The gateway turns this response header into the HTTP status: an HttpBody alone always travels as 200.
STATUS_HEADER = "x-parley-http-status"

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    501: "invalid_request_error",
}

R = TypeVar("R", bound=Message)


def error_envelope(error: errors.ParleyError) -> dict[str, dict[str, str | None]]:
    """`{"error": {message, type, param, code}}`; `param` is the first field at fault, `code` the reason."""
    return {
        "error": {
            "message": error.message,
            "type": TYPES.get(status.http_status(error), "server_error"),
            "param": error.violations[0].field if error.violations else None,
            "code": error.reason.lower(),
        }
    }


def error_body(error: errors.ParleyError) -> bytes:
    """The envelope as JSON bytes."""
    return json.dumps(error_envelope(error), ensure_ascii=False).encode()


def answered(error: errors.ParleyError) -> tuple[int, bytes]:
    """The HTTP status and the body that say an error the way OpenAI does."""
    return status.http_status(error), error_body(error)


def json_body(data: bytes) -> httpbody_pb2.HttpBody:
    """An HttpBody that holds JSON."""
    return httpbody_pb2.HttpBody(content_type="application/json", data=data)


async def with_envelope(
    context: grpc.aio.ServicerContext[Message, Message],
    parts: AsyncIterator[httpbody_pb2.HttpBody],
    wrap: Callable[[httpbody_pb2.HttpBody], R],
    said: Callable[[errors.ParleyError], tuple[int, bytes]] = answered,
) -> AsyncIterator[R]:
    """The parts of a façade's answer, wrapped in its response message, with errors as its clients expect them.

    An error before the first part becomes an HTTP status and the envelope; one in the middle of an event stream becomes
    a `data:` event with the envelope. Either is raised afterwards, so that gRPC callers, metrics and logs see it too.

    Args:
        context: The call's context.
        parts: What the façade answers.
        wrap: Puts a body into the RPC's response message.
        said: The HTTP status and the JSON of an error; OpenAI's by default.
    """
    started = False
    try:
        async for part in parts:
            started = True
            yield wrap(part)
    except Exception as error:
        shown = error
        if not isinstance(error, errors.ParleyError):
            # The interceptor logs the original under the same id.
            error_id = status.new_error_id()
            error.add_note(f"error_id={error_id}")
            shown = status.internal(error_id)
        assert isinstance(shown, errors.ParleyError)
        code, body = said(shown)
        if started:
            yield wrap(httpbody_pb2.HttpBody(content_type="text/event-stream", data=b"data: " + body + b"\n\n"))
        else:
            headers = [(STATUS_HEADER, str(code))]
            if shown.retry_after is not None:
                headers.append(("retry-after", str(max(1, round(shown.retry_after)))))
            await context.send_initial_metadata(tuple(headers))
            yield wrap(json_body(body))
        raise
