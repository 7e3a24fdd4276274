"""Scenes: what a training picture shows, drawn at random from a seed; and which combinations are never trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 64  # pixels
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross")
COLOURS = {
    "red": (220, 30, 40),
    "green": (40, 165, 60),
    "blue": (40, 80, 225),
    "yellow": (250, 215, 40),
    "orange": (245, 130, 30),
    "purple": (130, 50, 170),
    "pink": (250, 130, 190),
    "brown": (120, 70, 30),
    "cyan": (50, 205, 225),
}
BACKGROUNDS = {
    "white": (250, 250, 250),
    "black": (15, 15, 15),
    "grey": (128, 128, 128),
    "cream": (240, 222, 172),
    "navy": (25, 35, 95),
    "mint": (178, 230, 200),
}
COLOUR_NAMES, BACKGROUND_NAMES = tuple(COLOURS), tuple(BACKGROUNDS)
SIZES = ("small", "medium", "large")
RADII = (8.0, 11.0, 14.5)  # pixels, half of the longer side
# Row by row: a place is the cell of a 3x3 grid.
PLACES = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
RELATIONS = ("left of", "right of", "above", "below")
KINDS = ("single", "count", "pair")
KIND_WEIGHTS = (0.33, 0.17, 0.50)
GRID = (16.0, 32.0, 48.0)  # pixels: the centres of the grid's rows and columns
MARGIN = 1.0  # pixels between a shape and the border, or another shape


@dataclass(frozen=True)
class Thing:
    """One shape: indices into SHAPES, COLOURS and SIZES, its centre and half its longer side in pixels."""

    shape: int
    colour: int
    size: int
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A picture's content. `place`: of a single thing; `relation`: of the first of a pair to the second; else -1."""

    kind: str
    background: int
    things: tuple[Thing, ...]
    place: int = -1
    relation: int = -1


def held_out_single(colour: int, shape: int) -> bool:
    """Whether a colour never meets a shape in training: 9 of the 72, one of each colour."""
    return shape == (3 * colour + 2) % len(SHAPES)


def held_out_pair(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two (colour, shape) never stand in one training picture, in whatever order: one pair in eight."""
    low, high = sorted(colour * len(SHAPES) + shape for colour, shape in (first, second))
    return (low * 31 + high * 17) % 8 == 3


def held_out(scene: Scene) -> bool:
    """Whether a scene holds a combination that training never sees."""
    looks = [(thing.colour, thing.shape) for thing in scene.things]
    if any(held_out_single(*look) for look in looks):
        return True
    return scene.kind == "pair" and held_out_pair(looks[0], looks[1])


def draw_scene(seed: int, kind: str | None = None) -> Scene:
    """The scene of a seed: of any combination, held out or not."""
    rng = np.random.default_rng([seed, 11])
    chosen = kind or KINDS[int(rng.choice(len(KINDS), p=KIND_WEIGHTS))]
    return {"single": _single, "count": _count, "pair": _pair}[chosen](rng)


def training_scene(seed: int) -> Scene:
    """The scene of a seed among those that may be trained on."""
    return _first(seed, None, wanted=False)


def held_out_scene(seed: int, kind: str) -> Scene:
    """A scene of this kind with a combination that training never sees.

    A single or a count has an unseen colour and shape; of a pair, each alone was seen, the two together were not.
    """
    return _first(seed, kind, wanted=True)


def _first(seed: int, kind: str | None, wanted: bool) -> Scene:
    for attempt in range(10_000):
        scene = draw_scene(seed * 10_000 + attempt, kind)
        pair_of_unseen = scene.kind == "pair" and any(held_out_single(t.colour, t.shape) for t in scene.things)
        if held_out(scene) == wanted and not (wanted and pair_of_unseen):
            return scene
    raise RuntimeError(f"no scene of kind {kind} found from seed {seed}")


def _radius(rng: np.random.Generator, size: int) -> float:
    return RADII[size] + float(rng.uniform(-0.6, 0.6))


def _inside(centre: float, radius: float) -> float:
    return float(np.clip(centre, radius + MARGIN, SIDE - radius - MARGIN))


def _single(rng: np.random.Generator) -> Scene:
    shape, colour, size, place, background = _choose(rng, SHAPES, COLOURS, SIZES, PLACES, BACKGROUNDS)
    radius = _radius(rng, size)
    row, column = divmod(place, 3)
    x, y = (_inside(GRID[cell] + float(rng.uniform(-2, 2)), radius) for cell in (column, row))
    return Scene("single", background, (Thing(shape, colour, size, x, y, radius),), place=place)


def _count(rng: np.random.Generator) -> Scene:
    """Two to four of the same, on cells of a 2x2 grid: apart, so that they can be counted."""
    shape, colour, size, background = _choose(rng, SHAPES, COLOURS, SIZES[:2], BACKGROUNDS)
    number = int(rng.integers(2, 5))
    cells = sorted(int(cell) for cell in rng.permutation(4)[:number])
    radius = _radius(rng, size)
    things = []
    for cell in cells:
        x, y = (_inside(16.0 + 32.0 * way + float(rng.uniform(-2, 2)), radius) for way in (cell % 2, cell // 2))
        things.append(Thing(shape, colour, size, x, y, radius))
    return Scene("count", background, tuple(things))


def _pair(rng: np.random.Generator) -> Scene:
    """Two things that differ, beside or above each other."""
    background, relation = _choose(rng, BACKGROUNDS, RELATIONS)
    first = _choose(rng, SHAPES, COLOURS, SIZES)
    second = _choose(rng, SHAPES, COLOURS, SIZES)
    while second[:2] == first[:2]:
        second = _choose(rng, SHAPES, COLOURS, SIZES)
    radii = _radius(rng, first[2]), _radius(rng, second[2])
    # The two share the longer way: what is left of it is split at random between the borders and the gap.
    room = SIDE - 2 * sum(radii) - 3 * MARGIN
    shares = rng.dirichlet((4.0, 4.0, 4.0)) * max(room, 0.0)
    near = MARGIN + float(shares[0])
    along = near + radii[0], near + 2 * radii[0] + MARGIN + float(shares[1]) + radii[1]
    if RELATIONS[relation] in ("right of", "below"):
        near = MARGIN + float(shares[0])
        along = near + 2 * radii[1] + MARGIN + float(shares[1]) + radii[0], near + radii[1]
    across = [_inside(SIDE / 2 + float(rng.uniform(-4, 4)), radius) for radius in radii]
    beside = RELATIONS[relation] in ("left of", "right of")
    things = []
    for (shape, colour, size), radius, way, side in zip((first, second), radii, along, across, strict=True):
        x, y = (way, side) if beside else (side, way)
        things.append(Thing(shape, colour, size, x, y, radius))
    return Scene("pair", background, tuple(things), relation=relation)


def _choose(rng: np.random.Generator, *of: tuple[str, ...] | dict[str, tuple[int, int, int]]) -> list[int]:
    return [int(rng.integers(len(choices))) for choices in of]
