"""Page tokens: what was packed comes back, whatever it was; anything else is refused by name."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mesh.errors import InvalidArgument
from services.mesh.paging import DEFAULT_PAGE, MAX_PAGE, key, micros, moment, size, token


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@given(st.text(), st.integers(0, (1 << 62) - 1), st.datetimes(timezones=st.just(UTC)))
def test_a_key_comes_back(text: str, when: int, day: datetime) -> None:
    assert key(token(day, text, when), moment, str, micros) == (day, text, when)


@pytest.mark.parametrize(
    "hostile",
    [
        "!",
        "a",
        "a b",
        "=" * 40,
        packed(""),
        packed("[]"),
        packed("{}"),
        packed("null"),
        packed('["1"]'),
        packed('["1", "x", "x"]'),
        packed('[1, "x"]'),
        packed('["-1", "x"]'),
        packed('["99999999999999999999", "x"]'),
        packed('["one", "x"]'),
        packed("[" * 100_000),
        packed('["' + "9" * 5000 + '", "x"]'),
        token(1, "x") + "é",
    ],
)
def test_what_no_page_gave_is_refused_by_name(hostile: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        key(hostile, micros, str)
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


@given(st.text())
def test_no_text_does_anything_else(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        key(text, moment, str)


def test_a_page_has_what_was_asked_for_within_bounds() -> None:
    assert [size(asked) for asked in (0, 1, MAX_PAGE, 10**9)] == [DEFAULT_PAGE, 1, MAX_PAGE, MAX_PAGE]
