"""Inpainting of no more than what a mask marks: that part is drawn as large as the whole picture, and put back.

As "Only masked" of A1111's web UI: the part is the box around the mask and so much padding, widened to the shape that
is drawn. And what lies under a mask before it is drawn anew: as it was, the colours around it, noise, or grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from PIL import Image, ImageFilter, ImageOps

BLURS = (256, 64, 16, 4, 2, 0)
"""Pixels over which colours flow into what is masked, the farthest first."""
GREY = (127, 127, 127)


class Fill(IntEnum):
    """What lies under the mask, by the web UI's numbers."""

    AROUND = 0
    ORIGINAL = 1
    NOISE = 2
    NOTHING = 3


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture that is drawn by itself.

    Attributes:
        box: Where it is: left, top, right, bottom.
        image: What is there, in the size that is drawn.
        mask: Likewise.
    """

    box: tuple[int, int, int, int]
    image: Image.Image
    mask: Image.Image


def region(image: Image.Image, mask: Image.Image, width: int, height: int, padding: int) -> Region | None:
    """The part of a picture that a mask marks.

    Args:
        image: The picture, in RGB.
        mask: White where it is drawn anew, in L; as large as the picture.
        width: How wide it is drawn, in pixels.
        height: How high.
        padding: Pixels around what is marked that are looked at too.

    Returns:
        None where the mask marks nothing.
    """
    marked = mask.getbbox()
    if marked is None:
        return None
    left, top, right, bottom = marked
    padded = (
        max(0, left - padding),
        max(0, top - padding),
        min(image.width, right + padding),
        min(image.height, bottom + padding),
    )
    box = widened(padded, image.size, width / height)
    size = (width, height)
    return Region(
        box,
        image.crop(box).resize(size, Image.Resampling.LANCZOS),
        mask.crop(box).resize(size, Image.Resampling.LANCZOS),
    )


def widened(box: tuple[int, int, int, int], size: tuple[int, int], shape: float) -> tuple[int, int, int, int]:
    """The box, made wider or higher around its middle until it has a shape, as far as the picture reaches.

    Args:
        box: Left, top, right, bottom.
        size: Of the picture.
        shape: Width over height.
    """
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    if wide < high * shape:
        left, right = _stretched(left, right, round(high * shape), size[0])
    else:
        top, bottom = _stretched(top, bottom, round(wide / shape), size[1])
    return left, top, right, bottom


def _stretched(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """The span, made so long around its middle, inside 0 to `limit`."""
    length = min(limit, max(length, high - low))
    start = min(max(0, (low + high - length) // 2), limit - length)
    return start, start + length


def put_back(image: Image.Image, mask: Image.Image, part: Region, drawn: Image.Image) -> Image.Image:
    """The picture with a part of it drawn anew, where the mask marks it.

    Args:
        image: The picture, in RGB.
        mask: In L, as large as the picture; its greys mix.
        part: Which part.
        drawn: How it was drawn.
    """
    left, top, right, bottom = part.box
    whole = image.copy()
    whole.paste(drawn.resize((right - left, bottom - top), Image.Resampling.LANCZOS), (left, top))
    # What the mask marks may reach beyond the part only by its softened edge.
    inside = Image.new("L", image.size, 0)
    inside.paste(mask.crop(part.box), (left, top))
    return Image.composite(whole, image, inside)


def filled(image: Image.Image, mask: Image.Image, fill: Fill, seed: int = 0) -> Image.Image:
    """The picture with something else under its mask; what the mask does not mark stays.

    Args:
        image: The picture, in RGB.
        mask: White where it is drawn anew, in L.
        fill: What comes there.
        seed: Of the noise.
    """
    if fill is Fill.ORIGINAL:
        return image
    if fill is Fill.NOTHING:
        return Image.composite(Image.new("RGB", image.size, GREY), image, mask)
    if fill is Fill.NOISE:
        noise = np.random.default_rng(seed).integers(0, 256, (image.height, image.width, 3), dtype=np.uint8)
        return Image.composite(Image.fromarray(noise), image, mask)
    return Image.composite(_around(image, mask), image, mask)


def _around(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The colours of what is not masked, flowing into what is: blurs of it, the finer over the coarser ones."""
    kept = image.convert("RGBA")
    kept.putalpha(ImageOps.invert(mask))
    # Blurred with the colours weighted by their opacity: what is masked lends none.
    weighted = kept.convert("RGBa")
    ground = Image.new("RGBA", image.size, (*_mean(image, mask), 255))
    for pixels in BLURS:
        ground.alpha_composite(weighted.filter(ImageFilter.GaussianBlur(pixels)).convert("RGBA"))
    return ground.convert("RGB")


def _mean(image: Image.Image, mask: Image.Image) -> tuple[int, int, int]:
    """The mean colour of what is not masked; grey where all of it is."""
    share = (255 - np.asarray(mask, dtype=np.float64))[..., None]
    if not share.any():
        return GREY
    red, green, blue = (np.asarray(image) * share).sum((0, 1)) / share.sum()
    return round(red), round(green), round(blue)
