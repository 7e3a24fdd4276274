"""Long speech is cut where it is quiet, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

from triton_models.shared.windows import LONGEST, RATE, windows


@pytest.mark.parametrize("seconds", [0.1, 29.9, 30, 30.1, 61, 200])
def test_pieces_follow_each_other_without_gaps_and_none_is_too_long(seconds: float) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)
    pieces = list(windows(samples))
    assert np.array_equal(np.concatenate([piece for _, piece in pieces]), samples)
    assert [start for start, _ in pieces] == list(np.cumsum([0, *(len(piece) for _, piece in pieces[:-1])]))
    assert all(0 < len(piece) <= LONGEST for _, piece in pieces)


def test_the_cut_is_in_a_pause() -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, 40 * RATE).astype(np.float32)
    samples[24 * RATE : 25 * RATE] = 0
    (_, first), _ = windows(samples)
    assert 24 * RATE <= len(first) <= 25 * RATE


def test_of_many_pauses_the_last_one_is_taken() -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, 40 * RATE).astype(np.float32)
    for second in (21, 24, 28):
        samples[second * RATE : second * RATE + RATE // 2] = 0
    (_, first), _ = windows(samples)
    assert 28 * RATE <= len(first) <= 28.5 * RATE
