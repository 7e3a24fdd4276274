"""The upscaler as its worker runs it: checkpoints of the ESRGAN family, in tiles, so that memory does not grow."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from triton_models.shared.errors import CancelledError, InputError
from triton_models.shared.torch_device import choose
from triton_models.shared.upscaling import request
from triton_models.shared.upscaling.rrdbnet import CheckpointError, RRDBNet, build
from triton_models.shared.wire import Array
from triton_models.shared.worker_process import Answer, Request

TILE = 192  # pixels of a tile's side; a network takes some 30 kB for each of its pixels
BORDER = 16  # pixels around a tile that it sees besides: without them one would see where tiles meet


class Upscaler:
    """Enlarges with checkpoints from `<model_directory>/upscalers`; the one used last stays loaded.

    Args:
        parameters: `model_directory`, `device` and `pixels`, as in config.pbtxt.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters, self._pixels = parameters, int(parameters["pixels"])
        self._device, self._dtype = choose(parameters.get("device", ""))
        self._loaded: tuple[Path, RRDBNet] | None = None
        self._scales: dict[str, float] = {}

    def state(self) -> dict[str, Any]:
        """See `worker_process.Telling`: by how much each checkpoint that was loaded enlarges."""
        return {"scales": dict(self._scales)}

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """See `worker_process.Model`."""
        with torch.inference_mode():
            return [self._one(one) for one in requests]

    def _one(self, one: Request) -> Answer:
        try:
            asked = request.read(one.inputs, self._pixels)
            larger = self._enlarged(self._network(asked.name), asked.image, one.cancelled)
        except (InputError, CancelledError) as error:
            return error
        height, width = (round(side * asked.scale) for side in asked.image.shape[:2])
        return {"image": larger if larger.shape[:2] == (height, width) else request.resized(larger, width, height)}

    def _network(self, name: str) -> RRDBNet:
        """A checkpoint's network. Raises InputError for one that is unknown or broken."""
        path = request.checkpoints(self._parameters).get(name)
        if path is None:
            raise InputError(f"name: there is no {name!r}")
        if self._loaded is None or self._loaded[0] != path:
            self._loaded = None
            try:
                network = build(_tensors(path))
            except (CheckpointError, OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
                raise InputError(f"name: {path.name} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
            self._loaded = path, network.to(self._device, self._dtype)
            self._scales[name] = network.shape.scale
        return self._loaded[1]

    def _enlarged(self, network: RRDBNet, image: Array, cancelled: Callable[[], bool]) -> Array:
        """The picture as large as the network makes it. Raises CancelledError between tiles."""
        folded, scale = network.shape.folded, network.shape.scale
        height, width = image.shape[:2]
        padded = np.pad(image, ((0, -height % folded), (0, -width % folded), (0, 0)), "edge")
        larger = np.zeros((round(padded.shape[0] * scale), round(padded.shape[1] * scale), 3), np.uint8)
        for rows, columns in _tiles(*padded.shape[:2]):
            if cancelled():
                raise CancelledError
            (top, first, last), (left, start, end) = rows, columns
            seen = torch.from_numpy(padded[top : last + BORDER, left : end + BORDER].copy())
            given = seen.permute(2, 0, 1)[None].to(self._device, self._dtype) / 255
            drawn = (network(given)[0].clamp(0, 1) * 255).round().permute(1, 2, 0).byte().cpu().numpy()
            y, x, y_end, x_end = (round(side * scale) for side in (first, start, last, end))
            inner = drawn[round((first - top) * scale) :, round((start - left) * scale) :]
            larger[y:y_end, x:x_end] = inner[: y_end - y, : x_end - x]
        return larger[: round(height * scale), : round(width * scale)]


def _tiles(height: int, width: int) -> Iterator[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Rows and columns of each tile: where what it sees begins, and where it begins and ends itself."""

    def along(length: int) -> list[tuple[int, int, int]]:
        return [(max(0, first - BORDER), first, min(length, first + TILE)) for first in range(0, length, TILE)]

    for rows in along(height):
        for columns in along(width):
            yield rows, columns


def _tensors(path: Path) -> Mapping[str, torch.Tensor]:
    """What a file holds. A .pth is a pickle: only tensors are taken from it, no code. Raises what libraries raise."""
    if path.suffix == ".safetensors":
        try:
            found: Mapping[str, torch.Tensor] = safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise CheckpointError(str(error)) from None
        return found
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise CheckpointError("it holds no tensors by name")
    return loaded
