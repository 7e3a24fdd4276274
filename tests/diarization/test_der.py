"""The scorer, against cases that were worked out by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from bench.der import Errors, Turn, assignment, errors, read_rttm


def test_the_same_turns_under_other_names_are_no_error() -> None:
    reference = [Turn(0, 4, "ann"), Turn(4, 10, "bob")]
    assert errors(reference, [Turn(0, 4, "1"), Turn(4, 10, "0")]) == Errors(10, 0, 0, 0)


def test_missed_invented_and_confused_time_are_told_apart() -> None:
    reference = [Turn(0, 10, "ann"), Turn(12, 20, "bob")]
    found = [Turn(1, 11, "0"), Turn(12, 17, "1"), Turn(17, 20, "0")]
    counted = errors(reference, found)
    assert counted == pytest.approx(Errors(18, 1, 1, 3))
    assert counted.rate == pytest.approx(100 * 5 / 18)


def test_overlapped_speech_counts_for_everybody_who_speaks() -> None:
    reference = [Turn(0, 10, "ann"), Turn(6, 10, "bob")]
    assert errors(reference, [Turn(0, 10, "0")]) == pytest.approx(Errors(14, 4, 0, 0))
    assert errors(reference, [Turn(0, 10, "0"), Turn(5, 10, "1")]) == pytest.approx(Errors(14, 0, 1, 0))


def test_speakers_are_paired_so_that_they_share_the_most_time() -> None:
    # Taking the longest pair first (0 with ann: 4 s) would leave 1 with nobody: 5 s right instead of 6.
    reference = [Turn(0, 7, "ann"), Turn(7, 10, "bob")]
    found = [Turn(0, 3, "1"), Turn(3, 10, "0")]
    assert errors(reference, found) == pytest.approx(Errors(10, 0, 0, 4))


def test_the_collar_leaves_the_surroundings_of_the_references_boundaries_out() -> None:
    reference = [Turn(1, 5, "ann")]
    assert errors(reference, [Turn(0.8, 5.2, "0")], collar=0.25) == pytest.approx(Errors(3.5, 0, 0, 0))
    assert errors(reference, [Turn(0.5, 5, "0")], collar=0.25) == pytest.approx(Errors(3.5, 0, 0.25, 0))


@pytest.mark.parametrize(("reference", "found", "rate"), [([], [], 0), ([Turn(0, 2, "a")], [], 100)])
def test_silence(reference: list[Turn], found: list[Turn], rate: float) -> None:
    assert errors(reference, found).rate == rate


def test_turns_of_one_speaker_over_each_other_count_once() -> None:
    assert errors([Turn(0, 4, "a"), Turn(2, 6, "a")], [Turn(0, 6, "0")]) == Errors(6, 0, 0, 0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2), (4, 6), (6, 6)])
def test_the_assignment_is_the_best_of_all(shape: tuple[int, int]) -> None:
    gains = np.random.default_rng(sum(shape)).integers(0, 50, shape).astype(float)
    small, large = min(shape), max(shape)
    wide = gains if shape[0] <= shape[1] else gains.T
    best = max(sum(wide[range(small), chosen]) for chosen in itertools.permutations(range(large), small))
    pairs = assignment(gains)
    assert sum(gains[pair] for pair in pairs) == best
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == small


def test_rttm_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.rttm"
    path.write_text(";; comment\nSPEAKER file 1 3.168 0.800 <NA> <NA> MEO069 <NA> <NA>\n")
    (turn,) = read_rttm(path)
    assert (turn.start, turn.speaker) == (3.168, "MEO069")
    assert turn.end == pytest.approx(3.968)
