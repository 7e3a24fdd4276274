"""The diarization error rate: speech that was missed, invented or given to somebody else, over all speech.

As NIST's md-eval and pyannote.metrics define it: every speaker's speech counts, so overlapped speech counts once for
each; reference and found speakers are paired so that they share the most time; with a collar, the time within so many
seconds of any boundary in the reference is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Turn(NamedTuple):
    """Somebody speaks: from, until (seconds), who."""

    start: float
    end: float
    speaker: str


class Errors(NamedTuple):
    """Seconds of speech, and of the three kinds of error. Add them up over files."""

    total: float = 0.0
    missed: float = 0.0
    invented: float = 0.0
    confused: float = 0.0

    @property
    def rate(self) -> float:
        """The diarization error rate in percent; 0 where there is no speech and no error."""
        wrong = self.missed + self.invented + self.confused
        return 100 * wrong / self.total if self.total else (100.0 if wrong else 0.0)

    def plus(self, other: Errors) -> Errors:
        """The sum of the two."""
        return Errors(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def read_rttm(path: Path) -> list[Turn]:
    """The turns of an RTTM file."""
    rows = [line.split() for line in path.read_text().splitlines() if line.startswith("SPEAKER")]
    return [Turn(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]


def errors(reference: Sequence[Turn], found: Sequence[Turn], collar: float = 0.0) -> Errors:
    """Compares two lists of turns.

    Args:
        reference: What is true.
        found: What was found.
        collar: Seconds on both sides of each boundary of the reference that are not looked at.
    """
    marks = [moment for turn in reference for moment in turn[:2]]
    cuts = {moment for turn in [*reference, *found] for moment in turn[:2]}
    cuts |= {mark + side for mark in marks for side in (-collar, collar)}
    if len(cuts) < 2:
        return Errors()
    edges = np.array(sorted(cuts))
    middles, lengths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    if collar and marks:
        lengths = lengths * (np.abs(middles[:, None] - np.array(marks)).min(axis=1) > collar)
    true, told = _active(reference, middles), _active(found, middles)
    right = np.zeros(len(middles))
    for mine, theirs in assignment((true * lengths) @ told.T):
        right += true[mine] * told[theirs]
    speaking, heard = true.sum(axis=0), told.sum(axis=0)
    return Errors(
        float(speaking @ lengths),
        float(np.maximum(0, speaking - heard) @ lengths),
        float(np.maximum(0, heard - speaking) @ lengths),
        float((np.minimum(speaking, heard) - right) @ lengths),
    )


def _active(turns: Sequence[Turn], moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Who speaks at each moment: 0 or 1, [speakers, moments]."""
    speakers = sorted({turn.speaker for turn in turns})
    active = np.zeros((len(speakers), len(moments)))
    for turn in turns:
        active[speakers.index(turn.speaker), (moments > turn.start) & (moments < turn.end)] = 1
    return active


def assignment(gains: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The pairs of rows and columns, each used once at most, with the largest sum.

    The Hungarian method with potentials (J. Munkres, J. SIAM 5 (1957)), one augmenting path for each row.
    """
    rows, columns = gains.shape
    if rows > columns:
        return sorted((row, column) for column, row in assignment(gains.T))
    costs = np.pad(-gains, ((1, 0), (1, 0)))
    by_row, by_column = np.zeros(rows + 1), np.zeros(columns + 1)
    taken, before = np.zeros(columns + 1, int), np.zeros(columns + 1, int)
    for row in range(1, rows + 1):
        taken[0], column = row, 0
        slack, visited = np.full(columns + 1, np.inf), np.zeros(columns + 1, bool)
        while taken[column]:
            visited[column] = True
            reduced = costs[taken[column]] - by_row[taken[column]] - by_column
            better = ~visited & (reduced < slack)
            slack[better], before[better] = reduced[better], column
            nearest = int(np.where(visited, np.inf, slack).argmin())
            step = slack[nearest]
            by_row[taken[visited]] += step
            by_column[visited] -= step
            slack[~visited] -= step
            column = nearest
        while column:
            taken[column] = taken[before[column]]
            column = before[column]
    return sorted((int(taken[column]) - 1, column - 1) for column in range(1, columns + 1) if taken[column])
