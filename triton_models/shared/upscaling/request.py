"""What a request asks of the upscaler, and what needs no network: Lanczos, and the list of what there is.

The stub answers these by itself; only checkpoints are for the worker, which has torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from triton_models.shared.errors import InputError
from triton_models.shared.wire import Array, Failure, Outcome, Tensors, strings

LANCZOS = "Lanczos"
FACTORS = (1.0, 8.0)
SUFFIXES = (".safetensors", ".pth")
USUAL = 4.0  # the factor of a checkpoint whose name and tensors do not tell


class Enlarge(NamedTuple):
    """A picture to enlarge."""

    image: Array
    """uint8 [height, width, 3]."""
    scale: float
    name: str


def read(inputs: Tensors, pixels: int) -> Enlarge:
    """What a request asks. Raises InputError.

    Args:
        inputs: Its tensors.
        pixels: How many the larger picture may have.
    """
    image, scale = inputs.get("image"), inputs.get("scale")
    if image is None or isinstance(image, list) or image.ndim != 3 or 0 in image.shape or image.shape[2] != 3:
        raise InputError("image: not a picture of the shape [height, width, 3]")
    if scale is None or isinstance(scale, list) or not FACTORS[0] <= float(scale.reshape(-1)[0]) <= FACTORS[1]:
        raise InputError(f"scale: not a number from {FACTORS[0]:g} to {FACTORS[1]:g}")
    factor = float(scale.reshape(-1)[0])
    if image.shape[0] * image.shape[1] * factor**2 > pixels:
        raise InputError(f"scale: the picture would have more than {pixels} pixels; ask for less")
    named = inputs.get("name")
    return Enlarge(image, factor, bytes(named[0]).decode(errors="replace") if named is not None and len(named) else "")


def lanczos(image: Array, scale: float) -> Array:
    """A picture enlarged, or shrunk, by Lanczos' filter: uint8 [height, width, 3]."""
    return resized(image, round(image.shape[1] * scale), round(image.shape[0] * scale))


def resized(image: Array, width: int, height: int) -> Array:
    """A picture in that size, by Lanczos' filter."""
    import numpy as np

    size = max(1, width), max(1, height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def checkpoints(parameters: Mapping[str, str]) -> dict[str, Path]:
    """The files of the model directory's folder `upscalers`, by name."""
    folder = Path(parameters.get("model_directory", "")) / "upscalers"
    if not parameters.get("model_directory") or not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES}


def answerer(parameters: Mapping[str, str]) -> Callable[[Tensors, Mapping[str, Any]], Outcome | None]:
    """What a stub answers at once: the catalog, Lanczos, and what cannot be. Takes a request and the worker's state.

    Args:
        parameters: As in config.pbtxt.
    """
    pixels = int(parameters["pixels"])
    torch = bool(parameters.get("environment")) and Path(parameters["environment"], "bin", "python").exists()

    def answer(inputs: Tensors, state: Mapping[str, Any]) -> Outcome | None:
        if "request" in inputs:
            found = [{"name": name, "scale": scale} for name, scale in _listed(parameters, state)]
            return {"catalog": strings([json.dumps({"upscalers": found})])}
        asked = read(inputs, pixels)
        if asked.name in ("", LANCZOS):
            return {"image": lanczos(asked.image, asked.scale)}
        known = checkpoints(parameters)
        if asked.name not in known:
            raise InputError(f"name: there is no {asked.name!r}; there are {', '.join([LANCZOS, *known])}")
        if not torch:
            remedy = "`make image-models` makes the environment that it runs in"
            return Failure("unsupported", f"{asked.name!r} needs torch, which is not installed here: {remedy}")
        return None

    return answer


def _listed(parameters: Mapping[str, str], state: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Names with the factor by which each enlarges by itself; 0 for any."""
    yield LANCZOS, 0.0
    for name in checkpoints(parameters):
        said = re.search(r"(?:^|[^0-9])([1248])x|x([1248])(?:[^0-9]|$)", name, re.IGNORECASE)
        guessed = float(said.group(1) or said.group(2)) if said else USUAL
        yield name, float(state.get("scales", {}).get(name, guessed))
