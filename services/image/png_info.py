"""What a picture's file tells besides the picture: how it was drawn, and its other texts."""

from __future__ import annotations

import io

from PIL import Image

from services.image import pictures

PARAMETERS = "parameters"


def texts(content: bytes, field: str, max_pixels: int) -> tuple[str, dict[str, str]]:
    """The infotext of a file, empty where it has none, and its other texts by name.

    Args:
        content: The file.
        field: What the request calls it.
        max_pixels: How many it may have.

    Raises:
        InvalidImage: It cannot be read.
    """
    pictures.read(content, field, max_pixels)
    with Image.open(io.BytesIO(content), formats=pictures.FORMATS) as image:
        # Texts may come after the pixels.
        image.load()
        others = {
            name: value
            for name, value in image.info.items()
            if isinstance(name, str) and isinstance(value, str) and name != PARAMETERS
        }
        return pictures.text_of(image), others
