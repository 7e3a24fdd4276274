"""Only masked: which part is drawn, and that it comes back to where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.image.masked import Fill, Region, filled, put_back, region, widened

SIDE = st.integers(8, 300)
SIZE = st.tuples(SIDE, SIDE)


@st.composite
def inside(draw: st.DrawFn) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """A box in a picture, and the picture's size."""
    width, height = draw(SIZE)
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))), (width, height)


@given(inside(), st.floats(0.25, 4))
def test_a_widened_box_holds_the_box_and_stays_in_the_picture(
    boxed: tuple[tuple[int, int, int, int], tuple[int, int]], shape: float
) -> None:
    (left, top, right, bottom), (width, height) = boxed
    wide = widened((left, top, right, bottom), (width, height), shape)
    assert 0 <= wide[0] <= left < right <= wide[2] <= width
    assert 0 <= wide[1] <= top < bottom <= wide[3] <= height


def test_a_widened_box_has_the_shape_where_there_is_room() -> None:
    assert widened((50, 50, 60, 60), (200, 200), 2.0) == (45, 50, 65, 60)
    assert widened((50, 50, 60, 60), (200, 200), 0.5) == (50, 45, 60, 65)
    assert widened((0, 50, 10, 60), (200, 200), 2.0) == (0, 50, 20, 60), "moved where the picture ends"


def test_what_is_put_back_changes_only_what_the_mask_marks() -> None:
    image, mask = Image.new("RGB", (100, 80), "blue"), Image.new("L", (100, 80), 0)
    mask.paste(255, (30, 20, 50, 40))
    part = region(image, mask, 64, 64, 4)
    assert part is not None
    assert part.box == (26, 16, 54, 44)
    assert part.image.size == part.mask.size == (64, 64)
    whole = put_back(image, mask, part, Image.new("RGB", (64, 64), "red"))
    assert whole.getpixel((30, 20)) == whole.getpixel((49, 39)) == (255, 0, 0)
    whole.paste("blue", (30, 20, 50, 40))
    assert whole.getcolors() == [(8000, (0, 0, 255))]


def test_a_mask_that_marks_nothing_has_no_part() -> None:
    assert region(Image.new("RGB", (64, 64)), Image.new("L", (64, 64), 0), 64, 64, 8) is None


def test_a_soft_mask_mixes() -> None:
    image, mask = Image.new("RGB", (8, 8), "black"), Image.new("L", (8, 8), 128)
    part = Region((0, 0, 8, 8), image, mask)
    assert put_back(image, mask, part, Image.new("RGB", (8, 8), "white")).getpixel((4, 4)) == (128, 128, 128)


@pytest.mark.parametrize("fill", list(Fill))
def test_what_is_not_masked_stays_under_every_fill(fill: Fill) -> None:
    image, mask = Image.new("RGB", (64, 64), "blue"), Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    image.paste("red", (32, 0, 64, 64))
    under = filled(image, mask, fill, seed=1)
    assert under.crop((0, 0, 32, 64)).getcolors() == [(2048, (0, 0, 255))]
    same = np.array_equal(np.asarray(under), np.asarray(image))
    assert same == (fill is Fill.ORIGINAL)


def test_a_picture_that_is_masked_all_over_is_grey_underneath() -> None:
    image = Image.new("RGB", (16, 16), "red")
    assert filled(image, Image.new("L", (16, 16), 255), Fill.AROUND).getpixel((8, 8)) == (127, 127, 127)


def test_noise_follows_from_its_seed() -> None:
    image, mask = Image.new("RGB", (16, 16)), Image.new("L", (16, 16), 255)
    one, same, other = (np.asarray(filled(image, mask, Fill.NOISE, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
