"""What a call carries from hop to hop: its deadline, its identity, its trace and its request id."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

# Set by the gateway after authentication and forwarded between services; the gateway strips them from what comes in.
IDENTITY_PREFIX = "x-parley-identity-"
# "{organisation}/{user}"; neither has a slash.
SUBJECT = IDENTITY_PREFIX + "subject"
KEY = IDENTITY_PREFIX + "key"
GRANTS = IDENTITY_PREFIX + "grants"
ADDRESS = IDENTITY_PREFIX + "address"
REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
# Set by the gateway on calls that it made from REST; it removes the header from what comes from outside.
REST_PATH = "x-envoy-original-path"
# A deadline further away than this is grpc's way of saying that there is none.
FOREVER = 10 * 365 * 86400.0
MAX_OWNER, MAX_ORGANISATION = 200, 63
"""Characters that databases have room for."""


@dataclass(slots=True)
class Call:
    """The call that is being served.

    Attributes:
        method: Full gRPC name, `/parley.sql.v1.SqlService/Ask`.
        deadline: On the monotonic clock, in seconds; None where the caller set none.
        request_id: Names the client's request in every log line that it caused.
        traceparent: W3C trace context: `00-<trace id>-<parent id>-<flags>`.
        tracestate: W3C trace state; empty where there is none.
        identity: Metadata that says who calls, as it came.
        rest_path: The path of the REST call that the gateway made this one from; empty for gRPC calls.
    """

    method: str = ""
    deadline: float | None = None
    request_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    identity: tuple[tuple[str, str], ...] = field(default=())
    rest_path: str = ""

    @property
    def trace_id(self) -> str:
        """The 32 hexadecimal digits that name the trace."""
        return self.traceparent[3:35]

    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None where there is no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


_current: ContextVar[Call | None] = ContextVar("parley_call", default=None)


def current() -> Call | None:
    """The call that this task serves; None outside of calls."""
    return _current.get()


def owner() -> str:
    """Whom things that this call makes belong to: the subject of its identity, at most MAX_OWNER characters of it.

    "" where nobody is known. A longer subject is told by its digest.
    """
    call = _current.get()
    subject = dict(call.identity).get(SUBJECT, "") if call is not None else ""
    return subject if len(subject) <= MAX_OWNER else hashlib.sha256(subject.encode()).hexdigest()


def organisation() -> str:
    """The organisation that this call is made for, at most MAX_ORGANISATION characters of it.

    "" where nobody is known. A longer name is told by its digest.
    """
    call = _current.get()
    name = dict(call.identity).get(SUBJECT, "").rpartition("/")[0] if call is not None else ""
    return name if len(name) <= MAX_ORGANISATION else hashlib.sha256(name.encode()).hexdigest()[:MAX_ORGANISATION]


def enter(call: Call) -> None:
    """Makes a call the current one of this task. Each RPC runs in a task of its own, so nothing resets it."""
    _current.set(call)


def is_traceparent(value: str) -> bool:
    """Whether a value is a W3C traceparent that can be passed on (version 00, no all-zero ids)."""
    parts = value.split("-")
    if len(parts) != 4 or [len(p) for p in parts] != [2, 32, 16, 2]:
        return False
    hexadecimal = all(c in "0123456789abcdef" for p in parts for c in p)
    return hexadecimal and parts[0] != "ff" and parts[1].strip("0") != "" and parts[2].strip("0") != ""


def new_traceparent() -> str:
    """A traceparent that starts a trace of its own, not sampled."""
    # An id has to be unlikely, not secret; asking the kernel for it would cost a system call.
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-00"


def inbound(method: str, metadata: Iterable[tuple[str, str | bytes]], time_remaining: float | None) -> Call:
    """The call that arriving metadata describes; what is missing stays empty.

    Args:
        method: Full gRPC name of the method.
        metadata: Keys in lower case, as gRPC delivers them.
        time_remaining: Seconds left by the caller's deadline, None without one.
    """
    call = Call(method=method)
    identity: list[tuple[str, str]] = []
    for key, value in metadata:
        if isinstance(value, bytes):
            continue
        if key == REQUEST_ID:
            call.request_id = value[:128]
        elif key == TRACEPARENT:
            call.traceparent = value if is_traceparent(value) else ""
        elif key == TRACESTATE:
            call.tracestate = value[:512]
        elif key == REST_PATH:
            call.rest_path = value
        elif key.startswith(IDENTITY_PREFIX):
            identity.append((key, value))
    call.identity = tuple(identity)
    if time_remaining is not None and time_remaining < FOREVER:
        call.deadline = time.monotonic() + time_remaining
    return call


def is_sampled(traceparent: str) -> bool:
    """Whether a W3C traceparent says that its trace is recorded."""
    return bool(traceparent) and int(traceparent[-2:], 16) & 1 == 1


def outbound(call: Call | None) -> list[tuple[str, str]]:
    """The metadata that a call to another service carries on behalf of this one."""
    if call is None:
        return []
    metadata = [(REQUEST_ID, call.request_id), (TRACEPARENT, call.traceparent), *call.identity]
    if call.tracestate:
        metadata.append((TRACESTATE, call.tracestate))
    return metadata
