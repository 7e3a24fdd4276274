"""Windows to speakers: cuts of a tree as starts, the best optimum of the hidden Markov model that the hints allow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.diarization import hmm
from triton_models.shared.diarization.options import MOST, Options
from triton_models.shared.diarization.tree import average_linkage
from triton_models.shared.diarization.voice import SIZE, unit

HEIGHTS = (0.25, 0.3, 0.35, 0.38, 0.41, 0.44, 0.47, 0.5)
"""Cosine distances at which the tree is cut; different people's windows are some 0.5 apart, one person's 0.3."""
PURE = 0.6  # trust from which a window is a leaf of the tree
LEAVES = 1000  # items to a tree, which takes their square in memory; neighbouring windows are put together beyond


def speakers(
    vectors: NDArray[np.float32],
    segments: NDArray[np.int64],
    trust: NDArray[np.float32],
    options: Options,
    cancelled: Callable[[], bool] = lambda: False,
) -> NDArray[np.float32]:
    """The voice of each speaker, float32[speakers, SIZE], of unit length.

    Args:
        vectors: float32[windows, SIZE], embeddings in the order of time; at least one.
        segments: int[windows]: the stretch of speech that each window is in.
        trust: float32[windows], above 0 and up to 1: how sure it is that a window holds one voice only.
        options: How many speakers there may be; fewer than the least come only where there are fewer windows.
        cancelled: Asked between rounds. Raises CancelledError when it says so.
    """
    cuts = _Cuts(vectors, segments, trust, options.least)
    counts = cuts.counts()
    counts |= {options.within(count) for count in counts}
    starts = list({start.tobytes(): start for start in map(cuts.into, sorted(counts))}.values())
    solutions = hmm.infer(vectors, segments, trust, starts, cancelled)
    best = max(solutions, key=lambda solution: solution.evidence)
    allowed = [solution for solution in solutions if options.least <= _count(solution.shares) <= options.most]
    if allowed:
        shares = max(allowed, key=lambda solution: solution.evidence).shares
    else:
        # The model wants fewer speakers than the caller knows of, or more: the tree has any number.
        shares = np.eye(MOST)[cuts.into(options.within(_count(best.shares)))]
    return _voices(vectors, trust, shares)


class _Cuts:
    """Guesses from a tree of the windows that hold one voice; the others join the nearest."""

    def __init__(
        self, vectors: NDArray[np.float32], segments: NDArray[np.int64], trust: NDArray[np.float32], least: int
    ) -> None:
        pure = trust >= PURE
        if pure.sum() < max(2, least):
            pure[:] = True
        self._vectors, self._pure = vectors, pure
        self._leaves = _leaves(segments[pure])
        sums = np.zeros((int(self._leaves[-1]) + 1, SIZE), np.float32)
        np.add.at(sums, self._leaves, vectors[pure])
        self._tree = average_linkage(unit(sums))

    def counts(self) -> set[int]:
        """The numbers of speakers that the cuts at HEIGHTS lead to."""
        found = {int(self._tree.cut(height).max()) + 1 for height in HEIGHTS}
        return {min(count, MOST) for count in found}

    def into(self, count: int) -> NDArray[np.int64]:
        """A speaker for each window, of `count` speakers or as many as there are leaves."""
        labels = self._tree.into(count)[self._leaves]
        sums = np.zeros((int(labels.max()) + 1, SIZE), np.float32)
        np.add.at(sums, labels, self._vectors[self._pure])
        found: NDArray[np.int64] = (self._vectors @ unit(sums).T).argmax(axis=1)
        found[self._pure] = labels
        return found


def _leaves(segments: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tree's item that each window belongs to: its own, or one for some neighbours when there are too many."""
    size = -(-len(segments) // LEAVES)
    places = np.arange(len(segments))
    begins = np.maximum.accumulate(np.where(np.diff(segments, prepend=segments[0] - 1) != 0, places, 0))
    found: NDArray[np.int64] = np.cumsum((places - begins) % size == 0) - 1
    return found


def _count(shares: NDArray[np.float64]) -> int:
    """The speakers who have a window of their own."""
    return len(np.unique(shares.argmax(axis=1)))


def _voices(
    vectors: NDArray[np.float32], trust: NDArray[np.float32], shares: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The mean of each speaker's windows; those who have none are left out."""
    labels = shares.argmax(axis=1)
    weights = trust * shares[np.arange(len(labels)), labels]
    sums = [weights[labels == label] @ vectors[labels == label] for label in np.unique(labels)]
    return unit(np.array(sums, np.float32))
