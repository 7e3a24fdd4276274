"""Decoders that follow speech: pieces are recognised as the whole is, and decoders are shared out fairly."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from triton_models.shared import live_sphinx
from triton_models.shared.hints import HintsError
from triton_models.shared.live_sphinx import Sessions

QUESTIONS = ["how many customers are there", "which product has the highest price"]
HINTS = json.dumps({"phrases": QUESTIONS}).encode()
Samples = NDArray[np.int16]


@pytest.fixture(scope="module")
def spoken(say: Callable[..., bytes]) -> list[Samples]:
    """The questions at 16 kHz."""
    heard = [np.frombuffer(say(question)[44:], np.int16) for question in QUESTIONS]
    places = [np.linspace(0, len(one) - 1, len(one) * 16000 // 22050) for one in heard]
    return [
        np.interp(place, np.arange(len(one)), one).astype(np.int16) for place, one in zip(places, heard, strict=True)
    ]


def feed(sessions: Sessions, sequence: int, samples: Samples, size: int, hints: bytes = HINTS) -> list[str]:
    """The text after each piece."""
    texts = []
    for start in range(0, len(samples), size):
        piece = samples[start : start + size]
        last = start + size >= len(samples)
        words = sessions.feed(sequence, piece, hints, first=start == 0, last=last)
        assert words is not None
        assert all(0 <= word.start <= word.end <= (start + len(piece)) / 16000 for word in words)
        texts.append(" ".join(word.text for word in words))
    return texts


@pytest.mark.parametrize("size", [160, 1600, 1_000_000])
def test_pieces_of_any_size_become_the_words(spoken: list[Samples], size: int) -> None:
    sessions = Sessions()
    for sequence, (samples, question) in enumerate(zip(spoken, QUESTIONS, strict=True)):
        texts = feed(sessions, sequence, samples, size)
        assert texts[-1] == question
        if size == 1600:
            # There are words long before the end.
            assert texts[len(texts) * 2 // 3].split()[:1] == question.split()[:1]


def test_what_was_recognised_before_makes_no_difference(spoken: list[Samples]) -> None:
    sessions = Sessions(limit=1)
    first = feed(sessions, 1, spoken[0], 1600)
    feed(sessions, 2, spoken[1], 1600)
    assert feed(sessions, 3, spoken[0], 1600) == first


def test_sequences_that_are_open_at_once_do_not_mix(spoken: list[Samples]) -> None:
    sessions = Sessions()
    texts = {}
    for start in range(0, max(map(len, spoken)), 1600):
        for sequence, samples in enumerate(spoken):
            if start < len(samples):
                last = start + 1600 >= len(samples)
                words = sessions.feed(sequence, samples[start : start + 1600], HINTS, first=start == 0, last=last)
                texts[sequence] = " ".join(word.text for word in words or ())
    assert [texts[0], texts[1]] == QUESTIONS


def test_decoders_are_limited_and_come_back(spoken: list[Samples], monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(limit=2)
    piece = spoken[0][:16000]
    for sequence in (1, 2):
        assert sessions.feed(sequence, piece, HINTS, first=True, last=False) is not None
    assert sessions.feed(3, piece, HINTS, first=True, last=False) is None
    # Nor does it become known by going on.
    assert sessions.feed(3, piece, HINTS, first=False, last=True) is None
    sessions.feed(1, piece, HINTS, first=False, last=True)
    assert feed(sessions, 4, spoken[1], 1600)[-1] == QUESTIONS[1]
    # One that neither goes on nor ends gives way after a while.
    assert sessions.feed(5, piece, HINTS, first=True, last=False) is not None
    monkeypatch.setattr(live_sphinx, "ABANDONED", -1.0)
    assert feed(sessions, 6, spoken[1], 1_000_000)[-1] == QUESTIONS[1]


def test_hints_that_make_no_sense_take_no_decoder(spoken: list[Samples]) -> None:
    sessions = Sessions(limit=1)
    with pytest.raises(HintsError):
        sessions.feed(1, spoken[0], b'{"grammar": "nonsense"}', first=True, last=False)
    assert feed(sessions, 2, spoken[0], 1600)[-1] == QUESTIONS[0]


def test_a_sequence_without_sound_has_no_words() -> None:
    sessions = Sessions(limit=1)
    assert sessions.feed(1, np.zeros(160, np.int16), HINTS, first=True, last=True) == []
