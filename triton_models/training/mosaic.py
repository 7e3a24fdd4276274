"""A sheet of samples: the first held-out captions, as they come, with what was drawn under each."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from triton_models.training import score
from triton_models.training.captions import write_caption
from triton_models.training.scenes import SIDE, held_out_scene

DEMO = "a red circle left of a blue square"
COLUMNS, ROWS, ENLARGED = 8, 5, 2
LINES, LINE_HEIGHT, LETTERS = 4, 11, 22
GAP = 8  # pixels


def captions() -> list[str]:
    """The demo's sentence and the first held-out captions, English and Vietnamese by turns."""
    found = [DEMO]
    for index in range(COLUMNS * ROWS - 1):
        seed = score.SEEDS_OF_SCORE + index
        scene = held_out_scene(seed, score.KINDS[seed % len(score.KINDS)])
        language = ("en", "vi")[index % 2]
        found.append(write_caption(scene, np.random.default_rng([seed, 5]), language, full=True).text)
    return found


def write_mosaic(pipe: Any, settings: score.Settings, path: Path) -> None:
    """Draw the captions and write the sheet as a PNG."""
    texts = captions()
    drawn = score.draw(pipe, texts, settings)
    side = SIDE * ENLARGED
    width, height = side + GAP, side + LINES * LINE_HEIGHT + GAP
    sheet = Image.new("RGB", (COLUMNS * width + GAP, ROWS * height + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), _font()
    for index, (text, picture) in enumerate(zip(texts, drawn, strict=True)):
        x, y = GAP + index % COLUMNS * width, GAP + index // COLUMNS * height
        sheet.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS), (x, y))
        pen.rectangle((x - 1, y - 1, x + side, y + side), outline=(190, 190, 190))
        lines = "\n".join(textwrap.wrap(text, LETTERS)[:LINES])
        pen.multiline_text((x, y + side + 2), lines, fill="black", font=font, spacing=0)
    sheet.save(path, optimize=True)


def _font() -> Any:
    """A font with Vietnamese letters where there is one; Pillow's own shows them as boxes."""
    for name in ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf"):
        try:
            return ImageFont.truetype(name, 10)
        except OSError:
            continue
    return ImageFont.load_default(10)
