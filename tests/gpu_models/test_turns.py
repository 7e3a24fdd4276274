"""Overlap, and which speakers are known ones."""

from __future__ import annotations

import numpy as np
import pytest

from triton_models.shared import turns


@pytest.mark.parametrize(
    ("spoken", "found"),
    [
        ([], []),
        ([(0, 1), (1, 2)], []),
        ([(0, 2), (1, 3)], [(1, 2)]),
        ([(0, 9), (1, 2), (1.5, 3), (5, 6)], [(1, 3), (5, 6)]),
        ([(0, 1), (0, 1)], [(0, 1)]),
    ],
)
def test_overlap(spoken: list[tuple[float, float]], found: list[tuple[float, float]]) -> None:
    assert turns.overlap(spoken) == found


def test_the_likeliest_pair_is_settled_first_and_nobody_is_two() -> None:
    known = np.eye(2, 4, dtype=np.float32)
    speakers = turns.unit(np.array([[1, 0.5, 0, 0], [1, 0.1, 0, 0], [0, 0, 1, 0]], np.float32))
    assert turns.match(speakers, known, 0.8) == [2, 0, 3]


def test_without_known_speakers_numbers_follow_the_order() -> None:
    assert turns.match(np.eye(3, dtype=np.float32), np.zeros((0, 3), np.float32), 0.5) == [0, 1, 2]
    assert turns.match(np.zeros((0, 3), np.float32), np.eye(3, dtype=np.float32), 0.5) == []


def test_rows_become_of_length_one_unless_there_is_nothing_in_them() -> None:
    rows = turns.unit(np.array([[3, 4], [0, 0], [np.nan, np.nan]], np.float32))
    assert np.allclose(rows, np.array([[0.6, 0.8], [0, 0], [0, 0]]))
