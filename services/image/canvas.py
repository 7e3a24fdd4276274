"""What an edit draws upon: a picture, and the part of it that is drawn anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from services.image import pictures
from services.image.drawing import Edit, ResizeMode
from services.image.errors import InvalidImage
from services.image.pictures import Pixels
from services.mesh.errors import FieldViolation, InvalidRequest

MAX_BLUR = 256
"""Pixels."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Picture and mask, of the size that is drawn."""

    image: Pixels
    mask: Pixels | None
    """255 where it is drawn anew, 0 where it stays, in between a mixture; None: everywhere."""
    strength: float
    mask_blur: int


@dataclass(frozen=True, slots=True)
class Opened:
    """An edit whose files were read."""

    image: Image.Image
    mask: Image.Image | None
    edit: Edit

    def canvas(self, width: int, height: int) -> Canvas:
        """The canvas in a size; picture and mask are brought to it in the same way."""
        edit, mask = self.edit, None
        image = pictures.pixels(pictures.fitted(self.image, width, height, edit.resize_mode))
        if self.mask is not None:
            mask = pictures.pixels(pictures.fitted(self.mask, width, height, edit.resize_mode))
            if edit.resize_mode is ResizeMode.FILL and self.mask.size != (width, height):
                mask = _with_margin(mask, self.mask.size)
        return Canvas(image, mask, edit.strength, edit.mask_blur)


def check(edit: Edit) -> None:
    """Raises InvalidRequest for numbers that are outside of their ranges."""
    violations = []
    if not 0 <= edit.strength <= 1:
        violations.append(FieldViolation("strength", "must be from 0 to 1"))
    if not 0 <= edit.mask_blur <= MAX_BLUR:
        violations.append(FieldViolation("mask_blur", f"must be from 0 to {MAX_BLUR}"))
    if violations:
        raise InvalidRequest(violations)


def opened(edit: Edit, max_pixels: int) -> Opened:
    """Reads the files of an edit that `check` let pass.

    Raises:
        InvalidImage: The picture or the mask cannot be read, or they differ in size.
    """
    image = pictures.opaque(pictures.read(edit.image, "image", max_pixels))
    if not edit.mask:
        return Opened(image, None, edit)
    mask = pictures.mask_of(pictures.read(edit.mask, "mask", max_pixels))
    if mask.size != image.size:
        sizes = "is {}x{}, and the picture is {}x{}".format(*mask.size, *image.size)
        raise InvalidImage("mask", f"{sizes}: send one of the picture's own size")
    if edit.invert_mask:
        mask = ImageChops.invert(mask)
    return Opened(image, pictures.blurred(mask, edit.mask_blur), edit)


def _with_margin(mask: Pixels, size: tuple[int, int]) -> Pixels:
    """The mask of a picture that was filled up to another shape: what was added is drawn anew."""
    height, width = mask.shape
    scale = min(width / size[0], height / size[1])
    inner_width, inner_height = round(size[0] * scale), round(size[1] * scale)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    widened = np.full_like(mask, 255)
    inside = slice(top, top + inner_height), slice(left, left + inner_width)
    widened[inside] = mask[inside]
    return widened
