"""The generator: scenes and pictures that follow from a seed alone, and combinations that training never sees."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from triton_models.training.pictures import coverage, draw, draw_outlines, edges
from triton_models.training.scenes import (
    COLOURS,
    GRID,
    KINDS,
    RADII,
    RELATIONS,
    SHAPES,
    SIDE,
    SIZES,
    draw_scene,
    held_out,
    held_out_pair,
    held_out_scene,
    held_out_single,
    training_scene,
)

SEEDS = range(300)


def test_a_seed_always_gives_the_same_scene_and_picture() -> None:
    for seed in range(20):
        assert training_scene(seed) == training_scene(seed)
        assert (draw(training_scene(seed)) == draw(training_scene(seed))).all()
    assert len({training_scene(seed) for seed in SEEDS}) == len(SEEDS)


def test_the_first_pictures_are_the_ones_that_the_checkpoint_learned_from() -> None:
    scenes = repr([training_scene(seed) for seed in range(50)])
    assert hashlib.sha256(scenes.encode()).hexdigest()[:16] == "337d2195336a115c"


def test_training_never_shows_a_held_out_combination() -> None:
    assert not any(held_out(training_scene(seed)) for seed in SEEDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_out_scene_shows_a_combination_that_training_does_not(kind: str) -> None:
    for seed in range(40):
        scene = held_out_scene(seed, kind)
        assert scene.kind == kind
        assert held_out(scene)
        if kind == "pair":  # each of the two alone was seen
            assert not any(held_out_single(thing.colour, thing.shape) for thing in scene.things)


def test_every_colour_and_every_shape_is_still_seen_in_most_combinations() -> None:
    unseen = [(c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES)) if held_out_single(c, s)]
    assert len(unseen) == len(COLOURS)
    assert {colour for colour, _ in unseen} == set(range(len(COLOURS)))
    assert {shape for _, shape in unseen} == set(range(len(SHAPES)))


def test_a_pair_is_held_out_in_either_order() -> None:
    looks = [(c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES))]
    out = sum(held_out_pair(first, second) for first in looks for second in looks if first != second)
    assert 0.08 < out / (len(looks) * (len(looks) - 1)) < 0.16
    assert all(held_out_pair(a, b) == held_out_pair(b, a) for a in looks for b in looks)


def test_the_sentence_of_the_demo_was_seen() -> None:
    red_circle = list(COLOURS).index("red"), SHAPES.index("circle")
    blue_square = list(COLOURS).index("blue"), SHAPES.index("square")
    assert not held_out_pair(red_circle, blue_square)


def test_things_lie_within_the_picture_and_apart() -> None:
    for seed in SEEDS:
        covers = np.stack([coverage(thing) for thing in training_scene(seed).things])
        assert covers[:, [0, -1]].max() == 0
        assert covers[:, :, [0, -1]].max() == 0
        assert ((covers > 0.5).sum(axis=0) <= 1).all()


def test_a_place_is_a_cell_of_the_grid_and_a_relation_is_seen_in_the_centres() -> None:
    for seed in SEEDS:
        scene = draw_scene(seed)
        first = scene.things[0]
        if scene.kind == "single":
            row, column = divmod(scene.place, 3)
            assert abs(first.x - GRID[column]) <= 3
            assert abs(first.y - GRID[row]) <= 3
        if scene.kind == "pair":
            second = scene.things[1]
            right, down = first.x - second.x, first.y - second.y
            seen = {"left of": -right, "right of": right, "above": -down, "below": down}
            assert max(seen, key=lambda name: seen[name]) == RELATIONS[scene.relation]


def test_sizes_do_not_run_into_each_other() -> None:
    found: dict[int, list[float]] = {size: [] for size in range(len(SIZES))}
    for seed in SEEDS:
        for thing in training_scene(seed).things:
            found[thing.size].append(thing.radius)
    assert max(found[0]) < (RADII[0] + RADII[1]) / 2 < min(found[1])
    assert max(found[1]) < (RADII[1] + RADII[2]) / 2 < min(found[2])


def test_outlines_are_hollow_and_edges_are_lines() -> None:
    scene = held_out_scene(1, "single")
    plain, hollow, lines = draw(scene), draw_outlines(scene), edges(draw(scene))
    ground = plain[0, 0]
    covered = [(picture != ground).any(axis=2).sum() for picture in (plain, hollow)]
    assert 0 < covered[1] < covered[0]
    assert lines.shape == (SIDE, SIDE, 3)
    assert set(np.unique(lines)) == {0, 255}
    assert (lines[..., 0] > 0).sum() < covered[0]
