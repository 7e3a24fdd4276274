"""The models on Triton behind the `Engine` of engine.py. Tensors: triton_models/README.md."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np

from services.image.catalog import Catalog, ControlNet, Lora, Memory, Model, Sampler, Upscaler
from services.image.engine import Drawn, Sheet, Sketch, Step
from services.image.pictures import Pixels
from services.mesh.errors import DeadlineExceeded, InvalidArgument, NotFound, Unavailable, Unsupported, rename
from services.mesh.triton import Array, Tensor, Triton

DIFFUSION, UPSCALER, RESTORER = "diffusion", "upscaler", "face_restorer"
"""The models by their names on Triton."""
_TORCH = (
    "The model server has no {} model loaded. It needs the environment of the torch models: `make image-models` makes "
    "it, and the next `parley up` finds it; docs/image.md says more."
)
ABSENT = {
    DIFFUSION: _TORCH.format(DIFFUSION),
    UPSCALER: _TORCH.format(UPSCALER),
    RESTORER: (
        "The model server has no face restorer. Put a network for aligned faces in ONNX's format, such as GFPGAN, "
        "CodeFormer or RestoreFormer++, into the folder face_restorers/ of a model directory, and name that to "
        "`parley up --model-directory`; docs/image.md says more."
    ),
}
"""What to say where a model is not loaded."""
LANCZOS = Upscaler("Lanczos")
LIST_SECONDS = 10.0
"""How long the model server may take to say what it has."""


class TritonEngine:
    """Asks the models of a Triton.

    Args:
        triton: The client.
    """

    def __init__(self, triton: Triton) -> None:
        self._triton = triton

    async def draw(self, sheet: Sheet) -> AsyncGenerator[Step | Sketch | Drawn, None]:
        """See Engine.draw."""
        async with aclosing(self._stream(_inputs(sheet))) as answers:
            async for answer in answers:
                event, images = json.loads(answer["event"][0]), answer.get("images")
                if event["event"] == "progress":
                    yield Step(int(event["step"]), int(event["steps"]))
                elif event["event"] == "preview" and images is not None:
                    yield Sketch(int(event["step"]), images)
                elif event["event"] == "images" and images is not None:
                    yield Drawn(images, str(event.get("model_sha256") or ""))

    async def upscale(self, image: Pixels, scale: float, upscaler: str) -> Pixels:
        """See Engine.upscale."""
        inputs: dict[str, Tensor] = {
            "image": image,
            "scale": np.array([scale], np.float32),
            "name": [upscaler.encode()],
        }
        return await self._image(UPSCALER, inputs, "upscaler")

    async def restore(self, image: Pixels, restorer: str) -> Pixels:
        """See Engine.restore."""
        return await self._image(RESTORER, {"image": image, "name": [restorer.encode()]}, "face_restorer")

    async def catalog(self, *, refresh: bool) -> Catalog:
        """See Engine.catalog."""
        asked = {"task": "catalog", "refresh": refresh}
        found: dict[str, Any] = {}
        try:
            async with aclosing(self._stream({"request": [json.dumps(asked).encode()]}, LIST_SECONDS)) as answers:
                async for answer in answers:
                    found = json.loads(answer["event"][0])
            upscalers, restorers = await asyncio.gather(self._list(UPSCALER), self._list(RESTORER))
        except DeadlineExceeded as error:
            raise Unavailable("The model server does not say what it has. Try again shortly.") from error
        return _catalog(found, upscalers.get("upscalers", ()), restorers.get("face_restorers", ()))

    async def live(self) -> None:
        """See Engine.live."""
        try:
            await self._triton.live()
        except DeadlineExceeded as error:
            raise Unavailable("The model server does not answer. Try again shortly.") from error

    async def _stream(
        self, inputs: Mapping[str, Tensor], within: float | None = None
    ) -> AsyncGenerator[dict[str, Array], None]:
        try:
            async with aclosing(self._triton.stream(DIFFUSION, inputs, within=within)) as answers:
                async for answer in answers:
                    yield answer
        except NotFound as error:
            raise Unavailable(ABSENT[DIFFUSION], retry_after=None) from error

    async def _image(self, model: str, inputs: Mapping[str, Tensor], field: str) -> Pixels:
        """The picture that a model makes; what it says of `name` is about `field`."""
        try:
            return (await self._triton.infer(model, inputs))["image"]
        except NotFound as error:
            raise Unsupported(ABSENT[model]) from error
        except InvalidArgument as error:
            rename(error, {"name": field})
            raise

    async def _list(self, model: str) -> dict[str, Any]:
        """What a model says that it has; nothing where it is not loaded."""
        try:
            answer = await self._triton.infer(model, {"request": [b'{"task": "catalog"}']}, within=LIST_SECONDS)
        except (NotFound, Unsupported):
            return {}
        listed: dict[str, Any] = json.loads(answer["catalog"][0])
        return listed


def _inputs(sheet: Sheet) -> dict[str, Tensor]:
    """The tensors that ask for a sheet."""
    request = {
        "task": "draw",
        "model": sheet.model,
        "prompt": sheet.prompt,
        "negative_prompt": sheet.negative_prompt,
        "width": sheet.width,
        "height": sheet.height,
        "steps": sheet.steps,
        "guidance_scale": sheet.guidance_scale,
        "sampler": sheet.sampler,
        "seeds": sheet.seeds,
        "loras": [dataclasses.asdict(lora) for lora in sheet.loras],
        "controls": [
            {"name": guide.name, "weight": guide.weight, "start": guide.start, "end": guide.end}
            for guide in sheet.guides
        ],
        "strength": sheet.strength,
        "clip_skip": sheet.clip_skip,
        "preview_interval": sheet.preview_interval,
    }
    inputs: dict[str, Tensor] = {"request": [json.dumps(request, ensure_ascii=False).encode()]}
    if sheet.image is not None:
        inputs["image"] = sheet.image
    if sheet.mask is not None:
        inputs["mask"] = sheet.mask
    if sheet.guides:
        inputs["control_images"] = np.stack([guide.image for guide in sheet.guides])
    return inputs


def _catalog(found: Mapping[str, Any], upscalers: Any, restorers: Any) -> Catalog:
    """The catalog that three models tell; fields that this version does not know are left out."""
    memory = found.get("memory") or {}
    listed = [_made(Upscaler, one) for one in upscalers]
    default = found.get("default_model")
    models = sorted(found.get("models", ()), key=lambda one: one.get("id") != default)
    return Catalog(
        models=tuple(_made(Model, one) for one in models),
        loras=tuple(_made(Lora, one) for one in found.get("loras", ())),
        control_nets=tuple(_made(ControlNet, one) for one in found.get("controlnets", ())),
        samplers=tuple(
            Sampler(str(one["name"]), tuple(map(str, one.get("aliases", ())))) for one in found.get("samplers", ())
        ),
        upscalers=tuple(listed) or (LANCZOS,),
        face_restorers=tuple(map(str, restorers)),
        ram=_made(Memory, memory.get("ram") or {}),
        cuda=_made(Memory, memory["cuda"]) if memory.get("cuda") else None,
    )


def _made(kind: Any, fields: Mapping[str, Any]) -> Any:
    """A dataclass from the fields that it knows and that are set."""
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in fields.items() if name in known and value is not None})
