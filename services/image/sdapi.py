"""StableDiffusionService: the API of A1111's web UI over the studio.

What is a state of the whole server there (progress, interrupt, skip, options) is the caller's own here: nobody sees or
stops another one's job.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from google.api import httpbody_pb2

from parley.sdapi.v1 import sdapi_pb2, sdapi_pb2_grpc
from services.image import (
    bodies,
    encoded,
    infotext,
    pictures,
    png_info,
    preprocess,
    sdapi_answer,
    sdapi_drawing,
    sdapi_lists,
)
from services.image.catalog import Catalog
from services.image.drawing import Current, Format, Job, JobState, Picture
from services.image.extras import Extra
from services.image.options import Kept, Options
from services.image.sdapi_drawing import Wanted
from services.image.sdapi_errors import said
from services.image.sdapi_request import Detect, Drawing, ExtraBatch, ExtraSingle, Img2Img, PngInfo, Txt2Img
from services.image.sdapi_units import preprocessor
from services.image.studio import Studio
from services.mesh import context as calls
from services.mesh.errors import InvalidArgument, NotFound, ParleyError, rename
from services.mesh.openai import json_body, with_envelope
from services.mesh.server import Bound

Answers = AsyncIterator[Any]
List = Callable[[Catalog], Any]
NEWEST = 100
"""Jobs that are looked at to find those that run."""


class StableDiffusionServicer(sdapi_pb2_grpc.StableDiffusionServiceServicer):
    """Serves parley.sdapi.v1.StableDiffusionService.

    Args:
        studio: Does the work.
        kept: Keeps options.
        max_pixels: How many a picture of a request may have.
    """

    def __init__(self, studio: Studio, kept: Kept, max_pixels: int) -> None:
        self._studio, self._kept, self._max_pixels = studio, kept, max_pixels
        self._extra = Extra(studio, max_pixels)

    def TextToImage(self, request: sdapi_pb2.TextToImageRequest, context: Any) -> Answers:
        """Draws pictures from a text."""
        return _answer(context, sdapi_pb2.TextToImageResponse, lambda: self._draw(request.body.data, Txt2Img))

    def ImageToImage(self, request: sdapi_pb2.ImageToImageRequest, context: Any) -> Answers:
        """Draws a picture anew, or what a mask marks of it."""
        return _answer(context, sdapi_pb2.ImageToImageResponse, lambda: self._draw(request.body.data, Img2Img))

    def ExtraSingleImage(self, request: sdapi_pb2.ExtraSingleImageRequest, context: Any) -> Answers:
        """Enlarges a picture."""
        return _answer(context, sdapi_pb2.ExtraSingleImageResponse, lambda: self._single(request.body.data))

    def ExtraBatchImages(self, request: sdapi_pb2.ExtraBatchImagesRequest, context: Any) -> Answers:
        """Enlarges several pictures."""
        return _answer(context, sdapi_pb2.ExtraBatchImagesResponse, lambda: self._batch(request.body.data))

    def GetPngInfo(self, request: sdapi_pb2.GetPngInfoRequest, context: Any) -> Answers:
        """Reads how a picture was drawn."""
        return _answer(context, sdapi_pb2.GetPngInfoResponse, lambda: self._png_info(request.body.data))

    def GetProgress(self, request: sdapi_pb2.GetProgressRequest, context: Any) -> Answers:
        """How far the caller's job is."""
        return _answer(context, sdapi_pb2.GetProgressResponse, lambda: self._progress(request))

    def Interrupt(self, request: sdapi_pb2.InterruptRequest, context: Any) -> Answers:
        """Stops the caller's job."""
        return _answer(context, sdapi_pb2.InterruptResponse, lambda: self._stop(self._studio.interrupt, {}))

    def Skip(self, request: sdapi_pb2.SkipRequest, context: Any) -> Answers:
        """Ends the pictures that are being drawn for the caller, and goes on with the next."""
        return _answer(context, sdapi_pb2.SkipResponse, lambda: self._stop(self._studio.skip, None))

    def GetOptions(self, request: sdapi_pb2.GetOptionsRequest, context: Any) -> Answers:
        """The caller's options."""
        return _answer(context, sdapi_pb2.GetOptionsResponse, self._options)

    def SetOptions(self, request: sdapi_pb2.SetOptionsRequest, context: Any) -> Answers:
        """Sets some of the caller's options."""
        return _answer(context, sdapi_pb2.SetOptionsResponse, lambda: self._set_options(request.body.data))

    def DetectControl(self, request: sdapi_pb2.DetectControlRequest, context: Any) -> Answers:
        """Prepares pictures for a ControlNet."""
        return _answer(context, sdapi_pb2.DetectControlResponse, lambda: self._detect(request.body.data))

    def RefreshModels(self, request: sdapi_pb2.RefreshModelsRequest, context: Any) -> Answers:
        """Looks for models again."""
        return _answer(context, sdapi_pb2.RefreshModelsResponse, self._refresh)

    def RefreshLoras(self, request: sdapi_pb2.RefreshLorasRequest, context: Any) -> Answers:
        """Looks for LoRAs again."""
        return _answer(context, sdapi_pb2.RefreshLorasResponse, self._refresh)

    def ListSamplers(self, request: sdapi_pb2.ListSamplersRequest, context: Any) -> Answers:
        """The samplers."""
        return self._list(context, sdapi_pb2.ListSamplersResponse, sdapi_lists.samplers)

    def ListSchedulers(self, request: sdapi_pb2.ListSchedulersRequest, context: Any) -> Answers:
        """The noise schedules."""
        return self._list(context, sdapi_pb2.ListSchedulersResponse, sdapi_lists.schedulers)

    def ListUpscalers(self, request: sdapi_pb2.ListUpscalersRequest, context: Any) -> Answers:
        """What enlarges pictures."""
        return self._list(context, sdapi_pb2.ListUpscalersResponse, sdapi_lists.upscalers)

    def ListLatentUpscaleModes(self, request: sdapi_pb2.ListLatentUpscaleModesRequest, context: Any) -> Answers:
        """What clients may name in between two passes besides."""
        return self._list(context, sdapi_pb2.ListLatentUpscaleModesResponse, sdapi_lists.latent_upscale_modes)

    def ListModels(self, request: sdapi_pb2.ListModelsRequest, context: Any) -> Answers:
        """The models."""
        return self._list(context, sdapi_pb2.ListModelsResponse, sdapi_lists.models)

    def ListVaes(self, request: sdapi_pb2.ListVaesRequest, context: Any) -> Answers:
        """The decoders that can be exchanged: none."""
        return self._list(context, sdapi_pb2.ListVaesResponse, sdapi_lists.none)

    def ListLoras(self, request: sdapi_pb2.ListLorasRequest, context: Any) -> Answers:
        """The LoRAs."""
        return self._list(context, sdapi_pb2.ListLorasResponse, sdapi_lists.loras)

    def ListHypernetworks(self, request: sdapi_pb2.ListHypernetworksRequest, context: Any) -> Answers:
        """The hypernetworks: none."""
        return self._list(context, sdapi_pb2.ListHypernetworksResponse, sdapi_lists.none)

    def ListFaceRestorers(self, request: sdapi_pb2.ListFaceRestorersRequest, context: Any) -> Answers:
        """What restores faces."""
        return self._list(context, sdapi_pb2.ListFaceRestorersResponse, sdapi_lists.face_restorers)

    def ListRealEsrganModels(self, request: sdapi_pb2.ListRealEsrganModelsRequest, context: Any) -> Answers:
        """The upscalers that have weights."""
        return self._list(context, sdapi_pb2.ListRealEsrganModelsResponse, sdapi_lists.realesrgan_models)

    def ListPromptStyles(self, request: sdapi_pb2.ListPromptStylesRequest, context: Any) -> Answers:
        """The prompt styles: none."""
        return self._list(context, sdapi_pb2.ListPromptStylesResponse, sdapi_lists.none)

    def ListEmbeddings(self, request: sdapi_pb2.ListEmbeddingsRequest, context: Any) -> Answers:
        """The textual inversions: none."""
        return self._list(context, sdapi_pb2.ListEmbeddingsResponse, sdapi_lists.embeddings)

    def GetMemory(self, request: sdapi_pb2.GetMemoryRequest, context: Any) -> Answers:
        """The memory of the model server."""
        return self._list(context, sdapi_pb2.GetMemoryResponse, sdapi_lists.memory)

    def ListScripts(self, request: sdapi_pb2.ListScriptsRequest, context: Any) -> Answers:
        """The scripts by name."""
        return self._list(context, sdapi_pb2.ListScriptsResponse, sdapi_lists.scripts)

    def ListScriptInfo(self, request: sdapi_pb2.ListScriptInfoRequest, context: Any) -> Answers:
        """The scripts with their arguments."""
        return self._list(context, sdapi_pb2.ListScriptInfoResponse, sdapi_lists.script_info)

    def ListExtensions(self, request: sdapi_pb2.ListExtensionsRequest, context: Any) -> Answers:
        """The extensions: none."""
        return self._list(context, sdapi_pb2.ListExtensionsResponse, sdapi_lists.none)

    def GetCommandFlags(self, request: sdapi_pb2.GetCommandFlagsRequest, context: Any) -> Answers:
        """How the server was started."""
        return self._list(context, sdapi_pb2.GetCommandFlagsResponse, sdapi_lists.command_flags)

    def ListControlNetModels(self, request: sdapi_pb2.ListControlNetModelsRequest, context: Any) -> Answers:
        """The ControlNets."""
        return self._list(
            context, sdapi_pb2.ListControlNetModelsResponse, sdapi_lists.control_models, refresh=request.update
        )

    def ListControlNetModules(self, request: sdapi_pb2.ListControlNetModulesRequest, context: Any) -> Answers:
        """What prepares pictures for ControlNets."""
        return self._list(context, sdapi_pb2.ListControlNetModulesResponse, sdapi_lists.control_modules)

    def ListControlNetTypes(self, request: sdapi_pb2.ListControlNetTypesRequest, context: Any) -> Answers:
        """The ControlNets by kind."""
        return self._list(context, sdapi_pb2.ListControlNetTypesResponse, sdapi_lists.control_types)

    def _list(self, context: Any, response: Callable[..., Any], listed: List, *, refresh: bool = False) -> Answers:
        """What the catalog says, as `listed` puts it."""

        async def answer() -> bytes:
            return bodies.dumped(listed(await self._studio.catalog(refresh=refresh)))

        return _answer(context, response, answer)

    async def _refresh(self) -> bytes:
        await self._studio.catalog(refresh=True)
        return bodies.dumped(None)

    async def _draw(self, raw: bytes, kind: type[Txt2Img | Img2Img]) -> bytes:
        """A drawing from its request to its answer."""
        owner, begun = calls.owner(), datetime.now(UTC)
        # Megabytes are taken apart and pictures decoded: other calls must not wait for it.
        request = await asyncio.to_thread(bodies.read, kind, raw)
        sdapi_drawing.with_infotext(request)
        catalog = await self._studio.catalog()
        options = Options(await self._kept.options(owner))
        changes = request.override_settings or {}
        chosen = options.changed(changes, catalog, "override_settings")
        wanted = await asyncio.to_thread(self._wanted, request, chosen, catalog)
        if changes and request.override_settings_restore_afterwards is False:
            await self._kept.change(owner, lambda values: Options(values).changed(changes, catalog).values)
        try:
            drawn = [await self._finished(owner, wanted, one) for one in await self._drawn(owner, wanted)]
        except ParleyError as error:
            rename(error, wanted.fields)
            raise
        return await asyncio.to_thread(_answered, request, wanted, drawn, begun)

    def _wanted(self, request: Drawing, options: Options, catalog: Catalog) -> Wanted:
        if isinstance(request, Img2Img):
            return sdapi_drawing.image_to_image(request, options, catalog, self._max_pixels)
        assert isinstance(request, Txt2Img)
        return sdapi_drawing.text_to_image(request, options, catalog, self._max_pixels)

    async def _drawn(self, owner: str, wanted: Wanted) -> list[Picture]:
        """The pictures of a job; those that were done where it was interrupted, as the web UI does."""
        # What is worked on afterwards must not lose twice.
        output = replace(wanted.output, format=Format.PNG) if wanted.put_back or wanted.face_restorer else wanted.output
        if wanted.edit is None:
            job = self._studio.draw(owner, wanted.settings, output, wanted.job_id)
        else:
            job = self._studio.edit(owner, wanted.settings, wanted.edit, output, wanted.job_id)
        async with aclosing(job) as events:
            return [event async for event in events if isinstance(event, Picture)]

    async def _finished(self, owner: str, wanted: Wanted, drawn: Picture) -> Picture:
        """A picture with its faces restored, and in its place, where that is wanted."""
        content = drawn.content
        if wanted.face_restorer:
            restored = await self._studio.upscale(
                owner, content, scale=1, face_restorer=wanted.face_restorer, keep=False
            )
            content = restored.content
        if wanted.put_back is not None:
            content = await asyncio.to_thread(wanted.put_back.picture, content, drawn.infotext, wanted.output)
        elif wanted.face_restorer:
            content = await asyncio.to_thread(_told, content, drawn.infotext, wanted, self._max_pixels)
        return replace(drawn, content=content)

    async def _single(self, raw: bytes) -> bytes:
        request = await asyncio.to_thread(bodies.read, ExtraSingle, raw)
        catalog = await self._studio.catalog()
        made = await self._extra.made(calls.owner(), request, "image", request.image, catalog)
        return bodies.dumped({"html_info": "", "image": encoded.encoded(made)})

    async def _batch(self, raw: bytes) -> bytes:
        request = await asyncio.to_thread(bodies.read, ExtraBatch, raw)
        catalog, made = await self._studio.catalog(), []
        for place, file in enumerate(request.imageList):
            field = f"imageList[{place}].data"
            try:
                made.append(await self._extra.made(calls.owner(), request, field, file.data, catalog))
            except ParleyError as error:
                rename(error, {"image": field})
                raise
        return bodies.dumped({"html_info": "", "images": [encoded.encoded(one) for one in made]})

    async def _png_info(self, raw: bytes) -> bytes:
        request = await asyncio.to_thread(bodies.read, PngInfo, raw)
        content = encoded.picture("image", request.image.strip())
        text, items = await asyncio.to_thread(png_info.texts, content, "image", self._max_pixels)
        parameters = infotext.fields_of(text) if text else {}
        return bodies.dumped({"info": text, "items": items, "parameters": parameters})

    async def _progress(self, request: sdapi_pb2.GetProgressRequest) -> bytes:
        owner = calls.owner()
        current = await self._studio.current(owner)
        if request.id_task and (current is None or current.job.id != request.id_task):
            try:
                current = Current(await self._studio.job(owner, request.id_task), None)
            except NotFound:
                # Asked before the drawing itself arrived.
                current = None
        return bodies.dumped(sdapi_answer.progress(current, image=not request.skip_current_image))

    async def _stop(self, stop: Callable[[str, str], Awaitable[Job]], answer: Any) -> bytes:
        """Stops, or skips in, the jobs of the caller that run; without one, the newest that waits."""
        owner = calls.owner()
        jobs, _next = await self._studio.jobs(owner, NEWEST)
        running = [job for job in jobs if job.state is JobState.RUNNING]
        waiting = [job for job in jobs if job.state is JobState.QUEUED]
        for job in running or waiting[:1]:
            await stop(owner, job.id)
        return bodies.dumped(answer)

    async def _options(self) -> bytes:
        kept = await self._kept.options(calls.owner())
        return bodies.dumped(Options(kept).shown(await self._studio.catalog()))

    async def _set_options(self, raw: bytes) -> bytes:
        changes, catalog = bodies.read_object(raw), await self._studio.catalog()
        await self._kept.change(calls.owner(), lambda values: Options(values).changed(changes, catalog).values)
        return bodies.dumped(None)

    async def _detect(self, raw: bytes) -> bytes:
        request = await asyncio.to_thread(bodies.read, Detect, raw)
        given = request.controlnet_input_images or request.controlnet_images or []
        if not given:
            raise InvalidArgument("controlnet_input_images", "is required: pictures in base64")
        module = preprocessor(request.controlnet_module, "controlnet_module")
        made = [
            await asyncio.to_thread(self._prepared, text, f"controlnet_input_images[{place}]", module)
            for place, text in enumerate(given)
        ]
        return bodies.dumped({"info": "Success", "images": made})

    def _prepared(self, text: str, field: str, module: str) -> str:
        image = pictures.opaque(pictures.read(encoded.picture(field, text), field, self._max_pixels))
        array = pictures.pixels(image)
        made = preprocess.PREPROCESSORS[module](array) if module else array
        return encoded.encoded(pictures.write(made, Format.PNG, 100))


def _answered(request: Drawing, wanted: Wanted, drawn: list[Picture], begun: datetime) -> bytes:
    """The answer to a drawing."""
    return bodies.dumped(
        {
            "images": [encoded.encoded(one.content) for one in drawn] if request.send_images is not False else [],
            "parameters": sdapi_answer.parameters(request, wanted),
            "info": bodies.dumped(sdapi_answer.info(request, wanted, drawn, begun)).decode(),
        }
    )


def _told(content: bytes, text: str, wanted: Wanted, max_pixels: int) -> bytes:
    """A picture with the text of its making."""
    image = pictures.opaque(pictures.read(content, "image", max_pixels))
    return pictures.write(pictures.pixels(image), wanted.output.format, wanted.output.quality, text)


def _answer(context: Any, response: Callable[..., Any], answer: Callable[[], Awaitable[bytes]]) -> Answers:
    """An RPC's answer in pieces, its errors as the web UI's clients read them."""

    async def parts() -> AsyncIterator[httpbody_pb2.HttpBody]:
        for piece in bodies.pieces(await answer()):
            yield json_body(piece)

    return with_envelope(context, parts(), lambda body: response(body=body), said)


def bound(studio: Studio, kept: Kept, max_pixels: int) -> Bound:
    """What to serve."""
    return Bound(
        sdapi_pb2_grpc.add_StableDiffusionServiceServicer_to_server,
        StableDiffusionServicer(studio, kept, max_pixels),
        sdapi_pb2.DESCRIPTOR.services_by_name["StableDiffusionService"],
    )
