"""What makes the picture that a ControlNet follows out of any picture: white lines on black, of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from services.image.pictures import Pixels

LOW, HIGH = 100, 200
"""Canny's thresholds, as the common ControlNets for edges were trained."""
CHANGE = 40
"""How much a colour of the embedded ControlNet's training pictures changes at an edge, of 255."""


def canny(image: Pixels) -> Pixels:
    """Thin edges (Canny 1986, OpenCV's), for the common ControlNets."""
    import cv2  # here: 12 MB, for this kind of picture alone

    return _white(cv2.Canny(np.ascontiguousarray(image), LOW, HIGH) > 0)


def edges(image: Pixels) -> Pixels:
    """Where a colour changes to the right or below: what the embedded ControlNet was trained on.

    Source: `edges` in triton_models/training/pictures.py; a test compares the two.
    """
    values = image.astype(np.int16)
    strong = np.zeros(image.shape[:2], dtype=bool)
    strong[:, :-1] |= (np.abs(np.diff(values, axis=1)) > CHANGE).any(axis=2)
    strong[:-1, :] |= (np.abs(np.diff(values, axis=0)) > CHANGE).any(axis=2)
    return _white(strong)


def _white(lines: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Pixels:
    """[h, w] as a picture: white where it is true."""
    return np.repeat(lines[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)


PREPROCESSORS: Mapping[str, Callable[[Pixels], Pixels]] = {"canny": canny, "edges": edges}
"""By name."""
