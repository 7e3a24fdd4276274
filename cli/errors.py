"""What can go wrong in a command, the exit code that it ends with, and how the gateway's error bodies are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

REASON_PREFIX = "ERROR_REASON_"

# What helps, by the reason of an error (parley.errors.v1.ErrorReason without its prefix).
REMEDIES = {
    "MODEL_NOT_FOUND": "`parley models` lists them.",
    "DEPENDENCY_UNAVAILABLE": "`parley status` says what is down.",
    "UNAUTHENTICATED": "`parley login` logs in; PARLEY_API_KEY holds a key; PARLEY_STATE names the stack's folder.",
    "DATABASE_UNAVAILABLE": "`parley sql databases` lists what is registered.",
}
# The same for a resource that does not exist, by its collection.
LISTED_BY = {
    "databases": "`parley sql databases` lists them.",
    "conversations": "`parley conversations list` lists them.",
    "apiKeys": "`parley keys list` lists them.",
    "users": "`parley users list` lists them.",
}


class CommandError(Exception):
    """A command failed. The text is one line that says what and what to do about it."""

    exit_code: ClassVar[int] = FAILED


class UsageError(CommandError):
    """The arguments do not make sense; nothing was sent."""

    exit_code = USAGE


class GatewayUnreachableError(CommandError):
    """Nothing answers at the gateway's address."""

    exit_code = UNREACHABLE

    def __init__(self, url: str, detail: str) -> None:
        super().__init__(
            f"no gateway answers at {url} ({detail}). Start one with `parley up`, or name it: --gateway URL"
        )


class ServerError(CommandError):
    """The server answered with an error.

    Args:
        message: What went wrong, as the server says it.
        reason: The machine-readable reason without its prefix; empty when the server gave none.
        violations: The fields at fault, each with what is wrong with it.
        resource: The resource that the error is about; empty when the server named none.
        retry: Seconds after which another try is worth it; None when the server gave none.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        violations: tuple[tuple[str, str], ...] = (),
        resource: str = "",
        retry: float | None = None,
    ) -> None:
        parts = ["; ".join(f"{field}: {text}" for field, text in violations) or message]
        parts.append(
            LISTED_BY.get(resource.partition("/")[0], "") if reason == "NOT_FOUND" else REMEDIES.get(reason, "")
        )
        if retry is not None:
            parts.append(f"Worth another try in {retry:g} s.")
        super().__init__(" ".join(part for part in parts if part))
        self.reason = reason
        self.violations = violations


class IncompleteError(CommandError):
    """A stream ended before its last event."""

    def __init__(self, last: str) -> None:
        super().__init__(f"the answer is incomplete: the stream ended without its last event ({last}). Ask again.")


def from_status(status: Mapping[str, Any]) -> ServerError:
    """The error that a google.rpc.Status in JSON stands for."""
    details = {str(d.get("@type", "")).rpartition(".")[2]: d for d in status.get("details", []) if isinstance(d, dict)}
    info = details.get("ErrorInfo", {})
    violations = tuple(
        (str(violation.get("field", "request")), str(violation.get("description", "")))
        for violation in details.get("BadRequest", {}).get("fieldViolations", [])
    )
    delay = str(details.get("RetryInfo", {}).get("retryDelay", ""))
    return ServerError(
        str(status.get("message") or f"error {status.get('code', 'without a code')}"),
        reason=str(info.get("reason", "")).removeprefix(REASON_PREFIX),
        violations=violations,
        resource=str(info.get("metadata", {}).get("resource", "")),
        retry=float(delay.removesuffix("s")) if delay else None,
    )


def from_response(status: int, body: bytes) -> ServerError:
    """The error that an HTTP answer stands for.

    Args:
        status: The HTTP status.
        body: A google.rpc.Status or OpenAI's error envelope in JSON; anything else is quoted, cut to a line.
    """
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), dict):
        return _from_envelope(parsed["error"])
    if isinstance(parsed, dict) and "message" in parsed:
        return from_status(parsed)
    text = " ".join(body.decode("utf-8", "replace").split())[:200]
    return ServerError(f"the gateway answered HTTP {status}" + (f": {text}" if text else ""))


def _from_envelope(error: Mapping[str, Any]) -> ServerError:
    """The error in OpenAI's envelope: `param` names the field at fault."""
    message, param = str(error.get("message") or "unknown error"), error.get("param")
    reason = str(error.get("code") or "").upper()
    # A message that names its field already needs no prefix.
    violations = ((str(param), message),) if param and str(param) not in message else ()
    return ServerError(message, reason=reason, violations=violations)
