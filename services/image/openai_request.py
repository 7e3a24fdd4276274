"""What OpenAI's image endpoints are asked: JSON and forms, checked, and what they mean for the studio.

A field of OpenAI's that nothing here corresponds to is checked and changes nothing (`style`, `moderation`, `user`);
what would change the meaning of the answer if it were dropped is refused by name (`background=transparent`). Five
fields are Parley's own: `negative_prompt`, `seed`, `steps`, `guidance_scale`, `strength`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from services.image import bodies, encoded
from services.image.bodies import Body
from services.image.catalog import Catalog, Model
from services.image.drawing import SEEDS, Edit, Format, Output, Settings
from services.image.errors import InvalidImage, ModelNotFound
from services.image.plan import MAX_STEPS, SHORTEST_SIDE, larger
from services.mesh import form
from services.mesh.errors import InvalidArgument

DALL_E = ("dall-e-2", "dall-e-3")
HABITS = re.compile(r"default|dall-e-[23]|chatgpt-image-latest|gpt-image-[\w.-]+")
"""Names that OpenAI's clients send by habit mean the deployment's default model."""
SHAPES = ("256x256", "512x512", "1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792")
"""OpenAI's own sizes. From whoever names none of this deployment's models they are shapes: see `_size`."""
QUALITIES = {"low": 0.5, "medium": 1.0, "standard": 1.0, "auto": 1.0, "high": 1.5, "hd": 1.5, "xhigh": 2.0, "max": 2.0}
"""Steps of a quality, as multiples of the model's own."""
MAX_FIELD = 64 * 1024
MAX_IMAGES = 16
STRENGTH, FAITHFUL, VARIED = 0.75, 0.5, 0.6
"""How much is drawn anew: of a picture, of one with input_fidelity=high, of a variation."""


class Common(Body):
    """The fields of all three endpoints."""

    model: str | None = Field(None, max_length=200)
    n: int | None = Field(None, ge=1, le=10)
    size: str | None = Field(None, max_length=20)
    response_format: Literal["url", "b64_json"] | None = None
    user: str | None = None
    seed: int | None = Field(None, ge=0, lt=SEEDS)
    steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    guidance_scale: float | None = Field(None, ge=0, le=30)
    negative_prompt: str | None = None
    strength: float | None = Field(None, ge=0, le=1)


class Generation(Common):
    """POST /v1/images/generations."""

    prompt: str
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    background: Literal["auto", "opaque", "transparent"] | None = None
    style: Literal["vivid", "natural"] | None = None
    moderation: Literal["auto", "low"] | None = None
    stream: bool | None = None
    partial_images: int | None = Field(None, ge=0, le=3)


class ImageEdit(Generation):
    """POST /v1/images/edits, without its pictures."""

    input_fidelity: Literal["low", "high"] | None = None


class Reference(Body):
    """A picture in an edit's JSON."""

    image_url: str


class JsonEdit(ImageEdit):
    """POST /v1/images/edits as JSON: the pictures are data URLs."""

    image: str | list[str] | None = None
    images: list[Reference] | None = Field(None, max_length=MAX_IMAGES)
    mask: str | Reference | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as the studio understands it.

    Attributes:
        settings: How to draw.
        edit: What is drawn anew; None: a picture from nothing.
        output: What comes back.
        url: Whether addresses are wanted in place of bytes.
        stream: Whether events are wanted.
        partial_images: How many previews of each picture.
        quality: As the answer calls it.
    """

    settings: Settings
    edit: Edit | None
    output: Output
    url: bool = False
    stream: bool = False
    partial_images: int = 0
    quality: str = "medium"


def generation(raw: bytes) -> Generation:
    """The body of a generation. Raises InvalidRequest, naming the fields."""
    return bodies.read(Generation, raw)


def edit(raw: bytes, content_type: str) -> tuple[ImageEdit, bytes, bytes]:
    """The fields, the picture and the mask (empty without one) of an edit, from a form or from JSON.

    Raises:
        InvalidRequest: A field is wrong; it is named.
        InvalidImage: A picture is missing, or is none.
        TooLarge: A picture is.
    """
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return _json_edit(bodies.read(JsonEdit, raw))
    parts = form.read(raw, content_type, ("image", "image[]", "mask"), _longest)
    masks = parts.files.get("mask", [])
    mask = encoded.bounded("mask", masks[-1]) if masks else b""
    return bodies.check(ImageEdit, _last(parts.fields)), _image(parts), mask


def variation(raw: bytes, content_type: str) -> tuple[Common, bytes]:
    """The fields and the picture of a variation. Raises as `edit`."""
    parts = form.read(raw, content_type, ("image", "image[]"), _longest)
    return bodies.check(Common, _last(parts.fields)), _image(parts)


def asked(
    request: Common, catalog: Catalog, image: bytes = b"", mask: bytes = b"", strength: float | None = None
) -> Asked:
    """What a request means.

    Args:
        request: Its fields.
        catalog: What there is to draw with.
        image: What is drawn anew; empty: nothing.
        mask: Which part of it; empty: all of it.
        strength: How much is drawn anew; None: what the request says.

    Raises:
        InvalidArgument: A field does not go with another one, or with the model.
        ModelNotFound: There is no such model.
    """
    model = _model(request.model or "", catalog)
    width, height = _size(request, model)
    fields = request if isinstance(request, Generation) else None
    quality = (fields.quality if fields else None) or "auto"
    settings = Settings(
        prompt=fields.prompt if fields else "",
        negative_prompt=request.negative_prompt or "",
        model=model.id,
        width=width,
        height=height,
        steps=request.steps or _steps(quality, model),
        guidance_scale=request.guidance_scale,
        seed=request.seed,
        count=request.n or 1,
    )
    share = _strength(request, mask) if strength is None else strength
    stream = bool(fields and fields.stream)
    partial = (fields.partial_images if fields else None) or 0
    steps = (settings.steps or model.default_steps) * (share if image else 1)
    return Asked(
        settings,
        Edit(image, mask, share) if image else None,
        _output(fields, _interval(steps, partial) if stream else 0),
        url=_url(request, stream=stream),
        stream=stream,
        partial_images=partial,
        quality={"auto": "medium", "standard": "medium", "hd": "high"}.get(quality, quality),
    )


def _json_edit(request: JsonEdit) -> tuple[ImageEdit, bytes, bytes]:
    given = [request.image] if isinstance(request.image, str) else list(request.image or ())
    named = [("image" if len(given) == 1 else f"image[{place}]", text) for place, text in enumerate(given)]
    named += [(f"images[{place}].image_url", one.image_url) for place, one in enumerate(request.images or ())]
    _one(len(named))
    mask = request.mask.image_url if isinstance(request.mask, Reference) else request.mask
    return request, encoded.picture(*named[0]), encoded.picture("mask", mask) if mask else b""


def _image(parts: form.Form) -> bytes:
    """The picture of a form."""
    images = [one for name in ("image", "image[]") for one in parts.files.get(name, [])]
    _one(len(images))
    return encoded.bounded("image", images[0])


def _one(pictures: int) -> None:
    """Refuses none, and several: models draw from one here, and the others would be dropped in silence."""
    if pictures < 1:
        raise InvalidImage("image", "is required: the picture that is edited, as a file of the form")
    if pictures > 1:
        raise InvalidArgument("image", f"must be one picture; there are {pictures}")


def _last(fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The values of a form; an empty one is none."""
    return {name: values[-1] for name, values in fields.items() if values[-1]}


def _longest(_field: str) -> int:
    return MAX_FIELD


def _model(name: str, catalog: Catalog) -> Model:
    """The model of an id, or of a name that means the default one."""
    found = catalog.model(name) or (catalog.model("") if HABITS.fullmatch(name) else None)
    if found is None:
        raise ModelNotFound(name, [model.id for model in catalog.models])
    return found


def _size(request: Common, model: Model) -> tuple[int, int]:
    """Width and height; 0 and 0: the model's own, or the edited picture's.

    Clients that were written for OpenAI send one of its sizes because they must send something. Where the request does
    not name a model of this deployment, such a size is a shape: square, landscape or portrait, in about as many pixels
    as the model was trained for. Every other size, and any size beside a model's own name, is what it says.
    """
    text = request.size or "auto"
    if text == "auto":
        return 0, 0
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise InvalidArgument("size", f"must be auto or WIDTHxHEIGHT in pixels, e.g. 512x512; not {text!r}")
    width, height = int(match[1]), int(match[2])
    if request.model == model.id or text not in SHAPES:
        return width, height
    scale = max(model.default_size / math.sqrt(width * height), SHORTEST_SIDE / min(width, height))
    return larger(width, scale), larger(height, scale)


def _steps(quality: str, model: Model) -> int:
    """Steps of a quality; 0, the model's own, for the ordinary one."""
    factor = QUALITIES[quality]
    return 0 if factor == 1 else min(MAX_STEPS, max(1, round(model.default_steps * factor)))


def _interval(steps: float, previews: int) -> int:
    """Steps between previews, so that so many of them come before the last step; 0: none."""
    return max(1, int(steps / (previews + 1))) if previews else 0


def _output(fields: Generation | None, interval: int) -> Output:
    if fields is None:
        return Output(preview_interval=interval)
    chosen = Format(fields.output_format or "png")
    if fields.background == "transparent":
        raise InvalidArgument("background", "the models here draw no transparency; use opaque or auto")
    if chosen is Format.PNG and fields.output_compression is not None and fields.output_compression < 100:
        raise InvalidArgument("output_compression", "is for output_format jpeg and webp: PNG loses nothing")
    quality = 90 if fields.output_compression is None else max(1, fields.output_compression)
    return Output(chosen, quality, interval)


def _strength(request: Common, mask: bytes) -> float:
    """How much is drawn anew: inside of a mask everything."""
    if request.strength is not None:
        return request.strength
    if mask:
        return 1.0
    return FAITHFUL if isinstance(request, ImageEdit) and request.input_fidelity == "high" else STRENGTH


def _url(request: Common, *, stream: bool) -> bool:
    """Whether addresses are wanted: of DALL·E's names that is the default, of all others bytes are."""
    if stream and request.response_format == "url":
        raise InvalidArgument("response_format", "must be b64_json with stream: events carry the pictures themselves")
    return not stream and (request.response_format or ("url" if request.model in DALL_E else "b64_json")) == "url"
