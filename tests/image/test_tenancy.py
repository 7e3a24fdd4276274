"""Jobs, pictures and options are their owners' alone, whoever else is in the organisation, and in any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.api import httpbody_pb2

from parley.image.v1 import image_pb2 as pb2
from parley.image.v1 import image_pb2_grpc
from parley.sdapi.v1 import sdapi_pb2, sdapi_pb2_grpc
from services.mesh import channels
from tests.image.easel import serve
from tests.image.facade import Brush
from tests.tenants import ANN, BOB, EVE, NOBODY, Metadata, answer, does_not_exist

OTHERS = (BOB, EVE, NOBODY)


async def drawn(stub: Any, person: Metadata, job_id: str = "") -> list[str]:
    """Draws two pictures for somebody; their names."""
    request = pb2.GenerateRequest(settings=pb2.Settings(prompt="x", count=2), job_id=job_id)
    return [
        response.event.image.name
        async for response in stub.Generate(request, metadata=person)
        if response.event.HasField("image")
    ]


async def said(call: Any) -> Any:
    """The JSON that a call of the web UI's API answers."""
    return json.loads(b"".join([part.body.data async for part in call]))


def calls(stub: Any) -> dict[str, Callable[[str, Metadata], Any]]:
    """Every method that takes a picture or a job."""
    return {
        "GetImage": lambda name, who: stub.GetImage(pb2.GetImageRequest(name=name), metadata=who),
        "DownloadImage": lambda name, who: stub.DownloadImage(pb2.DownloadImageRequest(name=name), metadata=who),
        "DeleteImage": lambda name, who: stub.DeleteImage(pb2.DeleteImageRequest(name=name), metadata=who),
        "GetJob": lambda name, who: stub.GetJob(pb2.GetJobRequest(name=name), metadata=who),
        "Interrupt": lambda name, who: stub.Interrupt(pb2.InterruptRequest(name=name), metadata=who),
    }


async def test_nobody_else_sees_or_changes_a_picture_or_job(tmp_path: Path) -> None:
    async with serve(Brush(), tmp_path) as easel:
        pictures = await drawn(easel.stub, ANN, "ann-1")
        for method, call in calls(easel.stub).items():
            name = "imageJobs/ann-1" if method in ("GetJob", "Interrupt") else pictures[0]
            await does_not_exist(call, name, *OTHERS)
            if method != "DeleteImage":
                assert (await answer(call(name, ANN)))[0] == "OK", method
        for person in OTHERS:
            assert not (await easel.stub.ListImages(pb2.ListImagesRequest(), metadata=person)).images
            assert not (await easel.stub.ListJobs(pb2.ListJobsRequest(), metadata=person)).jobs
        listed = await easel.stub.ListImages(pb2.ListImagesRequest(), metadata=ANN)
        assert {image.name for image in listed.images} == set(pictures)


async def test_a_job_that_runs_is_nobody_elses(tmp_path: Path) -> None:
    """What is in memory is told apart like what is stored; people may give their jobs the same name."""
    async with serve(Brush(delay=0.02), tmp_path) as easel:
        request = pb2.GenerateRequest(settings=pb2.Settings(prompt="x", steps=150), job_id="mine")
        running = easel.stub.Generate(request, metadata=ANN)
        await anext(aiter(running))
        for method in ("GetJob", "Interrupt"):
            for person in OTHERS:
                assert (await answer(calls(easel.stub)[method]("imageJobs/mine", person)))[0] == "NOT_FOUND"
        same = easel.stub.Generate(
            pb2.GenerateRequest(settings=pb2.Settings(prompt="y", steps=150), job_id="mine"), metadata=EVE
        )
        await anext(aiter(same))
        assert (await calls(easel.stub)["Interrupt"]("imageJobs/mine", EVE)).job.state == pb2.JOB_STATE_CANCELLED
        assert (await calls(easel.stub)["GetJob"]("imageJobs/mine", ANN)).job.state != pb2.JOB_STATE_CANCELLED
        await calls(easel.stub)["Interrupt"]("imageJobs/mine", ANN)
        for call in (running, same):
            assert [response.event async for response in call][-1].job.state == pb2.JOB_STATE_CANCELLED


async def test_the_token_of_a_page_opens_nobody_elses(tmp_path: Path) -> None:
    async with serve(Brush(), tmp_path) as easel:
        first, second = await drawn(easel.stub, ANN)
        await drawn(easel.stub, BOB)
        token = (await easel.stub.ListImages(pb2.ListImagesRequest(page_size=1), metadata=ANN)).next_page_token
        request = pb2.ListImagesRequest(page_token=token)
        assert not (await easel.stub.ListImages(request, metadata=EVE)).images
        (left,) = (await easel.stub.ListImages(request, metadata=ANN)).images
        assert left.name in (first, second)


async def test_options_and_progress_of_the_web_ui_are_each_ones_own(tmp_path: Path) -> None:
    async with serve(Brush(delay=0.02), tmp_path) as easel, channels.channel(easel.address) as channel:
        ui = sdapi_pb2_grpc.StableDiffusionServiceStub(channel)
        change = sdapi_pb2.SetOptionsRequest(body=httpbody_pb2.HttpBody(data=b'{"samples_format": "webp"}'))
        await said(ui.SetOptions(change, metadata=ANN))

        async def options(person: Metadata) -> Any:
            return await said(ui.GetOptions(sdapi_pb2.GetOptionsRequest(), metadata=person))

        assert (await options(ANN))["samples_format"] == "webp"
        for person in OTHERS:
            assert (await options(person))["samples_format"] != "webp"
        request = pb2.GenerateRequest(settings=pb2.Settings(prompt="x", steps=150), job_id="mine")
        running = image_pb2_grpc.ImageServiceStub(channel).Generate(request, metadata=ANN)
        await anext(aiter(running))
        await asyncio.sleep(0.2)
        for person, shown in ((ANN, True), (BOB, False), (EVE, False)):
            progress = await said(ui.GetProgress(sdapi_pb2.GetProgressRequest(), metadata=person))
            assert (progress["state"]["job_count"] > 0) is shown
        running.cancel()
