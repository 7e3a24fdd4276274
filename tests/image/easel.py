"""The real image service for tests, in front of an engine, and what tests do with its stub."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from parley.image.v1 import image_pb2 as pb2
from parley.image.v1 import image_pb2_grpc
from services.image.application import Application
from services.image.engine import Engine
from services.image.settings import ImageSettings
from services.mesh import channels, server


class Easel:
    """A service that runs.

    Args:
        application: The service.
        stub: Calls it.
        address: host:port, for those who call it by themselves.
    """

    def __init__(self, application: Application, stub: Any, address: str = "") -> None:
        self.application, self.stub, self.address = application, stub, address

    async def draw(self, *, owner: str = "", job_id: str = "", output: Any = None, **settings: Any) -> list[Any]:
        """Every event of a drawing."""
        call = self.begin(owner=owner, job_id=job_id, output=output, **settings)
        return [response.event async for response in call]

    def begin(self, *, owner: str = "", job_id: str = "", output: Any = None, **settings: Any) -> Any:
        """A drawing that is under way."""
        request = pb2.GenerateRequest(settings=pb2.Settings(**settings), output=output, job_id=job_id)
        return self.stub.Generate(request, metadata=identity(owner))

    async def edit(self, image: bytes, *, owner: str = "", settings: Any = None, **fields: Any) -> list[Any]:
        """Every event of an edit."""
        request = pb2.EditRequest(settings=settings or pb2.Settings(prompt="x"), image=image, **fields)
        return [response.event async for response in self.stub.Edit(request, metadata=identity(owner))]

    async def job(self, name: str, owner: str = "") -> Any:
        """A job."""
        request = pb2.GetJobRequest(name=f"imageJobs/{name}")
        return (await self.stub.GetJob(request, metadata=identity(owner))).job

    async def interrupt(self, name: str, owner: str = "") -> Any:
        """Stops a job."""
        request = pb2.InterruptRequest(name=f"imageJobs/{name}")
        return (await self.stub.Interrupt(request, metadata=identity(owner))).job

    async def download(self, name: str, owner: str = "") -> tuple[bytes, dict[str, str]]:
        """A picture's bytes, and the headers that come with them."""
        call = self.stub.DownloadImage(pb2.DownloadImageRequest(name=name), metadata=identity(owner))
        data = b"".join([part.body.data async for part in call])
        return data, dict(await call.initial_metadata())


@asynccontextmanager
async def serve(engine: Engine | None, folder: Path, **settings: Any) -> AsyncIterator[Easel]:
    """The service with storage in a folder, unless the settings say where."""
    stored = {"database_url": f"sqlite:///{folder}/image.db", "pictures_url": f"{folder}/pictures"}
    chosen = ImageSettings(**(stored | {"drain_seconds": 1} | settings))
    application = Application(chosen, engine)
    await application.start()
    try:
        async with (
            server.running(chosen, application.bound) as address,
            channels.channel(address) as made,
        ):
            yield Easel(application, image_pb2_grpc.ImageServiceStub(made), address)
    finally:
        await application.close()


def identity(owner: str) -> tuple[tuple[str, str], ...]:
    """The metadata of somebody's calls, as the gateway sets it."""
    return (("x-parley-identity-subject", owner),) if owner else ()


def of_kind(events: list[Any], kind: str) -> list[Any]:
    """The events of a kind: job, progress, preview, image."""
    return [getattr(event, kind) for event in events if event.WhichOneof("event") == kind]


def opened(content: bytes) -> Image.Image:
    """A picture's file."""
    return Image.open(io.BytesIO(content))


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The file of a picture."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


async def refused(call: Any) -> tuple[grpc.StatusCode, str, list[str], str]:
    """Code, reason, fields at fault and message of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # typed for the synchronous API
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    return caught.value.code(), info.reason.removeprefix("ERROR_REASON_"), fields, caught.value.details() or ""


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 — what it asks about sets no event
            await asyncio.sleep(0.01)


async def until_state(easel: Easel, name: str, state: int, owner: str = "") -> Any:
    """Waits for a job's state; the job."""
    async with asyncio.timeout(20):
        while (job := await easel.job(name, owner)).state != state:  # noqa: ASYNC110 — likewise
            await asyncio.sleep(0.01)
    return job
