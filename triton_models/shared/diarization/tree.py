"""Agglomerative clustering with average linkage: the whole tree at once, to be cut at many heights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tree(NamedTuple):
    """The merges of n items, in the order of their heights."""

    pairs: NDArray[np.int64]
    """int[n-1, 2]: an item of each of the two clusters that merge."""
    heights: NDArray[np.float64]
    """float[n-1]: the average distance between the two."""

    def cut(self, height: float) -> NDArray[np.int64]:
        """The clusters below a height: a number from 0 on for each item."""
        return self._labels(int(np.searchsorted(self.heights, height, side="right")))

    def into(self, count: int) -> NDArray[np.int64]:
        """The items in `count` clusters, or each alone where there are fewer items."""
        return self._labels(max(0, len(self.pairs) + 1 - count))

    def _labels(self, merges: int) -> NDArray[np.int64]:
        labels = np.arange(len(self.pairs) + 1)
        for left, right in self.pairs[:merges]:
            labels[labels == labels[right]] = labels[left]
        found: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1]
        return found


def average_linkage(vectors: NDArray[np.float32]) -> Tree:
    """The tree of vectors of unit length by their cosine distance.

    Takes time and memory in the square of their number: each row remembers its nearest neighbour, and only rows whose
    neighbour was merged are searched again (D. Müllner, arXiv:1109.2378, section 3, the generic algorithm).

    Args:
        vectors: float32[n, size], n >= 1.
    """
    count = len(vectors)
    distances = 1 - (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    sizes, pairs, heights = np.ones(count), np.empty((count - 1, 2), np.int64), np.empty(count - 1)
    nearest = distances.argmin(axis=1)
    least = distances[np.arange(count), nearest]
    for step in range(count - 1):
        left = int(least.argmin())
        right = int(nearest[left])
        pairs[step], heights[step] = (left, right), least[left]
        share = sizes[left] / (sizes[left] + sizes[right])
        merged = share * distances[left] + (1 - share) * distances[right]
        merged[[left, right]] = np.inf
        distances[left] = distances[:, left] = merged
        distances[right] = distances[:, right] = np.inf
        sizes[left] += sizes[right]
        least[right] = np.inf
        stale = np.flatnonzero(np.isfinite(least) & ((nearest == left) | (nearest == right)))
        stale = np.append(stale, left)
        nearest[stale] = distances[stale].argmin(axis=1)
        least[stale] = distances[stale, nearest[stale]]
        closer = merged < least
        nearest[closer], least[closer] = left, merged[closer]
    return Tree(pairs, np.maximum.accumulate(heights))
