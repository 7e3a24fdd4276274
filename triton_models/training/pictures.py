"""Draws scenes as 64x64 pictures: every shape is a signed distance, so that edges are smooth at any place and size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triton_models.training.scenes import BACKGROUNDS, COLOURS, SHAPES, SIDE, Scene, Thing

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

LINE = 2.6  # pixels
NEAR = 2.0  # pixels: what is beside a thing
EDGE = 40  # a step between neighbours, in any colour, that is an edge

_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + np.float32(0.5)
BACKGROUND_COLOURS = np.array(list(BACKGROUNDS.values()), dtype=np.float32)
THING_COLOURS = np.array(list(COLOURS.values()), dtype=np.float32)


def _polygon(corners: list[tuple[float, float]]) -> Callable[[Floats, Floats], Floats]:
    """The signed distance to a polygon in the unit square [-1, 1]², negative inside.

    Source: Inigo Quilez, https://iquilezles.org/articles/distfunctions2d/ (polygon).
    """

    def distance(x: Floats, y: Floats) -> Floats:
        nearest = np.full(x.shape, np.inf, dtype=np.float32)
        sign = np.ones(x.shape, dtype=np.float32)
        for (ax, ay), (bx, by) in zip(corners, corners[-1:] + corners[:-1], strict=True):
            ex, ey = bx - ax, by - ay
            wx, wy = x - ax, y - ay
            along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, (wx - ex * along) ** 2 + (wy - ey * along) ** 2)
            crossings = np.stack([y >= ay, y < by, ex * wy > ey * wx])
            sign = np.where(crossings.all(0) | ~crossings.any(0), -sign, sign)
        return np.asarray(sign * np.sqrt(nearest), dtype=np.float32)

    return distance


def _circle(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.hypot(x, y) - 1, dtype=np.float32)


def _ring(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.abs(np.hypot(x, y) - 0.74) - 0.26, dtype=np.float32)


def _star_corners() -> list[tuple[float, float]]:
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.05, 0.46)
    return [(float(r * np.cos(a)), float(r * np.sin(a) + 0.05)) for a, r in zip(angles, radii, strict=True)]


def _heart_corners() -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x = 16 * np.sin(t) ** 3 / 16
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t) + 2.5) / 15.5
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


_ARM = 0.34
_CROSS = [
    *((-_ARM, -1.0), (_ARM, -1.0), (_ARM, -_ARM), (1.0, -_ARM), (1.0, _ARM), (_ARM, _ARM)),
    *((_ARM, 1.0), (-_ARM, 1.0), (-_ARM, _ARM), (-1.0, _ARM), (-1.0, -_ARM), (-_ARM, -_ARM)),
]
_DISTANCES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "circle": _circle,
    "square": _polygon([(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)]),
    "triangle": _polygon([(0.0, -0.95), (1.0, 0.85), (-1.0, 0.85)]),
    "star": _polygon(_star_corners()),
    "heart": _polygon(_heart_corners()),
    "diamond": _polygon([(0.0, -1.0), (0.78, 0.0), (0.0, 1.0), (-0.78, 0.0)]),
    "ring": _ring,
    "cross": _polygon(_CROSS),
}


def _distance(thing: Thing) -> Floats:
    x, y = (_COLUMNS - np.float32(thing.x)) / thing.radius, (_ROWS - np.float32(thing.y)) / thing.radius
    return np.asarray(_DISTANCES[SHAPES[thing.shape]](x, y) * thing.radius, dtype=np.float32)


def coverage(thing: Thing) -> Floats:
    """How much of each pixel a thing covers, 0 to 1; shape (SIDE, SIDE)."""
    return np.asarray(np.clip(0.5 - _distance(thing), 0, 1), dtype=np.float32)


def outline(thing: Thing) -> Floats:
    """How much of each pixel a thing's outline covers: a line inside its edge."""
    return np.asarray(np.clip(0.5 + LINE / 2 - np.abs(_distance(thing) + LINE / 2), 0, 1), dtype=np.float32)


def surroundings(thing: Thing) -> Floats:
    """How much of each pixel belongs to a thing or to the NEAR pixels about it."""
    return np.asarray(np.clip(0.5 + NEAR - _distance(thing), 0, 1), dtype=np.float32)


def draw(scene: Scene) -> Picture:
    """The picture of a scene: (SIDE, SIDE, 3), RGB."""
    return _paint(scene, coverage)


def draw_outlines(scene: Scene) -> Picture:
    """The picture of a scene in outlines."""
    return _paint(scene, outline)


def _paint(scene: Scene, covers: Callable[[Thing], Floats]) -> Picture:
    picture = np.broadcast_to(BACKGROUND_COLOURS[scene.background], (SIDE, SIDE, 3)).copy()
    for thing in scene.things:
        alpha = covers(thing)[..., None]
        picture += alpha * (THING_COLOURS[thing.colour] - picture)
    return np.asarray(np.round(picture), dtype=np.uint8)


def draw_many(scenes: list[Scene]) -> Picture:
    """The pictures of scenes: (N, SIDE, SIDE, 3)."""
    return np.stack([draw(scene) for scene in scenes])


def edges(picture: Picture) -> Picture:
    """White where a colour changes to the right or below, else black: what the ControlNet is led by."""
    values = picture.astype(np.int16)
    strong = np.zeros(picture.shape[:2], dtype=bool)
    strong[:, :-1] |= (np.abs(np.diff(values, axis=1)) > EDGE).any(axis=2)
    strong[:-1, :] |= (np.abs(np.diff(values, axis=0)) > EDGE).any(axis=2)
    return np.repeat(strong[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)
