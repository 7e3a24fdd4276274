"""Arithmetic on who speaks when: overlap, speaking time, and which speakers are known ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


def overlap(turns: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where more than one turn is under way at once: disjoint spans, in order. Turns are start and end, in seconds."""
    edges = sorted([(start, 1) for start, _ in turns] + [(end, -1) for _, end in turns])
    found: list[tuple[float, float]] = []
    speaking, since = 0, 0.0
    for at, step in edges:
        if speaking < 2 <= speaking + step:
            since = at
        elif speaking >= 2 > speaking + step and at > since:
            found.append((since, at))
        speaking += step
    return found


def unit(rows: Rows) -> Rows:
    """The rows with length one; rows of zeros, and of what is no number, become zeros."""
    clean = np.nan_to_num(rows.astype(np.float32), posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(clean, axis=1, keepdims=True)
    scaled: Rows = np.divide(clean, lengths, out=np.zeros_like(clean), where=lengths > 0)
    return scaled


def match(centroids: Rows, known: Rows, similarity: float) -> list[int]:
    """The number of each speaker: that of the known one whom they resemble most, else one after all known ones.

    No two speakers become the same known one: the likeliest pair is settled first.

    Args:
        centroids: [s, d], of unit length.
        known: [k, d], of unit length.
        similarity: The cosine from which on two are the same.
    """
    numbers = [-1] * len(centroids)
    cosines = centroids @ known.T if len(known) else np.zeros((len(centroids), 0), np.float32)
    for pair in np.argsort(-cosines, axis=None, kind="stable"):
        speaker, person = divmod(int(pair), cosines.shape[1])
        if cosines[speaker, person] < similarity:
            break
        if numbers[speaker] < 0 and person not in numbers:
            numbers[speaker] = person
    free = len(known)
    for speaker, number in enumerate(numbers):
        if number < 0:
            numbers[speaker], free = free, free + 1
    return numbers
