"""The errors that a domain may raise. They know no transport: services/mesh/status.py turns them into gRPC statuses.

A service's own errors subclass these and override `reason`, a name of parley.errors.v1.ErrorReason without its prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple


class FieldViolation(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    """Path of the field as the client writes it, e.g. `config.hints.phrases[3]`."""
    description: str
    """What is wrong, and what would be right."""


class ParleyError(Exception):
    """Base of every error that a caller may see.

    Args:
        message: A sentence for the caller, without secrets or driver texts.
        metadata: Facts for programs, e.g. `{"model": "gpt-x"}`.
        retry_after: Seconds after which a retry makes sense; None where it does not or nobody knows.
        violations: The fields at fault, for errors about the request.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata or {}
        self.retry_after = retry_after
        self.violations = tuple(violations)


def rename(error: ParleyError, fields: Mapping[str, str]) -> None:
    """Writes a client's names of fields into an error, in place: what a façade calls otherwise than its domain.

    Args:
        error: Whose violations name fields.
        fields: The client's names, by the domain's; the first that begins a field's path replaces that beginning. An
            empty name drops it: `settings.prompt` becomes `prompt`.
    """
    renamed = tuple(FieldViolation(_renamed(v.field, fields), v.description) for v in error.violations)
    for before, after in zip(error.violations, renamed, strict=True):
        error.message = error.message.replace(f"{before.field}: ", f"{after.field}: ", 1)
    error.violations = renamed


def _renamed(path: str, fields: Mapping[str, str]) -> str:
    for ours, theirs in fields.items():
        if path == ours or path.startswith((f"{ours}.", f"{ours}[")):
            return (theirs + path.removeprefix(ours)).removeprefix(".") or path
    return path


class InvalidArgument(ParleyError):
    """A field of the request is wrong."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, description: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{field}: {description}", metadata=metadata, violations=[FieldViolation(field, description)])


class InvalidRequest(InvalidArgument):
    """Several fields of the request are wrong.

    Args:
        violations: The fields at fault; at least one.
    """

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        message = "; ".join(f"{v.field}: {v.description}" for v in violations)
        ParleyError.__init__(self, message, violations=violations)


class NotFound(ParleyError):
    """The named resource does not exist.

    Args:
        resource: Its name, e.g. `conversations/42`.
        message: A sentence in place of the usual one.
    """

    reason = "NOT_FOUND"

    def __init__(self, resource: str, message: str = "") -> None:
        super().__init__(message or f"{resource} does not exist.", metadata={"resource": resource})


class AlreadyExists(ParleyError):
    """A resource of that name exists already.

    Args:
        resource: Its name.
    """

    reason = "ALREADY_EXISTS"

    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource} exists already.", metadata={"resource": resource})


class FailedPrecondition(ParleyError):
    """The resource is not in a state that allows this."""

    reason = "FAILED_PRECONDITION"


class Unsupported(ParleyError):
    """The request asks for something that this deployment does not offer."""

    reason = "UNSUPPORTED"


class TooLarge(ParleyError):
    """The payload, or what it unpacks to, is over a limit."""

    reason = "TOO_LARGE"


class ResourceExhausted(ParleyError):
    """A quota or rate limit of this deployment is used up."""

    reason = "RESOURCE_EXHAUSTED"


class Unavailable(ParleyError):
    """Something that this service needs cannot be reached; a retry may help. `retry_after` defaults to 1 second."""

    reason = "DEPENDENCY_UNAVAILABLE"

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = 1.0,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after=retry_after, violations=violations)


class StorageUnavailable(Unavailable):
    """This service's own storage is full, locked, read-only or away; nothing was written."""

    reason = "STORAGE_UNAVAILABLE"


class DeadlineExceeded(ParleyError):
    """The caller's deadline, or the limit of a step, passed."""

    reason = "DEADLINE_EXCEEDED"


class Cancelled(ParleyError):
    """The caller stopped it."""

    reason = "CANCELLED"


class Unauthenticated(ParleyError):
    """The caller has no valid credential."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(ParleyError):
    """The caller may not do this."""

    reason = "PERMISSION_DENIED"


class Internal(ParleyError):
    """An unexpected fault, named by an id that finds its details in the log."""

    reason = "INTERNAL"
