"""Finds faces and draws them anew, each in a square of its own; the rest of the picture stays as it is.

Networks for faces (X. Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior", 2021;
S. Zhou et al., "Towards Robust Blind Face Restoration with Codebook Lookup Transformer", 2022) were trained on squares
in which the face has one place and one size (FFHQ's). A face is found by OpenCV's cascade of frontal faces (P. Viola,
M. Jones, 2001), whose weights come with the package, and brought to that place and size, but not turned: faces in
profile or far from upright are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from triton_models.shared.errors import CancelledError, InputError

Picture = NDArray[np.uint8]
CASCADE = "haarcascade_frontalface_default.xml"
AROUND = 1.5  # sides of the square that networks know, over those of the square that the cascade finds
LOWER = 0.02  # by how much its middle lies lower, as a share of the face's side
SMALLEST = 24  # pixels of a face that is looked for, and at least this share of the picture's shorter side:
SHARE = 0.04
FEATHER = 0.12  # of the square, over which what is drawn fades into what was there
FIDELITY = 0.7  # 0 to 1, for networks that ask how much to keep of what they see (CodeFormer)
FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class Face(NamedTuple):
    """The square around a face, in pixels; it may reach over the picture's edge."""

    left: int
    top: int
    side: int


class Network:
    """A network for faces.

    Args:
        path: ONNX: [1, 3, side, side] to the same, −1 to 1; what else it takes are numbers about fidelity.
        threads: On a CPU; 0: as many as there are cores.

    Raises:
        InputError: onnxruntime cannot read it, or it is no such network.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # noqa: BLE001 -- onnxruntime has a class for each way to fail, and none in common
            reason = " ".join(str(error).split()).replace(str(path), path.name)[:200]
            raise InputError(f"name: {path.name} cannot be loaded: {reason}") from None
        (picture, *others) = self._session.get_inputs()
        shape = picture.shape
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or not isinstance(shape[2], int):
            raise InputError(f"name: {path.name} is no network for faces: it takes {shape}, not [1, 3, side, side]")
        self._picture, self.side = picture.name, int(shape[2])
        self._others = {one.name: np.array([FIDELITY], FLOATS.get(one.type, np.float32)) for one in others}

    def draw(self, square: Picture) -> Picture:
        """A face [side, side, 3], drawn anew."""
        given = square.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        drawn: Any = self._session.run(None, {self._picture: given, **self._others})[0]
        levels = (np.clip(drawn[0], -1, 1).transpose(1, 2, 0) + 1) * 127.5
        picture: Picture = levels.round().astype(np.uint8)
        return picture


def find(image: Picture) -> list[Face]:
    """The upright frontal faces of a picture [height, width, 3], as the squares that networks know."""
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / CASCADE))
    smallest = max(SMALLEST, round(min(image.shape[:2]) * SHARE))
    grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    found = cascade.detectMultiScale(grey, 1.1, 5, minSize=(smallest, smallest))
    return [_square(*(int(value) for value in box)) for box in found]


def restore(network: Network, image: Picture, cancelled: Callable[[], bool]) -> Picture:
    """A picture with its faces drawn anew; the same where none is found.

    Args:
        network: Which draws them.
        image: uint8 [height, width, 3].
        cancelled: Asked before each face. Raises CancelledError when it says so.
    """
    restored = image.copy()
    for face in find(image):
        if cancelled():
            raise CancelledError
        square = _resized(_cut(restored, face), network.side)
        _paste(restored, _resized(network.draw(square), face.side), face)
    return restored


def _square(left: int, top: int, width: int, height: int) -> Face:
    """The square that networks know around what the cascade found."""
    side = round(max(width, height) * AROUND)
    return Face(left + width // 2 - side // 2, round(top + height // 2 + LOWER * height) - side // 2, side)


def _cut(image: Picture, face: Face) -> Picture:
    """The square of a face; what lies over the edge repeats it."""
    rows = np.clip(np.arange(face.top, face.top + face.side), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(face.left, face.left + face.side), 0, image.shape[1] - 1)
    square: Picture = image[np.ix_(rows, columns)]
    return square


def _resized(square: Picture, side: int) -> Picture:
    return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _paste(image: Picture, square: Picture, face: Face) -> None:
    """Puts a square into its place, in place; it fades out towards its edges."""
    ramp = np.clip((np.arange(face.side) + 0.5) / (FEATHER * face.side), 0, 1)
    edge = np.minimum(ramp, ramp[::-1])
    top, left = max(0, face.top), max(0, face.left)
    bottom, right = min(image.shape[0], face.top + face.side), min(image.shape[1], face.left + face.side)
    inside = slice(top - face.top, bottom - face.top), slice(left - face.left, right - face.left)
    share = np.outer(edge, edge)[inside][..., None]
    place = image[top:bottom, left:right]
    place[:] = np.round(place * (1 - share) + square[inside] * share).astype(np.uint8)
