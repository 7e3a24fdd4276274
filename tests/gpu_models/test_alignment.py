"""Tokens are placed where attention goes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from triton_models.shared.alignment import FRAME, token_times, warp


def cheapest(cost: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """The cost of the cheapest way, by the definition."""
    total = np.full(cost.shape, np.inf)
    for row, column in itertools.product(*map(range, cost.shape)):
        before = [
            total[r, c] for r, c in ((row - 1, column), (row, column - 1), (row - 1, column - 1)) if min(r, c) >= 0
        ]
        total[row, column] = cost[row, column] + (min(before) if before else 0)
    return float(total[-1, -1])


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.floats(-5, 5, width=16)))
def test_the_way_is_the_cheapest(cost: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    path = warp(cost)
    assert tuple(path[0]) == (0, 0)
    assert tuple(path[-1]) == (cost.shape[0] - 1, cost.shape[1] - 1)
    steps = np.diff(path, axis=0)
    assert np.all((steps >= 0) & (steps <= 1))
    assert np.all(steps.sum(axis=1) >= 1)
    assert cost[path[:, 0], path[:, 1]].sum() == pytest.approx(cheapest(cost))


def test_tokens_begin_where_their_attention_begins() -> None:
    frames, starts = 1500, [0, 50, 120, 300]
    attention = np.full((2, 4, frames), 1e-4, np.float32)
    for token, (start, end) in enumerate(itertools.pairwise([*starts, 400])):
        attention[:, token, start:end] = 1
    times = token_times(attention, 8.0)
    assert np.allclose(times[:-1], np.array(starts) * FRAME, atol=0.1)
    assert times[-1] == 8.0


@pytest.mark.parametrize("seconds", [0.005, 0.02, 0.1, 30.0])
def test_times_stay_within_the_audio_and_do_not_run_backwards(seconds: float) -> None:
    attention = np.random.default_rng(1).random((3, 20, 1500), np.float32)
    times = token_times(attention, seconds)
    assert len(times) == 21
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] <= seconds
