"""The checker: it reads the generator's own pictures, and sees what is wrong in those that do not fit their caption."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from triton_models.training.captions import Caption, write_caption
from triton_models.training.checker import edges_in_common, hollow, judge, read
from triton_models.training.pictures import Picture, draw, draw_outlines, edges, outline
from triton_models.training.scenes import BACKGROUND_NAMES, COLOUR_NAMES, SHAPES, SIDE, Scene, Thing, draw_scene

SEEDS = range(250)


def caption_of(scene: Scene, seed: int = 0) -> Caption:
    return write_caption(scene, np.random.default_rng(seed), full=True)


def thing(shape: str, colour: str, x: float, y: float) -> Thing:
    return Thing(SHAPES.index(shape), COLOUR_NAMES.index(colour), 1, x, y, 11.0)


def scene_of(*things: Thing, background: str = "white", relation: int = 0) -> Scene:
    return Scene("pair", BACKGROUND_NAMES.index(background), things, relation=relation)


RED_CIRCLE, BLUE_SQUARE = thing("circle", "red", 16, 32), thing("square", "blue", 48, 32)
ASKED = scene_of(RED_CIRCLE, BLUE_SQUARE)


def test_it_reads_the_generators_pictures() -> None:
    wrong = []
    for seed in SEEDS:
        scene = draw_scene(seed)
        found = judge(caption_of(scene, seed), read(draw(scene)))
        wrong += [seed] if not all(found.values()) else []
    assert len(wrong) <= 0.02 * len(SEEDS), wrong


def test_it_finds_where_and_how_large_a_thing_is() -> None:
    for seed in range(60):
        scene = draw_scene(seed, "single")
        (found,) = read(draw(scene)).things
        (drawn,) = scene.things
        assert found.x == pytest.approx(drawn.x, abs=1)
        assert found.y == pytest.approx(drawn.y, abs=1)
        assert found.radius == pytest.approx(drawn.radius, abs=1)


def test_it_reads_pictures_that_are_noisy() -> None:
    noise = np.random.default_rng(4)
    right = 0
    for seed in range(60):
        scene = draw_scene(seed)
        picture = draw(scene) + noise.normal(0, 6, (SIDE, SIDE, 3))
        right += all(judge(caption_of(scene), read(picture.clip(0, 255).astype(np.uint8))).values())
    assert right >= 57


@pytest.mark.parametrize(
    ("shown", "wrong"),
    [
        (ASKED, set()),
        (scene_of(thing("circle", "green", 16, 32), BLUE_SQUARE), {"colour"}),
        (scene_of(thing("star", "red", 16, 32), BLUE_SQUARE), {"shape"}),
        # The right colours and the right shapes, but of each other's things.
        (scene_of(thing("square", "red", 16, 32), thing("circle", "blue", 48, 32)), {"shape"}),
        (scene_of(replace(RED_CIRCLE, x=48), replace(BLUE_SQUARE, x=16)), {"relation"}),
        (scene_of(replace(RED_CIRCLE, x=32, y=16), replace(BLUE_SQUARE, x=32, y=48)), {"relation"}),
        (scene_of(RED_CIRCLE), {"count", "colour", "shape", "relation"}),
        (
            scene_of(replace(RED_CIRCLE, y=16), replace(BLUE_SQUARE, y=16), thing("heart", "pink", 32, 48)),
            {"count"},
        ),
    ],
)
def test_it_sees_what_is_wrong(shown: Scene, wrong: set[str]) -> None:
    caption = Caption("", caption_of(ASKED).things, count=2, relation=caption_of(ASKED).relation)
    found = judge(replace(caption, things=tuple(replace(t, size=-1) for t in caption.things)), read(draw(shown)))
    missing = {name for name, right in found.items() if not right}
    # Which of two attributes was swapped between two things cannot be told: colours or shapes.
    assert missing == wrong or (wrong == {"shape"} and missing == {"colour"})


def test_a_wrong_background_place_size_or_number_is_seen() -> None:
    single = draw_scene(3, "single")
    caption = Caption("", caption_of(single).things, 1, place=single.place, background=single.background)
    elsewhere = (single.place + 4) % 9
    other = (single.background + 1) % len(BACKGROUND_NAMES)
    assert judge(caption, read(draw(single))) | {"place": True, "background": True} == judge(
        caption, read(draw(single))
    )
    assert not judge(replace(caption, place=elsewhere), read(draw(single)))["place"]
    assert not judge(replace(caption, background=other), read(draw(single)))["background"]
    sized = replace(caption, things=(replace(caption.things[0], size=(single.things[0].size + 1) % 3),))
    assert not judge(sized, read(draw(single)))["size"]
    several = draw_scene(3, "count")
    assert not judge(replace(caption_of(several), count=len(several.things) + 1), read(draw(several)))["count"]


@pytest.mark.parametrize(
    "picture",
    [
        np.full((SIDE, SIDE, 3), 128, dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
        np.tile(np.arange(SIDE, dtype=np.uint8)[None, :, None] * 4, (SIDE, 1, 3)),
    ],
    ids=["plain", "noise", "gradient"],
)
def test_a_picture_without_the_thing_is_not_right(picture: Picture) -> None:
    assert not all(judge(caption_of(ASKED), read(picture)).values())


def test_it_tells_outlines_from_what_is_filled_and_reads_both() -> None:
    scenes = [draw_scene(seed) for seed in SEEDS]
    plain = [scene for scene in scenes if all(SHAPES[one.shape] != "ring" for one in scene.things)]
    assert not any(hollow(draw(scene)) for scene in plain)
    # The arms of a small cross are hardly wider than two lines: there is nothing to tell.
    assert np.mean([hollow(draw_outlines(scene)) for scene in plain]) >= 0.9
    right = [all(judge(caption_of(scene), read(draw_outlines(scene), outline)).values()) for scene in scenes]
    assert np.mean(right) >= 0.94


def test_edges_agree_with_themselves_also_a_pixel_away_and_not_with_others() -> None:
    lines = edges(draw(ASKED))
    assert edges_in_common(lines, lines) == 1.0
    assert edges_in_common(np.roll(lines, 1, axis=1), lines) > 0.9
    assert edges_in_common(edges(draw(scene_of(thing("star", "red", 32, 50)))), lines) < 0.5
    assert edges_in_common(np.zeros_like(lines), lines) == 0.0
