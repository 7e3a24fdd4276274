"""ImagesService: OpenAI's image endpoints over the studio."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from google.api import httpbody_pb2

from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.image import openai_request
from services.image.bodies import dumped, pieces
from services.image.drawing import Job, JobState, Picture, Preview
from services.image.encoded import encoded
from services.image.links import Links
from services.image.openai_request import Asked
from services.image.public import Address
from services.image.studio import Studio
from services.mesh import context as calls
from services.mesh.errors import Cancelled, ParleyError, rename
from services.mesh.openai import with_envelope
from services.mesh.server import Bound

Parts = AsyncGenerator[httpbody_pb2.HttpBody, None]
# What the endpoints call what the studio calls otherwise.
FIELDS = {
    "settings.width": "size",
    "settings.height": "size",
    "settings.count": "n",
    "settings": "",
}
PATCH = 8
"""Pixels along the side of what is counted as one token of a picture: a diffusion model sees it as one point."""


class ImagesServicer(openai_pb2_grpc.ImagesServiceServicer):
    """Serves parley.openai.v1.ImagesService.

    Args:
        studio: Does the work.
        address: Where clients find the gateway.
        links: Makes links to pictures.
    """

    def __init__(self, studio: Studio, address: Address, links: Links) -> None:
        self._studio, self._address, self._links = studio, address, links

    def CreateImage(
        self, request: openai_pb2.CreateImageRequest, context: Any
    ) -> AsyncIterator[openai_pb2.CreateImageResponse]:
        """Draws pictures from a text; server-sent events where the body says so."""
        parts = self._generation(request.body, context)
        return with_envelope(context, _named(parts), lambda body: openai_pb2.CreateImageResponse(body=body))

    def CreateImageEdit(
        self, request: openai_pb2.CreateImageEditRequest, context: Any
    ) -> AsyncIterator[openai_pb2.CreateImageEditResponse]:
        """Draws a picture anew, or what a mask leaves transparent of it."""
        parts = self._edit(request.body, context)
        return with_envelope(context, _named(parts), lambda body: openai_pb2.CreateImageEditResponse(body=body))

    def CreateImageVariation(
        self, request: openai_pb2.CreateImageVariationRequest, context: Any
    ) -> AsyncIterator[openai_pb2.CreateImageVariationResponse]:
        """Draws a picture anew without a text."""
        parts = self._variation(request.body, context)
        return with_envelope(context, _named(parts), lambda body: openai_pb2.CreateImageVariationResponse(body=body))

    async def _generation(self, body: httpbody_pb2.HttpBody, context: Any) -> Parts:
        request = openai_request.generation(body.data)
        asked = openai_request.asked(request, await self._studio.catalog())
        async with aclosing(self._answered(asked, context, "image_generation")) as parts:
            async for part in parts:
                yield part

    async def _edit(self, body: httpbody_pb2.HttpBody, context: Any) -> Parts:
        # Megabytes are taken apart: other calls must not wait for it.
        request, image, mask = await asyncio.to_thread(openai_request.edit, body.data, body.content_type)
        asked = openai_request.asked(request, await self._studio.catalog(), image, mask)
        async with aclosing(self._answered(asked, context, "image_edit")) as parts:
            async for part in parts:
                yield part

    async def _variation(self, body: httpbody_pb2.HttpBody, context: Any) -> Parts:
        request, image = await asyncio.to_thread(openai_request.variation, body.data, body.content_type)
        strength = openai_request.VARIED if request.strength is None else request.strength
        asked = openai_request.asked(request, await self._studio.catalog(), image, strength=strength)
        async with aclosing(self._answered(asked, context, "image_edit")) as parts:
            async for part in parts:
                yield part

    async def _answered(self, asked: Asked, context: Any, kind: str) -> Parts:
        base = self._address.of(context.invocation_metadata()) if asked.url else ""
        if asked.stream:
            async with aclosing(self._events(asked, kind)) as events:
                async for data in events:
                    yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=data)
            return
        async with aclosing(self._drawn(asked)) as drawn:
            pictures = [one async for one in drawn if isinstance(one, Picture)]
        urls = [base + (self._links.of(one) or one.path) for one in pictures] if asked.url else []
        for data in pieces(await asyncio.to_thread(_whole, asked, pictures, urls)):
            yield httpbody_pb2.HttpBody(content_type="application/json", data=data)

    async def _events(self, asked: Asked, kind: str) -> AsyncGenerator[bytes, None]:
        """Previews as they come, then each picture."""
        shown: Counter[int] = Counter()
        async with aclosing(self._drawn(asked)) as drawn:
            async for one in drawn:
                if isinstance(one, Picture):
                    size = {"size": f"{one.width}x{one.height}", "usage": usage(asked, [one])}
                    yield _event(f"{kind}.completed", {**_rendered(asked, one.content), **size})
                elif shown[one.index] < asked.partial_images:
                    which = {"size": _size(asked), "partial_image_index": shown[one.index]}
                    shown[one.index] += 1
                    yield _event(f"{kind}.partial_image", {**_rendered(asked, one.content), **which})

    async def _drawn(self, asked: Asked) -> AsyncGenerator[Preview | Picture, None]:
        """The previews and pictures of a job. Raises Cancelled where its owner interrupted it."""
        owner = calls.owner()
        if asked.edit is None:
            job = self._studio.draw(owner, asked.settings, asked.output)
        else:
            job = self._studio.edit(owner, asked.settings, asked.edit, asked.output)
        async with aclosing(job) as events:
            async for event in events:
                if isinstance(event, Preview | Picture):
                    yield event
                elif isinstance(event, Job) and event.state is JobState.CANCELLED:
                    raise Cancelled("The job was interrupted; pictures that were done are kept: GET /api/v1/images.")


async def _named(parts: Parts) -> AsyncIterator[httpbody_pb2.HttpBody]:
    """The parts of an answer, with the client's names of fields in what goes wrong."""
    try:
        async with aclosing(parts):
            async for part in parts:
                yield part
    except ParleyError as error:
        rename(error, FIELDS)
        raise


def usage(asked: Asked, pictures: list[Picture]) -> dict[str, Any]:
    """What OpenAI's clients read as tokens: the prompt's words, and pictures' patches of PATCH by PATCH pixels."""
    words = len(asked.settings.prompt.split())
    patches = sum((one.width // PATCH) * (one.height // PATCH) for one in pictures)
    read = (pictures[0].width // PATCH) * (pictures[0].height // PATCH) if asked.edit and pictures else 0
    return {
        "input_tokens": words + read,
        "input_tokens_details": {"text_tokens": words, "image_tokens": read},
        "output_tokens": patches,
        "total_tokens": words + read + patches,
    }


def _whole(asked: Asked, pictures: list[Picture], urls: list[str]) -> bytes:
    """The answer as one JSON object, with the pictures' addresses where there are any, else with their bytes."""
    size = f"{pictures[0].width}x{pictures[0].height}" if pictures else _size(asked)
    return dumped(
        {
            "created": int(time.time()),
            "data": [{"url": url} for url in urls] or [{"b64_json": encoded(one.content)} for one in pictures],
            "background": "opaque",
            "output_format": asked.output.format.value,
            "quality": asked.quality,
            "size": size,
            "usage": usage(asked, pictures),
        }
    )


def _rendered(asked: Asked, content: bytes) -> dict[str, Any]:
    """What an event of a picture has."""
    return {
        "b64_json": encoded(content),
        "created_at": int(time.time()),
        "background": "opaque",
        "output_format": asked.output.format.value,
        "quality": asked.quality,
    }


def _size(asked: Asked) -> str:
    """The size that was asked for; a preview may be smaller than its picture."""
    width, height = asked.settings.width, asked.settings.height
    return f"{width}x{height}" if width and height else "auto"


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + dumped({"type": kind, **fields}) + b"\n\n"


def bound(studio: Studio, address: Address, links: Links) -> Bound:
    """What to serve."""
    return Bound(
        openai_pb2_grpc.add_ImagesServiceServicer_to_server,
        ImagesServicer(studio, address, links),
        openai_pb2.DESCRIPTOR.services_by_name["ImagesService"],
    )
