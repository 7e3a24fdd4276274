"""The web UI's extras: pictures that are there already, enlarged and with their faces restored."""

from __future__ import annotations

import asyncio

import numpy as np
from PIL import Image

from services.image import encoded, pictures
from services.image.catalog import Catalog
from services.image.drawing import Format, Output, ResizeMode
from services.image.errors import listed
from services.image.sdapi_request import Extras
from services.image.studio import Studio
from services.mesh.errors import FieldViolation, InvalidArgument, Unsupported

NONE = "None"
LARGEST = 8.0
"""How much larger a picture is made at most."""


class Extra:
    """Enlarges pictures.

    Args:
        studio: Does the work.
        max_pixels: How many a picture of a request may have.
    """

    def __init__(self, studio: Studio, max_pixels: int) -> None:
        self._studio, self._max_pixels = studio, max_pixels

    async def made(self, owner: str, request: Extras, field: str, text: str, catalog: Catalog) -> bytes:
        """A picture as the request wants it, as a PNG file.

        Args:
            owner: Whose it is.
            request: What is wanted.
            field: What the request calls the picture.
            text: The picture in base64.
            catalog: What there is to enlarge with.

        Raises:
            InvalidRequest: A field is wrong, or asks for what is not here.
            InvalidImage: The picture cannot be read.
            Unsupported: Faces cannot be restored here.
        """
        content = encoded.picture(field, text)
        image = pictures.opaque(await asyncio.to_thread(pictures.read, content, field, self._max_pixels))
        restorer, visibility = _restorer(request, catalog)
        upscaler = _upscaler(request, catalog)
        scale = _scale(request, image.size) if upscaler else 1.0
        plain = Output(Format.PNG)
        if scale > LARGEST:
            raise InvalidArgument("upscaling_resize_w", f"must not enlarge the picture more than {LARGEST:g} times")
        larger = content
        if upscaler and scale > 1:
            made = await self._studio.upscale(owner, content, scale=scale, upscaler=upscaler, output=plain, keep=False)
            larger = made.content
        if restorer:
            restored = await self._studio.upscale(
                owner, larger, scale=1, face_restorer=restorer, output=plain, keep=False
            )
            larger = await asyncio.to_thread(_mixed, larger, restored.content, visibility, self._pixels(scale))
        size = _size(request, image.size, scale) if upscaler else image.size
        return await asyncio.to_thread(_shaped, larger, size, self._pixels(scale))

    def _pixels(self, scale: float) -> int:
        return int(self._max_pixels * max(1.0, scale) ** 2)


def _upscaler(request: Extras, catalog: Catalog) -> str:
    """What enlarges; empty: nothing."""
    if request.upscaler_2 != NONE and request.extras_upscaler_2_visibility > 0:
        raise InvalidArgument("upscaler_2", "one upscaler enlarges here: send None")
    if request.upscaler_1 in (NONE, ""):
        return ""
    found = {one.name.casefold(): one.name for one in catalog.upscalers}.get(request.upscaler_1.casefold())
    if found is None:
        known = listed([NONE, *(one.name for one in catalog.upscalers)])
        raise InvalidArgument("upscaler_1", f"must be one of {known}; not {request.upscaler_1!r}")
    return found


def _restorer(request: Extras, catalog: Catalog) -> tuple[str, float]:
    """What restores faces, and how visibly; empty: nothing."""
    for kind, visibility in (("gfpgan", request.gfpgan_visibility), ("codeformer", request.codeformer_visibility)):
        if not visibility:
            continue
        field = f"{kind}_visibility"
        found = [name for name in catalog.face_restorers if kind in name.casefold()]
        if not found:
            message = f"{field}: no {kind.upper()} is installed; put one into the model directory, or send 0"
            raise Unsupported(message, violations=[FieldViolation(field, "is not installed: send 0")])
        return found[0], visibility
    return "", 0.0


def _scale(request: Extras, size: tuple[int, int]) -> float:
    """How much larger the picture becomes before it is cropped or made to fit."""
    if request.resize_mode == 0:
        return request.upscaling_resize
    wide, high = request.upscaling_resize_w / size[0], request.upscaling_resize_h / size[1]
    return max(wide, high) if request.upscaling_crop else min(wide, high)


def _size(request: Extras, size: tuple[int, int], scale: float) -> tuple[int, int]:
    """The size that is wanted of a picture of another one, in pixels."""
    if request.resize_mode == 1 and request.upscaling_crop:
        return request.upscaling_resize_w, request.upscaling_resize_h
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _mixed(before: bytes, after: bytes, visibility: float, max_pixels: int) -> bytes:
    """A picture with its restored faces as visible as was asked."""
    if visibility >= 1:
        return after
    first, second = (pictures.opaque(pictures.read(one, "image", max_pixels)) for one in (before, after))
    mixed = Image.blend(first, second.resize(first.size), visibility)
    return pictures.write(np.asarray(mixed), Format.PNG, 100)


def _shaped(content: bytes, size: tuple[int, int], max_pixels: int) -> bytes:
    """The picture in a size, cropped where its shape is another one, as PNG."""
    image = pictures.opaque(pictures.read(content, "image", max_pixels))
    return pictures.write(pictures.pixels(pictures.fitted(image, *size, ResizeMode.CROP)), Format.PNG, 100)
