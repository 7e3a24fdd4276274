"""What a caller may use, by the header that identity wrote."""

from __future__ import annotations

import contextvars
import json
from typing import Any

import pytest

from services.identity import grants
from services.identity.grants import Grant
from services.mesh import authority, context
from services.mesh.authority import LONGEST, NOBODY, NOTHING, Authority, NotGranted, Persona


def read(*lines: str) -> Authority:
    """What a call with these headers may use."""

    def served() -> Authority:
        context.enter(context.inbound("/a.B/C", [(context.GRANTS, line) for line in lines], None))
        return authority.current()

    return contextvars.copy_context().run(served)


def test_calls_from_inside_may_use_everything() -> None:
    for found in (read(), authority.current()):
        assert found.persona("any") == NOBODY
        found.require_model("any")


def test_what_identity_writes_is_read() -> None:
    given = [
        Grant("users/ann", "databases/shop", "reporting", {"app.tenant": "7", "app.area": "north"}),
        Grant("everyone", "databases/weather"),
        Grant("everyone", "models/small"),
    ]
    found = read(grants.line(given, ["everyone", "users/ann"]))
    assert found.persona("shop") == Persona("reporting", (("app.area", "north"), ("app.tenant", "7")))
    assert found.persona("weather") == NOBODY
    assert found.may_use_model("small")
    with pytest.raises(NotGranted) as refused:
        found.persona("payroll")
    assert refused.value.metadata == {"resource": "databases/payroll"}
    with pytest.raises(NotGranted, match="models/large"):
        found.require_model("large")


def test_a_named_database_goes_before_all_others() -> None:
    found = read(json.dumps({"databases": {"*": {"role": "guest"}, "shop": {}}, "models": ["*"]}))
    assert found.persona("shop") == NOBODY
    assert found.persona("other") == Persona("guest")
    assert found.may_use_model("any")


MALFORMED: list[Any] = [
    "",
    "{",
    "[" * 5000,
    "null",
    "[]",
    '"*"',
    "{}",
    '{"databases": ["*"], "models": ["*"]}',
    '{"databases": {"*": {}}}',
    '{"databases": {"*": null}, "models": ["*"]}',
    '{"databases": {"*": {"role": 7}}, "models": ["*"]}',
    '{"databases": {"*": {"settings": {"a.b": 7}}}, "models": ["*"]}',
    '{"databases": {"*": {"settings": ["a.b"]}}, "models": ["*"]}',
    '{"databases": {"*": {}}, "models": [["*"]]}',
    json.dumps({"databases": {"*": {}}, "models": ["*", "m" * LONGEST]}),
]


@pytest.mark.parametrize("line", MALFORMED, ids=range(len(MALFORMED)))
def test_what_cannot_be_read_opens_nothing(line: str) -> None:
    assert read(line) == NOTHING


def test_two_headers_open_nothing() -> None:
    everything = '{"databases":{"*":{}},"models":["*"]}'
    assert read(everything).may_use_database("shop")
    assert read(everything, everything) == NOTHING
