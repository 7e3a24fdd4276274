"""What a request asks of the diffusion model, read and checked. Imports no torch: the stub reads requests too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

from triton_models.shared.errors import InputError
from triton_models.shared.wire import Array, Tensors

SEEDS = 2**32
CLIP_SKIP = 12  # layers that may be left out at most


class Limits(NamedTuple):
    """What one request may ask for."""

    smallest: int = 64
    """Pixels of the shorter side."""
    largest: int = 2048
    """Pixels of the longer side."""
    steps: int = 150
    pictures: int = 16
    prompt: int = 10_000
    """Characters of a prompt."""
    loras: int = 8
    controls: int = 4
    pixels: int = 16 * 512 * 512
    """All pictures that are drawn together; one picture may always be drawn."""


class Lora(NamedTuple):
    """A LoRA, and how much of it."""

    name: str
    weight: float


class Control(NamedTuple):
    """A ControlNet, how much of it, and from which part of the steps to which."""

    name: str
    weight: float
    start: float
    end: float


@dataclasses.dataclass(frozen=True, eq=False)
class Draw:
    """Pictures to draw. Zeros, None and empty texts stand for what the model prefers."""

    model: str
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance_scale: float | None
    sampler: str
    seeds: tuple[int, ...]
    """One for each picture."""
    loras: tuple[Lora, ...]
    controls: tuple[Control, ...]
    strength: float
    """How much of `image` is drawn anew, above 0 to 1."""
    clip_skip: int
    """Final layers of the text encoder that are left out, plus one; 0 or 1: none."""
    preview_interval: int
    """Steps between previews; 0: none."""
    image: Array | None
    """uint8 [height, width, 3]."""
    mask: Array | None
    """uint8 [height, width]: 255 is drawn anew, 0 stays."""
    control_images: Array | None
    """uint8 [controls, height, width, 3]."""


def kind(inputs: Tensors) -> Hashable:
    """Requests of which this is the same can be drawn together. Says nothing about whether they make sense."""
    asked = _json(inputs)
    guidance = asked.get("guidance_scale")
    guided = guidance is None or not isinstance(guidance, int | float) or guidance > 1
    names = ("task", "model", "width", "height", "steps", "sampler", "loras", "controls", "strength", "clip_skip")
    pictures = tuple(name in inputs for name in ("image", "mask"))
    return json.dumps([asked.get(name) for name in names]), guided, guidance is None, pictures


def task(inputs: Tensors) -> str:
    """What a request wants: `draw`, `catalog`, `unload`, or what else it says."""
    return str(_json(inputs).get("task", ""))


def field(inputs: Tensors, name: str) -> Any:
    """A value of the request's JSON; None where it is absent."""
    return _json(inputs).get(name)


def draw(inputs: Tensors, limits: Limits) -> Draw:
    """What a request wants drawn. Raises InputError, `field: what is wrong and what would be right`."""
    asked = _json(inputs)
    if asked.get("task") != "draw":
        raise InputError("task: neither draw nor catalog nor unload")
    image, mask, control_images = (_numbers(inputs, name) for name in ("image", "mask", "control_images"))
    found = Draw(
        model=_text(asked, "model", 200),
        prompt=_text(asked, "prompt", limits.prompt),
        negative_prompt=_text(asked, "negative_prompt", limits.prompt),
        width=_side(asked, "width", limits),
        height=_side(asked, "height", limits),
        steps=int(_number(asked, "steps", 0, 0, limits.steps, whole=True)),
        guidance_scale=None if asked.get("guidance_scale") is None else _number(asked, "guidance_scale", 0, 0, 30),
        sampler=_text(asked, "sampler", 100),
        seeds=_seeds(asked, limits),
        loras=tuple(_loras(asked, limits)),
        controls=tuple(_controls(asked, limits)),
        strength=_strength(asked),
        clip_skip=int(_number(asked, "clip_skip", 0, 0, CLIP_SKIP, whole=True)),
        preview_interval=int(_number(asked, "preview_interval", 0, 0, limits.steps, whole=True)),
        image=image,
        mask=mask,
        control_images=control_images,
    )
    _check_pictures(found)
    return found


def sized(asked: Draw, size: int, limits: Limits) -> Draw:
    """The request with the size that is drawn: its picture's, what it says, or else what the model prefers.

    Args:
        asked: The request.
        size: Width and height that the model prefers.
        limits: What may be asked for.

    Raises:
        InputError: pictures of other sizes, or more pixels than are drawn together.
    """
    height, width = (size, size) if asked.image is None else asked.image.shape[:2]
    width, height = asked.width or width, asked.height or height
    for name, picture in (("image", asked.image), ("mask", asked.mask)):
        if picture is not None and picture.shape[:2] != (height, width):
            raise InputError(f"{name}: {_size(picture.shape)} pixels; what is drawn has {width}x{height}")
    if asked.control_images is not None and asked.control_images.shape[1:3] != (height, width):
        raise InputError(
            f"control_images: {_size(asked.control_images.shape[1:])} pixels; what is drawn has {width}x{height}"
        )
    for name, side in (("width", width), ("height", height)):
        if side % 8 or not limits.smallest <= side <= limits.largest:
            raise InputError(
                f"{name}: {side} is not a multiple of 8 between {limits.smallest} and {limits.largest} pixels"
            )
    if len(asked.seeds) > 1 and len(asked.seeds) * width * height > limits.pixels:
        most = max(1, limits.pixels // (width * height))
        raise InputError(f"seeds: at most {most} pictures of {width}x{height} pixels are drawn together; ask for fewer")
    return dataclasses.replace(asked, width=width, height=height)


def _json(inputs: Tensors) -> Mapping[str, Any]:
    """The request's JSON object; empty where it is none, so that whoever checks it says so."""
    found = inputs.get("request")
    try:
        asked = json.loads(bytes(found[0])) if found is not None and len(found) else {}
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _numbers(inputs: Tensors, name: str) -> Array | None:
    found = inputs.get(name)
    return None if isinstance(found, list) else found


def _text(asked: Mapping[str, Any], name: str, most: int) -> str:
    value = asked.get(name) or ""
    if not isinstance(value, str):
        raise InputError(f"{name}: not a text")
    if len(value) > most:
        raise InputError(f"{name}: {len(value)} characters; at most {most} are read")
    return value


def _number(
    asked: Mapping[str, Any], name: str, default: float, low: float, high: float, *, whole: bool = False, path: str = ""
) -> float:
    value = asked.get(name)
    value = default if value is None else value
    right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right or not low <= value <= high:
        raise InputError(f"{path or name}: not a {'whole ' if whole else ''}number from {low} to {high}")
    return float(value)


def _side(asked: Mapping[str, Any], name: str, limits: Limits) -> int:
    """A side in pixels, 0 for the model's own. Whether the model can draw it is said by `sized`."""
    value = int(_number(asked, name, 0, 0, limits.largest, whole=True))
    if value % 8 or 0 < value < limits.smallest:
        raise InputError(
            f"{name}: {value} is not a multiple of 8 between {limits.smallest} and {limits.largest} pixels"
        )
    return value


def _seeds(asked: Mapping[str, Any], limits: Limits) -> tuple[int, ...]:
    seeds = asked.get("seeds")
    if not isinstance(seeds, list) or not 1 <= len(seeds) <= limits.pictures:
        raise InputError(f"seeds: not a list of 1 to {limits.pictures} numbers, one for each picture")
    return tuple(
        int(_number({"seed": seed}, "seed", -1, 0, SEEDS - 1, whole=True, path=f"seeds[{number}]"))
        for number, seed in enumerate(seeds)
    )


def _strength(asked: Mapping[str, Any]) -> float:
    strength = _number(asked, "strength", 1, 0, 1)
    if strength == 0:
        raise InputError("strength: 0 would draw nothing anew; above 0, at most 1")
    return strength


def _named(asked: Mapping[str, Any], name: str, most: int) -> list[tuple[str, Mapping[str, Any]]]:
    """The objects of a list, each with its path. Raises InputError for what is none, and for objects without a name."""
    found = asked.get(name) or []
    if not isinstance(found, list) or len(found) > most or not all(isinstance(one, dict) for one in found):
        raise InputError(f"{name}: not a list of at most {most} objects")
    for number, one in enumerate(found):
        if not isinstance(one.get("name"), str) or not one["name"]:
            raise InputError(f"{name}[{number}].name: missing")
    return [(f"{name}[{number}]", one) for number, one in enumerate(found)]


def _loras(asked: Mapping[str, Any], limits: Limits) -> list[Lora]:
    found = _named(asked, "loras", limits.loras)
    if len({one["name"] for _, one in found}) < len(found):
        raise InputError("loras: one of them is named twice")
    return [Lora(one["name"], _number(one, "weight", 1, -4, 4, path=f"{path}.weight")) for path, one in found]


def _controls(asked: Mapping[str, Any], limits: Limits) -> list[Control]:
    return [
        Control(
            one["name"],
            _number(one, "weight", 1, 0, 2, path=f"{path}.weight"),
            _number(one, "start", 0, 0, 1, path=f"{path}.start"),
            _number(one, "end", 1, 0, 1, path=f"{path}.end"),
        )
        for path, one in _named(asked, "controls", limits.controls)
    ]


def _check_pictures(asked: Draw) -> None:
    """Raises InputError for pictures that have not the right number of sides, or are missing."""
    if asked.mask is not None and asked.image is None:
        raise InputError("mask: there is no image that it belongs to")
    shapes = {"image": (asked.image, 3), "mask": (asked.mask, 2), "control_images": (asked.control_images, 4)}
    for name, (picture, sides) in shapes.items():
        if picture is None:
            continue
        channels = sides == 2 or picture.shape[-1] == 3
        if picture.ndim != sides or not channels or 0 in picture.shape:
            raise InputError(f"{name}: a tensor of shape {list(picture.shape)} is no picture")
    pictures = 0 if asked.control_images is None else len(asked.control_images)
    if pictures != len(asked.controls):
        raise InputError(f"control_images: {pictures} for {len(asked.controls)} controls; each needs one")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
