"""ControlNet units, and the other scripts of the web UI that a request may name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.image import bodies, encoded, pictures
from services.image.catalog import Catalog, ControlNet
from services.image.drawing import ControlUse, Format, ResizeMode
from services.image.errors import InvalidImage, listed
from services.image.plan import MAX_CONTROLS
from services.image.preprocess import PREPROCESSORS
from services.image.sdapi_errors import HttpException
from services.image.sdapi_request import Unit
from services.mesh.errors import InvalidArgument

CONTROLNET = "controlnet"
NOTHING = (None, "", "none")
HASH = re.compile(r"\s*\[[0-9a-f]{6,64}\]$")
BALANCED = (None, 0, "Balanced")
# As the extension names them, its old names and numbers included.
RESIZE_MODES: Mapping[str, ResizeMode] = {
    "just resize": ResizeMode.STRETCH,
    "0": ResizeMode.STRETCH,
    "crop and resize": ResizeMode.CROP,
    "scale to fit (inner fit)": ResizeMode.CROP,
    "inner fit (scale to fit)": ResizeMode.CROP,
    "1": ResizeMode.CROP,
    "resize and fill": ResizeMode.FILL,
    "envelope (outer fit)": ResizeMode.FILL,
    "outer fit (shrink to fit)": ResizeMode.FILL,
    "2": ResizeMode.FILL,
}


@dataclass(frozen=True, slots=True)
class Units:
    """What the enabled units of a request ask for."""

    controls: tuple[ControlUse, ...] = ()
    places: tuple[str, ...] = ()
    """What the request calls each of them, to name it in errors."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """What units are fitted to."""

    width: int
    height: int
    max_pixels: int
    """How many a picture of the request may have."""
    image: bytes = b""
    """What a unit follows that has no picture of its own: the one that is edited."""


def units(scripts: Mapping[str, Any] | None, catalog: Catalog, canvas: Canvas) -> Units:
    """The ControlNet units among the scripts that a request wants to run.

    Other scripts are passed over where they are sent switched off, as clients do that know them by habit.

    Raises:
        HttpException: A script that is not here is wanted.
        InvalidArgument: A unit is wrong; its field is named.
    """
    controls, places = [], []
    for name, script in (scripts or {}).items():
        where = f"alwayson_scripts.{name}"
        arguments = script.get("args", []) if isinstance(script, dict) else script
        if not isinstance(arguments, list):
            raise InvalidArgument(f"{where}.args", "must be a list")
        if name.casefold() != CONTROLNET:
            if arguments and arguments[0] is not False and any(arguments):
                text = f"always on script {name} not found; there is ControlNet. Leave it out"
                raise HttpException(where, text, 422)
            continue
        for place, argument in enumerate(arguments):
            at = f"{where}.args[{place}]"
            control = _control(argument, at, catalog, canvas)
            if control is not None:
                controls.append(control)
                places.append(at)
    if len(controls) > MAX_CONTROLS:
        raise InvalidArgument(f"alwayson_scripts.{CONTROLNET}", f"must have at most {MAX_CONTROLS} enabled units")
    return Units(tuple(controls), tuple(places))


def control_net(name: str | None, catalog: Catalog, where: str) -> ControlNet:
    """The ControlNet of a name, with or without a hash behind it. Raises InvalidArgument."""
    wanted = HASH.sub("", name or "").strip().casefold()
    for net in catalog.control_nets:
        if wanted in (net.id.casefold(), net.title.casefold()):
            return net
    known = listed([net.id for net in catalog.control_nets])
    raise InvalidArgument(where, f"must be one of {known} (GET /controlnet/model_list); not {name!r}")


def preprocessor(module: str | None, where: str) -> str:
    """The preprocessor of a module; empty for none. Raises InvalidArgument."""
    name = (module or "").strip().casefold()
    if name in NOTHING:
        return ""
    if name not in PREPROCESSORS:
        known = listed(["none", *PREPROCESSORS])
        raise InvalidArgument(where, f"must be one of {known} (GET /controlnet/module_list); not {module!r}")
    return name


def _control(argument: Any, at: str, catalog: Catalog, canvas: Canvas) -> ControlUse | None:
    """What a unit asks for; None for one that is off."""
    if argument is None:
        return None
    if not isinstance(argument, dict):
        raise InvalidArgument(at, 'must be an object: {"image": …, "module": …, "model": …}')
    unit = bodies.check(Unit, argument, at)
    if not unit.enabled:
        return None
    if unit.mask:
        raise InvalidArgument(f"{at}.mask", "ControlNets here follow whole pictures; leave it out")
    if unit.control_mode not in BALANCED:
        raise InvalidArgument(f"{at}.control_mode", "must be Balanced: other modes are not here")
    end = unit.guidance if unit.guidance is not None else unit.guidance_end
    return ControlUse(
        control_net(unit.model, catalog, f"{at}.model").id,
        _picture(unit, at, canvas),
        preprocessor(unit.module, f"{at}.module"),
        1.0 if unit.weight is None else unit.weight,
        unit.guidance_start or 0.0,
        1.0 if end is None else end,
    )


def _picture(unit: Unit, at: str, canvas: Canvas) -> bytes:
    """The picture of a unit, in the shape that is drawn."""
    given: Any = unit.image or unit.input_image
    field = f"{at}.image" if unit.image or not unit.input_image else f"{at}.input_image"
    if isinstance(given, dict):
        given = given.get("image")
    if isinstance(given, str) and given:
        content = encoded.picture(field, given)
    elif canvas.image:
        content = canvas.image
    else:
        raise InvalidImage(field, "is required: the picture that the ControlNet follows, in base64")
    mode = _mode(unit.resize_mode, f"{at}.resize_mode")
    image = pictures.opaque(pictures.read(content, field, canvas.max_pixels))
    if mode is ResizeMode.STRETCH or image.width * canvas.height == image.height * canvas.width:
        return content
    shaped = pictures.fitted(image, canvas.width, canvas.height, mode)
    return pictures.write(pictures.pixels(shaped), Format.PNG, 100)


def _mode(value: str | int | None, where: str) -> ResizeMode:
    """The extension's default crops."""
    mode = ResizeMode.CROP if value is None else RESIZE_MODES.get(str(value).casefold())
    if mode is None:
        raise InvalidArgument(where, "must be Just Resize, Crop and Resize or Resize and Fill")
    return mode
