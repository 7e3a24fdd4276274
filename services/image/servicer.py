"""ImageService: pb ⇄ domain."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from google.api import httpbody_pb2

from parley.image.v1 import image_pb2 as pb2
from parley.image.v1 import image_pb2_grpc
from services.image.converters import edit_of, event_pb, image_pb, job_pb, model_pb, output_of, settings_of
from services.image.drawing import Picture
from services.image.errors import LinkNotValid
from services.image.links import Links
from services.image.preprocess import PREPROCESSORS
from services.image.studio import Studio
from services.mesh.context import owner
from services.mesh.errors import NotFound
from services.mesh.server import Bound


class ImageServicer(image_pb2_grpc.ImageServiceServicer):
    """Serves parley.image.v1.ImageService.

    Args:
        studio: Does the work.
        links: Makes and checks links to pictures.
    """

    def __init__(self, studio: Studio, links: Links) -> None:
        self._studio, self._links = studio, links

    async def Generate(self, request: pb2.GenerateRequest, context: Any) -> AsyncIterator[pb2.GenerateResponse]:
        """Draws pictures from a text."""
        drawn = self._studio.draw(owner(), settings_of(request.settings), output_of(request.output), request.job_id)
        async with aclosing(drawn) as events:
            async for event in events:
                yield pb2.GenerateResponse(event=event_pb(event, self._links, content=not request.output.omit_content))

    async def Edit(self, request: pb2.EditRequest, context: Any) -> AsyncIterator[pb2.EditResponse]:
        """Draws a picture anew, or a part of it."""
        drawn = self._studio.edit(
            owner(), settings_of(request.settings), edit_of(request), output_of(request.output), request.job_id
        )
        async with aclosing(drawn) as events:
            async for event in events:
                yield pb2.EditResponse(event=event_pb(event, self._links, content=not request.output.omit_content))

    async def Upscale(self, request: pb2.UpscaleRequest, context: Any) -> pb2.UpscaleResponse:
        """Enlarges a picture."""
        picture = await self._studio.upscale(
            owner(),
            request.image,
            scale=request.scale or 2.0,
            upscaler=request.upscaler,
            face_restorer=request.face_restorer,
            output=output_of(request.output),
        )
        return pb2.UpscaleResponse(image=image_pb(picture, self._links, content=not request.output.omit_content))

    async def Interrupt(self, request: pb2.InterruptRequest, context: Any) -> pb2.InterruptResponse:
        """Stops a job."""
        return pb2.InterruptResponse(job=job_pb(await self._studio.interrupt(owner(), _id(request.name))))

    async def GetJob(self, request: pb2.GetJobRequest, context: Any) -> pb2.GetJobResponse:
        """Gets a job."""
        return pb2.GetJobResponse(job=job_pb(await self._studio.job(owner(), _id(request.name))))

    async def ListJobs(self, request: pb2.ListJobsRequest, context: Any) -> pb2.ListJobsResponse:
        """Lists jobs, the newest first."""
        jobs, token = await self._studio.jobs(owner(), request.page_size, request.page_token)
        return pb2.ListJobsResponse(jobs=map(job_pb, jobs), next_page_token=token)

    async def DownloadImage(
        self, request: pb2.DownloadImageRequest, context: Any
    ) -> AsyncIterator[pb2.DownloadImageResponse]:
        """Gives the bytes of a picture."""
        picture, content = await self._studio.open(owner(), _id(request.name))
        async with aclosing(_bodies(picture, content, context)) as bodies:
            async for body in bodies:
                yield pb2.DownloadImageResponse(body=body)

    async def ViewImage(self, request: pb2.ViewImageRequest, context: Any) -> AsyncIterator[pb2.ViewImageResponse]:
        """Gives the bytes of a picture to whoever has a link to it."""
        identifier = _id(request.name)
        self._links.check(request.organisation, identifier, request.expires, request.signature)
        try:
            picture, content = await self._studio.open_for(request.organisation, identifier)
            async with aclosing(_bodies(picture, content, context, request.expires)) as bodies:
                async for body in bodies:
                    yield pb2.ViewImageResponse(body=body)
        except NotFound:
            raise LinkNotValid from None

    async def GetImage(self, request: pb2.GetImageRequest, context: Any) -> pb2.GetImageResponse:
        """Gets what is known of a picture."""
        picture = await self._studio.picture(owner(), _id(request.name))
        return pb2.GetImageResponse(image=image_pb(picture, self._links))

    async def BatchGetImages(self, request: pb2.BatchGetImagesRequest, context: Any) -> pb2.BatchGetImagesResponse:
        """Gets what is known of several pictures."""
        found = await self._studio.several(owner(), [_id(name) for name in request.names])
        return pb2.BatchGetImagesResponse(images=[image_pb(picture, self._links) for picture in found])

    async def ListImages(self, request: pb2.ListImagesRequest, context: Any) -> pb2.ListImagesResponse:
        """Lists pictures, the newest first."""
        pictures, token = await self._studio.pictures(owner(), request.page_size, request.page_token)
        return pb2.ListImagesResponse(
            images=[image_pb(picture, self._links) for picture in pictures], next_page_token=token
        )

    async def DeleteImage(self, request: pb2.DeleteImageRequest, context: Any) -> pb2.DeleteImageResponse:
        """Deletes a picture."""
        await self._studio.delete(owner(), _id(request.name))
        return pb2.DeleteImageResponse()

    async def ListModels(self, request: pb2.ListModelsRequest, context: Any) -> pb2.ListModelsResponse:
        """Lists the models, the default first."""
        return pb2.ListModelsResponse(models=map(model_pb, (await self._studio.catalog()).models))

    async def ListLoras(self, request: pb2.ListLorasRequest, context: Any) -> pb2.ListLorasResponse:
        """Lists the LoRAs."""
        loras = (await self._studio.catalog()).loras
        return pb2.ListLorasResponse(
            loras=[pb2.Lora(id=one.id, title=one.title, fault=one.fault, size=one.size) for one in loras]
        )

    async def ListControlNets(self, request: pb2.ListControlNetsRequest, context: Any) -> pb2.ListControlNetsResponse:
        """Lists the ControlNets, and what prepares pictures for them."""
        nets = (await self._studio.catalog()).control_nets
        return pb2.ListControlNetsResponse(
            control_nets=[pb2.ControlNet(id=net.id, title=net.title, fault=net.fault) for net in nets],
            preprocessors=PREPROCESSORS,
        )

    async def ListSamplers(self, request: pb2.ListSamplersRequest, context: Any) -> pb2.ListSamplersResponse:
        """Lists the samplers."""
        samplers = (await self._studio.catalog()).samplers
        return pb2.ListSamplersResponse(samplers=[pb2.Sampler(name=one.name, aliases=one.aliases) for one in samplers])

    async def ListUpscalers(self, request: pb2.ListUpscalersRequest, context: Any) -> pb2.ListUpscalersResponse:
        """Lists what enlarges pictures and restores faces."""
        found = await self._studio.catalog()
        return pb2.ListUpscalersResponse(
            upscalers=[pb2.Upscaler(name=one.name, scale=one.scale) for one in found.upscalers],
            face_restorers=found.face_restorers,
        )


def bound(studio: Studio, links: Links) -> Bound:
    """What to serve."""
    return Bound(
        image_pb2_grpc.add_ImageServiceServicer_to_server,
        ImageServicer(studio, links),
        pb2.DESCRIPTOR.services_by_name["ImageService"],
    )


async def _bodies(
    picture: Picture, content: AsyncGenerator[bytes, None], context: Any, until: float = math.inf
) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
    """A picture's bytes as they come from the store, after the headers.

    Args:
        picture: It.
        content: The bytes, which are closed in the end.
        context: The call's.
        until: When it shall be seen no longer: seconds since 1970.
    """
    async with aclosing(content) as pieces:
        sent = False
        async for piece in pieces:
            if not sent:  # not before the store has answered: what fails has other headers
                await context.send_initial_metadata(_headers(picture, until))
                sent = True
            yield httpbody_pb2.HttpBody(content_type=picture.content_type, data=piece)


def _headers(picture: Picture, until: float) -> tuple[tuple[str, str], ...]:
    """Headers of a picture's bytes, which never change: the gateway passes them on as they are."""
    left = max(0, int(min(picture.expire_time.timestamp(), until) - time.time()))
    extension = picture.content_type.rpartition("/")[2]
    return (
        ("cache-control", f"private, max-age={left}, immutable"),
        ("etag", f'"{picture.id}"'),
        # Shown where it is asked for, and saved under a name of its own.
        ("content-disposition", f'inline; filename="{picture.id}.{extension}"'),
        ("x-content-type-options", "nosniff"),
    )


def _id(name: str) -> str:
    """images/{id} or imageJobs/{id} → id."""
    return name.partition("/")[2]
