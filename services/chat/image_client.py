"""The image service as chat uses it: the tool image.generate. Cancelling the answer stops the picture within a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from parley.image.v1 import image_pb2, image_pb2_grpc
from services.chat import converters
from services.chat.models import ModelInfo
from services.chat.tools import GENERATE, Drawing, Picture, Report, ToolContext, ToolSpec
from services.mesh import status, telemetry
from services.mesh.certificates import Certificates
from services.mesh.channels import channel
from services.mesh.errors import Cancelled, InvalidArgument, ParleyError

log = telemetry.get_logger(__name__)

# A preview after every so many steps: enough to watch, little beside what a step costs.
PREVIEW_STEPS = 5
# Pictures whose links are asked for at once, and the longest wait for them, in seconds.
MAX_LINKS = 1000
LINK_SECONDS = 2.0
MAX_PROMPT = 10_000
MAX_PICTURES = 16
MAX_SIDE = 4096
MAX_SEED = (1 << 32) - 1
INTEGERS: Mapping[str, tuple[int, int, str]] = {
    "count": (1, MAX_PICTURES, "How many pictures; 1 where it is left out."),
    "width": (8, MAX_SIDE, "In pixels, a multiple of 8. Leave it out: the model knows what it was trained for."),
    "height": (8, MAX_SIDE, "As the width."),
    "seed": (0, MAX_SEED, "The same seed and settings give the same picture; left out: by chance."),
}
PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {
            "type": "string",
            "maxLength": MAX_PROMPT,
            "description": "What to draw, as the person described it.",
        },
        "negative_prompt": {"type": "string", "maxLength": MAX_PROMPT, "description": "What not to draw."},
        **{
            name: {"type": "integer", "minimum": least, "maximum": most, "description": text}
            for name, (least, most, text) in INTEGERS.items()
        },
        "model": {"type": "string", "maxLength": 200, "description": "Left out: the deployment's default."},
    },
    "required": ["prompt"],
}


class Painter:
    """What chat knows of the image service.

    Args:
        target: That service, host:port.
        timeout: Longest time of a request, its waiting in the queue included, in seconds.
        public_url: The gateway's address as clients see it, before the paths of pictures; empty: paths alone.
        certificates: Our own, where that service wants one.
    """

    def __init__(
        self, target: str, timeout: float, public_url: str = "", certificates: Certificates | None = None
    ) -> None:
        self._channel = channel(target, certificates)
        self._stub = image_pb2_grpc.ImageServiceStub(self._channel)
        self._timeout = timeout
        self._base = public_url.rstrip("/")

    async def generate(self, settings: image_pb2.Settings, context: ToolContext) -> Drawing:
        """Draws; tells of the progress. Pictures that are done stay, when a later one of the request fails.

        Raises:
            ParleyError: No picture was drawn.
        """
        output = image_pb2.Output(omit_content=True)
        if context.looks:
            output = image_pb2.Output(preview_interval=PREVIEW_STEPS)
        request = image_pb2.GenerateRequest(settings=settings, output=output)
        sheet = _Sheet(settings, self._base, context.report)
        try:
            async for response in self._stub.Generate(request, timeout=self._timeout):
                sheet.take(response.event)
        except grpc.aio.AioRpcError as error:
            return sheet.drawing(status.from_rpc_error(error))
        except ParleyError as error:
            return sheet.drawing(error)
        return sheet.drawing()

    async def models(self) -> list[ModelInfo]:
        """The models that draw."""
        try:
            answer = await self._stub.ListModels(image_pb2.ListModelsRequest(), timeout=min(2.0, self._timeout))
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from error
        return [ModelInfo(m.id, "parley", m.description) for m in answer.models if not m.fault]

    async def links(self, names: Sequence[str]) -> Mapping[str, str]:
        """Links to the first MAX_LINKS of some pictures, by their names; without those that are gone.

        None while the image service is away: an old conversation can be read without its pictures.
        """
        request = image_pb2.BatchGetImagesRequest(names=names[:MAX_LINKS])
        try:
            answer = await self._stub.BatchGetImages(request, timeout=min(LINK_SECONDS, self._timeout))
        except grpc.aio.AioRpcError as error:
            log.warning("pictures have no links", code=error.code().name)
            return {}
        return {image.name: image.link for image in answer.images if image.link}

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


class _Sheet:
    """What has come of a request so far.

    Args:
        settings: The request's.
        base: What goes before the paths of pictures.
        report: Told of the progress.
    """

    def __init__(self, settings: image_pb2.Settings, base: str, report: Report) -> None:
        self._settings = settings
        self._base = base
        self._report = report
        self._model = settings.model
        self._pictures: list[Picture] = []
        self._progress = 0.0
        self._remaining: float | None = None

    def take(self, event: image_pb2.JobEvent) -> None:
        """The next event. Raises ParleyError for a job that failed or was stopped."""
        match event.WhichOneof("event"):
            case "job":
                self._follow(event.job)
            case "progress":
                self._tell(event.progress)
            case "preview":
                self._report(self._progress, self._remaining, converters.from_preview(event.preview))
            case "image":
                self._pictures.append(converters.from_image(event.image, self._base))
                self._model = event.image.model

    def _follow(self, job: image_pb2.Job) -> None:
        if job.state == image_pb2.JOB_STATE_FAILED:
            raise status.from_status(job.error)
        if job.state == image_pb2.JOB_STATE_CANCELLED:
            raise Cancelled("Somebody stopped the drawing.")
        if job.state != image_pb2.JOB_STATE_SUCCEEDED:
            self._tell(job.progress)

    def _tell(self, progress: image_pb2.Progress) -> None:
        known = progress.HasField("remaining")
        self._progress = progress.progress
        self._remaining = progress.remaining.ToMilliseconds() / 1000 if known else None
        self._report(self._progress, self._remaining)

    def drawing(self, failed: ParleyError | None = None) -> Drawing:
        """What was drawn, though it failed in the end. Raises the failure where there is nothing."""
        wanted = max(1, self._settings.count)
        if failed is None and len(self._pictures) < wanted:
            failed = ParleyError("The image service broke off its answer.")
        if failed is not None and not self._pictures:
            raise failed
        fault = failed.message if failed is not None else ""
        return Drawing(self._settings.prompt, self._model, tuple(self._pictures), wanted, fault)


class GenerateTool:
    """image.generate.

    Args:
        painter: What draws.
    """

    spec = ToolSpec(
        GENERATE,
        "Draws pictures from a description. Charts of data are none: ask the database for their figures instead.",
        PARAMETERS,
    )

    def __init__(self, painter: Painter) -> None:
        self._painter = painter

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> Drawing:
        """Draws what is described, in the model's own size where none is given."""
        if not str(arguments["prompt"]).strip():
            raise InvalidArgument("prompt", "must say what to draw.")
        return await self._painter.generate(image_pb2.Settings(**arguments), context)
