"""Cuts speech that is longer than a model can hear at once, where it is quiet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RATE = 16000
LONGEST = 30 * RATE  # what Whisper hears at once
SEARCH = 10 * RATE  # the cut lies in the last seconds of a window
FRAME = RATE // 50  # 20 ms: the steps in which loudness is looked at
SMOOTH = 10  # frames over which it is averaged: a pause is longer than a stop consonant


def windows(samples: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The samples in pieces of at most 30 s, each with the number of its first sample; nothing overlaps, all is there.

    Args:
        samples: At 16 kHz.
    """
    start = 0
    while len(samples) - start > LONGEST:
        end = start + LONGEST - SEARCH + _quietest(samples[start + LONGEST - SEARCH : start + LONGEST])
        yield start, samples[start:end]
        start = end
    yield start, samples[start:]


def _quietest(samples: NDArray[np.float32]) -> int:
    """The middle of the quietest fifth of a second; the last of several that are as quiet."""
    energy = np.square(samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)).mean(axis=1)
    smooth = np.convolve(energy, np.ones(SMOOTH) / SMOOTH, mode="valid")
    last = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
    return (last + SMOOTH // 2) * FRAME
