"""When each token of a text is said, from the attention that an encoder-decoder model pays to the audio.

Dynamic time warping over the cross-attention of heads that follow the speech, as Whisper's authors do it for word
timestamps (https://github.com/openai/whisper, timing.py, MIT). The table is filled along its antidiagonals, whose cells
do not depend on each other: a text of 200 tokens over 30 s takes some 20 ms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME = 0.02  # seconds of audio to one output of Whisper's encoder
MEDIAN = 7  # frames over which attention is smoothed

Weights = NDArray[np.float32]


def token_times(attention: Weights, seconds: float) -> NDArray[np.float64]:
    """The time at which each token begins, and the end of the last.

    Args:
        attention: [heads, tokens, frames], the weights that each head gives to the audio while it says a token.
        seconds: How long the audio is; frames beyond are padding.

    Returns:
        [tokens + 1], not decreasing, from 0 to `seconds`.
    """
    frames = min(attention.shape[2], max(1, round(seconds / FRAME)))
    weights = attention[:, :, :frames]
    spread = weights.std(axis=1, keepdims=True)
    weights = (weights - weights.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    path = warp(-_smooth(weights).mean(axis=0))
    rows, columns = path[:, 0], path[:, 1]
    first = np.searchsorted(rows, np.arange(attention.shape[1]))
    return np.minimum(np.append(columns[first] * FRAME, seconds), seconds)


def warp(cost: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int64]:
    """The cheapest way through a table from its first cell to its last, a step right, down or both at a time.

    Args:
        cost: [rows, columns].

    Returns:
        [steps, 2]: row and column of each cell on the way.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0
    for diagonal in range(2, rows + columns + 1):
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        column = diagonal - row
        before = np.minimum(np.minimum(total[row - 1, column - 1], total[row - 1, column]), total[row, column - 1])
        total[row, column] = cost[row - 1, column - 1] + before
    return _way_back(total)


def _way_back(total: NDArray[np.float64]) -> NDArray[np.int64]:
    row, column = total.shape[0] - 1, total.shape[1] - 1
    path = []
    while row > 0 and column > 0:
        path.append((row - 1, column - 1))
        before = (total[row - 1, column - 1], total[row - 1, column], total[row, column - 1])
        step = int(np.argmin(before))
        row, column = row - (step != 2), column - (step != 1)
    return np.array(path[::-1], np.int64).reshape(-1, 2)


def _smooth(weights: Weights) -> Weights:
    """The median over neighbouring frames."""
    half = MEDIAN // 2
    if weights.shape[2] <= half:
        return weights
    padded = np.pad(weights, ((0, 0), (0, 0), (half, half)), mode="reflect")
    smooth: Weights = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN, axis=2), axis=3)
    return smooth
