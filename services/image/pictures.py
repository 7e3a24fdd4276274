"""Pictures between files and arrays: read with care, brought to a size, written with the text that tells their making.

Arrays are UINT8, [height, width, 3] in RGB, masks [height, width].
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageFilter, ImageOps, PngImagePlugin

from services.image.drawing import Format, ResizeMode
from services.image.errors import InvalidImage

Pixels = NDArray[np.uint8]
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
REMEDY = "send a whole PNG, JPEG, WebP, GIF, BMP or TIFF file"
SHORTEST_SIDE = 8
MAX_TEXT = 32_768
"""Characters of an infotext: two prompts of the greatest length, and the fields."""
UNICODE = b"UNICODE\0"
"""Begins an EXIF comment in UTF-16, as the standard has it."""
ORIENTATION = 0x0112


def read(data: bytes, field: str, max_pixels: int) -> Image.Image:
    """The picture of a file, the first of several: turned as its EXIF says, in mode RGB or RGBA, or L where it is grey.

    Args:
        data: The file.
        field: What the request calls it.
        max_pixels: How many it may have: looked up in its header, before anything is unpacked.

    Raises:
        InvalidImage: It is no such file, damaged, too large or too small.
    """
    if not data:
        raise InvalidImage(field, f"is empty; {REMEDY}")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidImage(field, f"must not have more than {max_pixels:,} pixels; make it smaller") from error
    except Exception as error:  # readers raise whatever a hostile header leads them to
        raise InvalidImage(field, f"is no picture that can be read; {REMEDY}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise InvalidImage(field, f"has {width}x{height} pixels, more than {max_pixels:,}; make it smaller")
    if min(width, height) < SHORTEST_SIDE:
        raise InvalidImage(field, f"is {width}x{height}; both sides must have {SHORTEST_SIDE} pixels at least")
    try:
        image.load()
        return _eight_bit(ImageOps.exif_transpose(image))
    except Exception as error:  # as above
        raise InvalidImage(field, f"is damaged or not whole; {REMEDY}") from error


def _eight_bit(image: Image.Image) -> Image.Image:
    """The picture in mode RGB, RGBA or L."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode == "I":  # 32 bits that hold 16, as TIFF and PNG have them
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":  # from 0 to 1, as pictures in floating point have it
        return Image.fromarray((np.clip(np.nan_to_num(np.asarray(image)), 0, 1) * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def opaque(image: Image.Image) -> Image.Image:
    """The picture in RGB; what is transparent in front of white, as A1111 has it."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image).convert("RGB")


def mask_of(image: Image.Image) -> Image.Image:
    """The mask that a picture stands for, in mode L: where it is transparent, or else where it is white."""
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        if alpha.getextrema() != (255, 255):
            return ImageChops.invert(alpha)
    return image.convert("RGB").convert("L")


def blurred(mask: Image.Image, pixels: int) -> Image.Image:
    """The mask with its edge softened over so many pixels."""
    return mask.filter(ImageFilter.GaussianBlur(pixels)) if pixels else mask


def fitted(image: Image.Image, width: int, height: int, mode: ResizeMode) -> Image.Image:
    """A picture in another size; a mask is brought there in the same way and stays with its picture."""
    if image.size == (width, height):
        return image
    if mode is ResizeMode.STRETCH:
        return image.resize((width, height), Image.Resampling.LANCZOS)
    if mode is ResizeMode.CROP:
        return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    small = ImageOps.contain(image, (width, height), Image.Resampling.LANCZOS)
    left, top = (width - small.width) // 2, (height - small.height) // 2
    around = ((top, height - small.height - top), (left, width - small.width - left))
    array = np.asarray(small)
    return Image.fromarray(np.pad(array, (*around, (0, 0)) if array.ndim == 3 else around, mode="edge"))


def resized(array: Pixels, width: int, height: int) -> Pixels:
    """A picture stretched to another size."""
    return pixels(fitted(Image.fromarray(array), width, height, ResizeMode.STRETCH))


def pixels(image: Image.Image) -> Pixels:
    """The array of a picture in mode RGB or L."""
    return np.asarray(image, dtype=np.uint8)


def blended(under: Pixels, over: Pixels, mask: Pixels) -> Pixels:
    """`over` where the mask is 255, exactly `under` where it is 0, a mixture in between. Arrays of one size."""
    share = mask.astype(np.uint16)[..., None]
    mixed = (over.astype(np.uint16) * share + under.astype(np.uint16) * (255 - share) + 127) // 255
    return mixed.astype(np.uint8)


def write(array: Pixels, form: Format, quality: int, text: str = "") -> bytes:
    """The file of a picture.

    Args:
        array: The picture.
        form: Of the file.
        quality: Of JPEG and WebP, from 1 to 100.
        text: Its infotext: in PNG the text chunk `parameters`, else EXIF's UserComment, as A1111 has it.
    """
    image, out = Image.fromarray(array), io.BytesIO()
    options: dict[str, Any] = {}
    if form is Format.PNG:
        if text:
            chunks = PngImagePlugin.PngInfo()
            chunks.add_text("parameters", text)  # tEXt in Latin-1, iTXt where the text has more than that
            options["pnginfo"] = chunks
    else:
        options["quality"] = quality
        if text:
            options["exif"] = _exif(text)
    image.save(out, form.value.upper(), **options)
    return out.getvalue()


def _exif(text: str) -> bytes:
    """EXIF that holds nothing but a comment."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = UNICODE + text.encode("utf-16-be")
    return exif.tobytes()


def text_of(image: Image.Image) -> str:
    """The infotext of a picture as `Image.open` gave it; empty where it has none, or one that is none by its length."""
    text = _text_of(image).replace("\0", "")
    return text if len(text) <= MAX_TEXT else ""


def _text_of(image: Image.Image) -> str:
    text = image.info.get("parameters")
    if isinstance(text, str):
        return text
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    if isinstance(comment, bytes) and comment.startswith(UNICODE):
        return comment[len(UNICODE) :].decode("utf-16-be", errors="replace")
    if isinstance(comment, bytes):
        return comment.removeprefix(b"ASCII\0\0\0").decode("utf-8", errors="replace")
    return str(comment)
