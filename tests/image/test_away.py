"""A model server that is scaled to zero: jobs wait for it in the queue, where they are counted, and not for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from parley.image.v1 import image_pb2 as pb2
from services.image.application import Application
from services.image.settings import ImageSettings
from tests.image.easel import Easel, file_of, of_kind, refused, serve, until, until_state
from tests.image.facade import Brush


def waiting() -> float:
    """What the metric that wakes the model server says."""
    return REGISTRY.get_sample_value("parley_image_jobs_waiting") or 0.0


async def known(easel: Easel) -> None:
    """Draws once, so that the service knows what there is."""
    await easel.draw(prompt="before")


async def test_the_first_job_of_a_process_wakes_the_models(brush: Brush, tmp_path: Path) -> None:
    brush.away = True
    async with serve(brush, tmp_path, models_wait_seconds=30) as easel:
        drawing = asyncio.create_task(easel.draw(prompt="first"))
        await until(lambda: waiting() == 1)
        brush.away = False
        assert len(of_kind(await drawing, "image")) == 1
    assert waiting() == 0


async def test_jobs_stay_queued_and_counted_until_the_models_are_there(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, models_wait_seconds=30, jobs_running=1, catalog_seconds=0) as easel:
        await known(easel)
        brush.away = True
        drawings = [asyncio.create_task(easel.draw(prompt="x", job_id=name)) for name in ("one", "two")]
        await until(lambda: waiting() == 2)
        for name in ("one", "two"):
            assert (await easel.job(name)).state == pb2.JOB_STATE_QUEUED
        brush.away = False
        for events in await asyncio.gather(*drawings):
            assert len(of_kind(events, "image")) == 1


async def test_a_job_that_waits_for_the_models_can_be_interrupted(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, models_wait_seconds=30) as easel:
        await known(easel)
        brush.away = True
        drawing = asyncio.create_task(easel.draw(prompt="x", job_id="one"))
        await until(lambda: waiting() == 1)
        assert (await easel.interrupt("one")).state == pb2.JOB_STATE_CANCELLED
        assert of_kind(await drawing, "job")[-1].state == pb2.JOB_STATE_CANCELLED
        assert waiting() == 0


async def test_a_job_whose_models_do_not_come_up_fails_and_says_so(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, models_wait_seconds=0.1) as easel:
        await known(easel)
        brush.away = True
        code, _, _, message = await refused(easel.draw(prompt="x", job_id="one"))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "did not come up within 0.1 seconds" in message
        assert (await easel.job("one")).state == pb2.JOB_STATE_FAILED


async def test_a_job_whose_models_go_half_way_fails_and_the_next_one_waits_for_them(
    brush: Brush, tmp_path: Path
) -> None:
    async with serve(brush, tmp_path, models_wait_seconds=30, jobs_running=1) as easel:
        await known(easel)
        brush.breaks_after, brush.away = 2, False
        code, _, _, _ = await refused(easel.draw(prompt="x", job_id="one"))
        assert code is grpc.StatusCode.UNAVAILABLE
        await until_state(easel, "one", pb2.JOB_STATE_FAILED)
        brush.breaks_after, brush.away = None, True
        drawing = asyncio.create_task(easel.draw(prompt="x", job_id="two"))
        await until(lambda: waiting() == 1)
        brush.away = False
        assert len(of_kind(await drawing, "image")) == 1


async def test_an_enlargement_waits_too(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, models_wait_seconds=30) as easel:
        request = pb2.UpscaleRequest(image=file_of(Image.new("RGB", (8, 8))), scale=2)
        brush.away = True
        call = easel.stub.Upscale(request)
        await until(lambda: waiting() == 1)
        brush.away = False
        assert (await call).image.width == 16


async def test_without_patience_a_job_fails_at_once(brush: Brush, tmp_path: Path) -> None:
    brush.away = True
    async with serve(brush, tmp_path) as easel:
        code, _, _, _ = await refused(easel.draw(prompt="x"))
        assert code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(("seconds", "needed"), [(0, True), (600, False)])
async def test_a_service_that_waits_is_ready_without_models(tmp_path: Path, seconds: float, *, needed: bool) -> None:
    """Else nobody could ask for a picture, and nothing would wake them."""
    url = f"sqlite:///{tmp_path}/image.db"
    made = Application(ImageSettings(database_url=url, models_wait_seconds=seconds), Brush())  # type: ignore[arg-type]  # pydantic takes a str
    assert ("triton" in made.dependencies) is needed
    await made.close()
