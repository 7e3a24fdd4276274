"""Hints about the number of speakers."""

from __future__ import annotations

import json

import pytest

from triton_models.shared.diarization.options import MOST, Options
from triton_models.shared.errors import InputError


@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({}, 1, MOST),
        ({"speakers": 3}, 3, 3),
        ({"speakers": 3, "min_speakers": 2, "max_speakers": 4}, 3, 3),
        ({"min_speakers": 2}, 2, MOST),
        ({"max_speakers": 4}, 1, 4),
        ({"speakers": None, "min_speakers": 2, "max_speakers": 2}, 2, 2),
    ],
)
def test_hints_bound_the_number(fields: dict[str, int], least: int, most: int) -> None:
    assert Options.parse(json.dumps(fields).encode()) == Options(least, most)


def test_no_hints_at_all() -> None:
    assert Options.parse(b"") == Options(1, MOST)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "options: not JSON"),
        (b"\xff\xfe", "options: not JSON"),
        (b"[" * 100_000, "options: not JSON"),
        (b"[2]", "options: must be a JSON object"),
        (b"2", "options: must be a JSON object"),
        (b'{"speaker": 2}', "options: no field 'speaker'; there are speakers"),
        (b'{"speakers": 0}', r"options\.speakers: must be a whole number from 1"),
        (b'{"speakers": -2}', r"options\.speakers: must be"),
        (b'{"speakers": 1.5}', r"options\.speakers: must be"),
        (b'{"speakers": true}', r"options\.speakers: must be"),
        (b'{"speakers": "2"}', r"options\.speakers: must be"),
        (b'{"max_speakers": 1000}', r"options\.max_speakers: must be"),
        (b'{"min_speakers": 4, "max_speakers": 2}', r"options\.min_speakers: larger than max_speakers"),
        (b'{"speakers": 4, "max_speakers": 2}', r"options\.speakers: not between"),
        (b'{"speakers": 1, "min_speakers": 2}', r"options\.speakers: not between"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Options.parse(data)
