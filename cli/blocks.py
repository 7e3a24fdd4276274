"""Pictures on a terminal: two pixels in each cell, a half block in the colour of the upper before that of the lower."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

UPPER_HALF = "▀"
LARGEST = 64  # pixels: 64 columns, 32 lines


def can_show(console: Console) -> bool:
    """Whether a console is a terminal with 24-bit colours: fewer make mud of a picture."""
    return console.is_terminal and console.color_system == "truecolor"


def half_blocks(content: bytes, largest: int = LARGEST) -> Text | None:
    """A picture in half blocks; None for bytes that are none.

    Args:
        content: The bytes of a file in a format that Pillow reads.
        largest: Pixels of the longer side at most; a larger picture is scaled down to it.
    """
    from PIL import Image, UnidentifiedImageError
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.draft("RGB", (largest, largest))
            small = picture.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    width, height = small.size
    pixels = small.tobytes()

    def colour(x: int, y: int) -> Color:
        place = 3 * (min(y, height - 1) * width + x)
        return Color.from_rgb(*pixels[place : place + 3])

    shown = Text(no_wrap=True)
    for y in range(0, height, 2):
        for x in range(width):
            shown.append(UPPER_HALF, Style(color=colour(x, y), bgcolor=colour(x, y + 1)))
        shown.append("\n")
    shown.rstrip()
    return shown
