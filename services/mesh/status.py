"""The one table from domain errors to gRPC statuses, and back for errors that another service answered with."""

from __future__ import annotations

import uuid

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from parley.errors.v1 import errors_pb2
from services.mesh import errors

DOMAIN = "parley"
PREFIX = "ERROR_REASON_"

# A class not listed takes the code of its nearest listed base.
CODES: dict[type[BaseException], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.TooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.ParleyError: grpc.StatusCode.INTERNAL,
}

# HTTP statuses as google.rpc.Code documents them; the gateway's transcoder answers with the same ones.
HTTP: dict[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}

BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def code_of(error: BaseException) -> grpc.StatusCode:
    """The gRPC code of an error: that of the nearest class in its resolution order; INTERNAL for the unmapped."""
    return _code(type(error))


def _code(kind: type[BaseException]) -> grpc.StatusCode:
    return next((CODES[base] for base in kind.__mro__ if base in CODES), grpc.StatusCode.INTERNAL)


def http_status(error: BaseException) -> int:
    """The HTTP status of an error. A payload over a limit is 413, which no gRPC code maps to."""
    return 413 if isinstance(error, errors.TooLarge) else HTTP[code_of(error)]


def new_error_id() -> str:
    """An id that names one fault in an answer and in the log."""
    return uuid.uuid4().hex[:16]


def internal(error_id: str) -> errors.Internal:
    """What a caller sees of an unexpected fault: a fixed text and the id of its log line."""
    return errors.Internal(
        f"Internal error {error_id}. The service's log has the details.", metadata={"error_id": error_id}
    )


def packed(
    detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    """The detail wrapped for google.rpc.Status."""
    wrapped = any_pb2.Any()
    wrapped.Pack(detail)
    return wrapped


def to_status(error: errors.ParleyError) -> status_pb2.Status:
    """The google.rpc.Status of an error: ErrorInfo always, BadRequest and RetryInfo where they apply."""
    details = [
        packed(error_details_pb2.ErrorInfo(reason=PREFIX + error.reason, domain=DOMAIN, metadata=dict(error.metadata)))
    ]
    if error.violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        details.append(packed(error_details_pb2.BadRequest(field_violations=fields)))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=code_of(error).value[0], message=error.message, details=details)


class RemoteError(errors.ParleyError):
    """An error that another service of the mesh answered with; it keeps that service's code and reason.

    Args:
        status: What the service answered.
    """

    def __init__(self, status: status_pb2.Status) -> None:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        for detail in status.details:
            for message in (info, bad, retry):
                if detail.Is(message.DESCRIPTOR):
                    detail.Unpack(message)
        # Not super(): next in line is the domain class of the code, whose own arguments the caller of it no longer has.
        errors.ParleyError.__init__(
            self,
            status.message,
            metadata=dict(info.metadata),
            retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
            violations=[errors.FieldViolation(v.field, v.description) for v in bad.field_violations],
        )
        known = info.domain == DOMAIN and info.reason in errors_pb2.ErrorReason.keys()  # noqa: SIM118 — an enum wrapper
        # A class attribute elsewhere; here the reason is what the other service said.
        self.reason = info.reason.removeprefix(PREFIX) if known else "INTERNAL"  # type: ignore[misc]
        self.code = BY_NUMBER.get(status.code, grpc.StatusCode.INTERNAL)


def _remote_classes() -> dict[grpc.StatusCode, type[RemoteError]]:
    """One class for each code, so that `except NotFound` works on what another service said; the first listed wins."""
    classes: dict[grpc.StatusCode, type[RemoteError]] = {}
    for base, code in CODES.items():
        if base is not errors.ParleyError:
            classes.setdefault(
                code, type(f"Remote{base.__name__}", (RemoteError, base), {"__doc__": RemoteError.__doc__})
            )
    return classes


REMOTE = _remote_classes()


def from_status(status: status_pb2.Status) -> errors.ParleyError:
    """The error that a google.rpc.Status stands for: an instance of the domain class of its code."""
    return REMOTE.get(BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN), RemoteError)(status)


def of_reason(reason: str, message: str) -> errors.ParleyError:
    """An error that was kept as its reason and text, e.g. by a job in a database: of the class that has the reason.

    A reason of a service's own is taken for its code's: the class that declares it may be any that is imported by then.
    """
    waiting: list[type[errors.ParleyError]] = [errors.ParleyError]
    while waiting:
        kind = waiting.pop(0)
        if kind.reason == reason and not issubclass(kind, RemoteError):
            status = status_pb2.Status(code=_code(kind).value[0], message=message)
            status.details.append(packed(error_details_pb2.ErrorInfo(reason=PREFIX + reason, domain=DOMAIN)))
            return from_status(status)
        waiting += kind.__subclasses__()
    return errors.Internal(message)


def from_rpc_error(error: grpc.aio.AioRpcError) -> errors.ParleyError:
    """The error that a failed call to another service stands for, to be raised in its place.

    A call that never reached the other service becomes Unavailable without the transport's wording: it names addresses.
    """
    # grpc_status is typed for the synchronous API; an AioRpcError has the three methods that it uses.
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is not None:
        return from_status(status)
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable("A service that this one needs cannot be reached. Try again shortly.")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded("The deadline passed before another service answered.")
    return from_status(
        status_pb2.Status(code=code.value[0], message=error.details() or code_pb2.Code.Name(code.value[0]))
    )
