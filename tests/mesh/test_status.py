"""Errors become statuses by one table, and come back as the same errors from another service."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from parley.errors.v1 import errors_pb2
from services.mesh import errors, openai, status

CASES = [
    (errors.InvalidArgument("text", "is empty"), "INVALID_ARGUMENT", 400, "INVALID_ARGUMENT"),
    (errors.NotFound("databases/shop"), "NOT_FOUND", 404, "NOT_FOUND"),
    (errors.AlreadyExists("databases/shop"), "ALREADY_EXISTS", 409, "ALREADY_EXISTS"),
    (errors.FailedPrecondition("no schema"), "FAILED_PRECONDITION", 400, "FAILED_PRECONDITION"),
    (errors.Unsupported("no such feature"), "UNIMPLEMENTED", 501, "UNSUPPORTED"),
    (errors.TooLarge("over 64 MiB"), "INVALID_ARGUMENT", 413, "TOO_LARGE"),
    (errors.ResourceExhausted("slow down"), "RESOURCE_EXHAUSTED", 429, "RESOURCE_EXHAUSTED"),
    (errors.Unavailable("Triton is away"), "UNAVAILABLE", 503, "DEPENDENCY_UNAVAILABLE"),
    (errors.StorageUnavailable("locked"), "UNAVAILABLE", 503, "STORAGE_UNAVAILABLE"),
    (errors.DeadlineExceeded("late"), "DEADLINE_EXCEEDED", 504, "DEADLINE_EXCEEDED"),
    (errors.Cancelled("stopped"), "CANCELLED", 499, "CANCELLED"),
    (errors.Unauthenticated("no key"), "UNAUTHENTICATED", 401, "UNAUTHENTICATED"),
    (errors.PermissionDenied("not yours"), "PERMISSION_DENIED", 403, "PERMISSION_DENIED"),
    (errors.Internal("fault"), "INTERNAL", 500, "INTERNAL"),
]


@pytest.mark.parametrize(("error", "code", "http", "reason"), CASES, ids=lambda value: str(value)[:20])
def test_an_error_has_one_code_one_http_status_and_one_reason(
    error: errors.ParleyError, code: str, http: int, reason: str
) -> None:
    answer = status.to_status(error)
    info = error_details_pb2.ErrorInfo()
    answer.details[0].Unpack(info)
    assert (status.code_of(error).name, status.http_status(error)) == (code, http)
    assert answer.code == grpc.StatusCode[code].value[0]
    assert (info.domain, info.reason) == ("parley", f"ERROR_REASON_{reason}")


def test_the_table_names_only_public_reasons() -> None:
    def all_subclasses(cls: type[errors.ParleyError]) -> set[type[errors.ParleyError]]:
        return {cls}.union(*(all_subclasses(sub) for sub in cls.__subclasses__()))

    for cls in all_subclasses(errors.ParleyError):
        assert f"ERROR_REASON_{cls.reason}" in errors_pb2.ErrorReason.keys(), cls  # noqa: SIM118 — an enum wrapper


def test_a_subclass_takes_the_code_of_its_nearest_listed_base() -> None:
    class TitleTaken(errors.AlreadyExists):
        pass

    assert status.code_of(TitleTaken("conversations/1")) is grpc.StatusCode.ALREADY_EXISTS
    assert status.code_of(KeyError("x")) is grpc.StatusCode.INTERNAL


def test_every_grpc_code_has_the_http_status_of_google_rpc_code() -> None:
    assert set(status.HTTP) == set(grpc.StatusCode)


@pytest.mark.parametrize(("error", "code"), [case[:2] for case in CASES], ids=lambda value: str(value)[:20])
def test_what_another_service_said_keeps_class_reason_fields_and_retry(error: errors.ParleyError, code: str) -> None:
    again = status.from_status(status.to_status(error))
    assert status.code_of(again).name == code
    assert (again.message, again.reason, again.violations, again.retry_after, dict(again.metadata)) == (
        error.message,
        error.reason,
        error.violations,
        error.retry_after,
        dict(error.metadata),
    )


def test_not_found_elsewhere_is_caught_as_not_found_here() -> None:
    with pytest.raises(errors.NotFound, match="databases/shop"):
        raise status.from_status(status.to_status(errors.NotFound("databases/shop")))


def test_the_openai_envelope_names_the_field_at_fault() -> None:
    assert openai.error_envelope(errors.InvalidArgument("temperature", "must be at most 2")) == {
        "error": {
            "message": "temperature: must be at most 2",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "invalid_argument",
        }
    }


def test_a_facade_names_fields_as_its_clients_do() -> None:
    fields = {"settings.count": "n", "settings": "", "images": "files"}
    wrong = ("settings.count", "settings.prompt", "settings", "images[0].data", "imagesque")
    error = errors.InvalidRequest([errors.FieldViolation(field, "no") for field in wrong])
    errors.rename(error, fields)
    assert [violation.field for violation in error.violations] == [
        "n",
        "prompt",
        "settings",
        "files[0].data",
        "imagesque",
    ]
    assert error.message == "n: no; prompt: no; settings: no; files[0].data: no; imagesque: no"
