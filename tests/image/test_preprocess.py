"""What is made for ControlNets: lines where there are edges, as their training had them."""

from __future__ import annotations

import numpy as np
import pytest

from services.image.preprocess import PREPROCESSORS, canny, edges
from triton_models.training import pictures
from triton_models.training.scenes import training_scene


def test_edges_are_those_that_the_embedded_controlnet_was_trained_on() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 56, 3), np.uint8)
    for picture in (noise, *(pictures.draw(training_scene(seed)) for seed in range(20))):
        found = edges(picture)
        assert (found == pictures.edges(picture)).all()
        assert found.any()


def test_canny_outlines_a_square_and_nothing_else() -> None:
    picture = np.full((64, 96, 3), 255, np.uint8)
    picture[16:48, 32:64] = (200, 30, 30)
    lines = canny(picture)[..., 0] > 0
    near = np.zeros_like(lines)
    near[14:50, 30:66] = True
    near[19:45, 35:61] = False
    assert not lines[~near].any()
    assert lines.sum() > 4 * 28


@pytest.mark.parametrize("name", PREPROCESSORS)
def test_a_plain_picture_has_no_edges(name: str) -> None:
    lines = PREPROCESSORS[name](np.full((8, 64, 3), 90, np.uint8))
    assert lines.shape == (8, 64, 3)
    assert lines.dtype == np.uint8
    assert not lines.any()
