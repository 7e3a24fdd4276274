"""Reads a picture back with nothing that was learned: colours by distance, shapes by overlap with each outline.

The measure of the checkpoint: what a caption says is compared with what is to be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from triton_models.training.captions import UNSAID, Caption, SaidThing
from triton_models.training.pictures import BACKGROUND_COLOURS, THING_COLOURS, Floats, Picture, coverage
from triton_models.training.scenes import GRID, RADII, SHAPES, SIDE, Thing

NOISE = 45.0  # a difference from the background, in RGB, that is no thing yet
SPECK = 14  # pixels; less is dirt, not a thing
HOLE = 4  # pixels of the background inside a thing
UNREADABLE = 0.6  # overlap with the best outline below which a blob has no shape
ATTRIBUTES = ("shape", "colour", "size", "count", "place", "relation", "background")


@dataclass(frozen=True)
class Reading:
    """What is to be seen: things (shape UNSAID where none fits) and the background."""

    things: tuple[Thing, ...]
    background: int


def read(picture: Picture, covers: Callable[[Thing], Floats] = coverage) -> Reading:
    """Read a picture (SIDE, SIDE, 3) whose things are painted like this: filled, or as outlines."""
    values = picture.astype(np.float32)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    ground = np.median(border, axis=0)
    background = _nearest(BACKGROUND_COLOURS, ground)
    blobs = components(np.linalg.norm(values - ground, axis=2) > NOISE)
    things = tuple(_thing(values, ground, blob, covers) for blob in blobs if blob.sum() >= SPECK)
    return Reading(things, background)


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The connected parts of a mask (four neighbours), in reading order."""
    left = mask.copy()
    found = []
    while left.any():
        part = np.zeros_like(mask)
        edge = [tuple(np.argwhere(left)[0])]
        left[edge[0]] = False
        while edge:
            row, column = edge.pop()
            part[row, column] = True
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= near[0] < SIDE and 0 <= near[1] < SIDE and left[near]:
                    left[near] = False
                    edge.append(near)
        found.append(part)
    return found


def _nearest(palette: Floats, colour: Floats) -> int:
    return int(np.linalg.norm(palette - colour, axis=1).argmin())


def _thing(values: Floats, ground: Floats, blob: NDArray[np.bool_], covers: Callable[[Thing], Floats]) -> Thing:
    """The thing that a blob is: its colour from its purest pixels, then its outline at half of that colour."""
    difference = values - ground
    strength = np.where(blob, np.linalg.norm(difference, axis=2), 0)
    pure = strength >= np.quantile(strength[blob], 0.6)
    colour = np.median(values[pure & blob], axis=0)
    direction = (colour - ground) / max(float(np.square(colour - ground).sum()), 1.0)
    # The soft edge belongs to the thing although its outermost pixels are weaker than NOISE.
    alpha = np.clip(difference @ direction, 0, 1) * _grown(blob)
    overlaps = [_fit(alpha, shape, covers) for shape in range(len(SHAPES))]
    best = int(np.argmax([overlap for overlap, _ in overlaps]))
    overlap, (x, y, radius) = overlaps[best]
    size = int(np.abs(np.array(RADII) - radius).argmin())
    shape = best if overlap >= UNREADABLE else UNSAID
    return Thing(shape, _nearest(THING_COLOURS, colour), size, x, y, radius)


def _grown(blob: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask and the pixels beside it."""
    padded = np.pad(blob, 1)
    return np.asarray(blob | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:])


def _fit(alpha: Floats, shape: int, covers: Callable[[Thing], Floats]) -> tuple[float, tuple[float, float, float]]:
    """How well a shape of the same box overlaps with what was found, 0 to 1; and its centre and radius."""
    left, right = _extent(alpha.max(axis=0))
    top, bottom = _extent(alpha.max(axis=1))
    low_x, high_x, low_y, high_y = _box(shape)
    radius = max((right - left) / (high_x - low_x), (bottom - top) / (high_y - low_y))
    x = (left + right) / 2 - radius * (low_x + high_x) / 2
    y = (top + bottom) / 2 - radius * (low_y + high_y) / 2
    drawn = covers(Thing(shape, 0, 0, x, y, radius))
    overlap = float(np.minimum(alpha, drawn).sum() / max(float(np.maximum(alpha, drawn).sum()), 1e-6))
    return overlap, (x, y, radius)


def _extent(profile: Floats) -> tuple[float, float]:
    """Where a profile rises to and falls from one half, in pixels; its soft ends count by their share."""
    inside = np.flatnonzero(profile >= 0.5)
    if not len(inside):
        return 0.0, 1.0
    first, last = int(inside[0]), int(inside[-1])
    before = float(profile[first - 1]) if first else 0.0
    after = float(profile[last + 1]) if last + 1 < len(profile) else 0.0
    return first + 1 - float(profile[first]) - before, last + float(profile[last]) + after


@cache
def _box(shape: int) -> tuple[float, float, float, float]:
    """The box of a shape of radius 1 around its centre: left, right, top, bottom."""
    half, radius = SIDE / 2, SIDE / 2.5
    drawn = coverage(Thing(shape, 0, 0, half, half, radius))
    ends = (*_extent(drawn.max(axis=0)), *_extent(drawn.max(axis=1)))
    left, right, top, bottom = ((end - half) / radius for end in ends)
    return left, right, top, bottom


def judge(caption: Caption, reading: Reading) -> dict[str, bool]:
    """Which of the things that a caption says are so in the picture; what it does not say is not judged."""
    found = {"count": len(reading.things) == caption.count}
    if caption.background != UNSAID:
        found["background"] = reading.background == caption.background
    found |= _judge_pair(caption, reading.things) if len(caption.things) == 2 else _judge_same(caption, reading.things)
    return found


def _judge_same(caption: Caption, things: tuple[Thing, ...]) -> dict[str, bool]:
    said = caption.things[0]
    each = [_judge_thing(said, thing) for thing in things]
    found = {name: bool(each) and all(one[name] for one in each) for name in _said(said)}
    if caption.place != UNSAID:
        found["place"] = len(things) == 1 and place_of(things[0]) == caption.place
    return found


def _judge_pair(caption: Caption, things: tuple[Thing, ...]) -> dict[str, bool]:
    """Of all ways to take two of the things for the two that are meant, the one with most that is right."""
    names = {name for said in caption.things for name in _said(said)}
    if caption.relation != UNSAID:
        names.add("relation")
    best = dict.fromkeys(names, False)
    for pair in permutations(things, 2):
        each = [_judge_thing(said, thing) for said, thing in zip(caption.things, pair, strict=True)]
        found = {name: all(one.get(name, True) for one in each) for name in names}
        if caption.relation != UNSAID:
            found["relation"] = relation_of(*pair) == caption.relation
        # Colour and shape say which thing is meant, so the relation breaks ties only.
        if _weight(found) > _weight(best):
            best = found
    return best


def _weight(found: dict[str, bool]) -> float:
    return sum(0.5 if name == "relation" else 1.0 for name, right in found.items() if right)


def _said(said: SaidThing) -> list[str]:
    parts = {"shape": said.shape, "colour": said.colour, "size": said.size}
    return [name for name, value in parts.items() if value != UNSAID]


def _judge_thing(said: SaidThing, thing: Thing) -> dict[str, bool]:
    return {name: getattr(said, name) == getattr(thing, name) for name in _said(said)}


def place_of(thing: Thing) -> int:
    """The cell of the 3x3 grid that a thing's centre lies in."""
    column, row = (int(np.abs(np.array(GRID) - way).argmin()) for way in (thing.x, thing.y))
    return 3 * row + column


def relation_of(first: Thing, second: Thing) -> int:
    """Where the first is, seen from the second: an index into RELATIONS."""
    right, down = first.x - second.x, first.y - second.y
    if abs(right) >= abs(down):
        return 1 if right > 0 else 0
    return 3 if down > 0 else 2


def hollow(picture: Picture) -> bool:
    """Whether a thing encloses some of the background, as outlines do, and rings."""
    values = picture.astype(np.float32)
    ground = np.median(np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]]), axis=0)
    parts = components(np.linalg.norm(values - ground, axis=2) <= NOISE)
    inner = (part for part in parts if not (part[[0, -1]].any() or part[:, [0, -1]].any()))
    return any(part.sum() >= HOLE for part in inner)


def edges_in_common(found: Picture, asked: Picture) -> float:
    """How well two pictures of edges (SIDE, SIDE, 3) agree, 0 to 1.

    The F-measure of boundaries with a pixel of tolerance (Martin, Fowlkes and Malik, 2004).
    """
    mine, theirs = found[..., 0] > 0, asked[..., 0] > 0
    if not mine.any() or not theirs.any():
        return 0.0
    precision = float((mine & _grown(theirs)).sum() / mine.sum())
    recall = float((theirs & _grown(mine)).sum() / theirs.sum())
    return 2 * precision * recall / max(precision + recall, 1e-9)
