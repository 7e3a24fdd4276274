"""The image service on the real Triton, with tiny checkpoints in the real format: drawn by diffusers, not by a fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from deploy.local.triton import TritonMissingError
from parley.image.v1 import image_pb2 as pb2
from services.image.infotext import settings_of
from services.mesh.errors import Unavailable
from tests.conftest import missing
from tests.diffusion.conftest import PARAMETERS
from tests.image.easel import Easel, file_of, of_kind, opened, refused, serve, until_state
from tests.real_triton import RealTriton


@pytest.fixture
async def easel(triton: RealTriton, tmp_path: Path) -> AsyncIterator[Easel]:
    """The service on it."""
    async with serve(None, tmp_path, triton_target=triton.target) as made:
        yield made


def pixels(image: pb2.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture's array."""
    return np.asarray(opened(image.content))


async def test_a_picture_is_drawn_and_drawn_again_from_its_own_text(easel: Easel) -> None:
    output = pb2.Output(preview_interval=2)
    events = await easel.draw(
        prompt="a red circle", negative_prompt="blue", seed=3, steps=4, sampler="DPM++ 2M Karras", output=output
    )
    (image,) = of_kind(events, "image")
    assert of_kind(events, "progress")[-1].step == 4
    assert of_kind(events, "preview")
    again, _strength = settings_of(image.infotext)
    (same,) = of_kind(
        await easel.draw(
            prompt=again.prompt, negative_prompt=again.negative_prompt, seed=again.seed, steps=again.steps,
            sampler=again.sampler, guidance_scale=again.guidance_scale, width=again.width, height=again.height,
            model=again.model,
        ),
        "image",
    )  # fmt: skip
    assert same.infotext == image.infotext
    assert (pixels(same) == pixels(image)).all()
    (other,) = of_kind(await easel.draw(prompt="a red circle", seed=4, steps=4), "image")
    assert (pixels(other) != pixels(image)).any()


async def test_what_the_mask_leaves_stays_through_the_real_model(easel: Easel) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 255
    (image,) = of_kind(
        await easel.edit(
            file_of(Image.fromarray(noise)),
            mask=file_of(Image.fromarray(mask)),
            settings=pb2.Settings(prompt="x", steps=4, seed=1),
        ),
        "image",
    )
    assert (pixels(image)[:, 32:] == noise[:, 32:]).all()
    assert (pixels(image)[:, :32] != noise[:, :32]).mean() > 0.9


async def test_a_second_pass_and_an_enlargement(easel: Easel) -> None:
    second = pb2.SecondPass(scale=1.5, strength=0.5)
    (image,) = of_kind(await easel.draw(prompt="x", steps=4, second_pass=second), "image")
    assert (image.width, image.height) == (96, 96)
    larger = (await easel.stub.Upscale(pb2.UpscaleRequest(image=image.content, scale=2))).image
    assert (larger.width, larger.height) == (192, 192)
    code, _reason, fields, _message = await refused(
        easel.stub.Upscale(pb2.UpscaleRequest(image=image.content, upscaler="magic"))
    )
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["upscaler"])


async def test_a_restorer_that_is_not_there_says_how_to_add_it(easel: Easel) -> None:
    request = pb2.UpscaleRequest(image=file_of(Image.new("RGB", (64, 64))), face_restorer="GFPGAN")
    code, reason, _fields, message = await refused(easel.stub.Upscale(request))
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED")
    assert "face_restorer" in message


async def test_what_there_is_comes_from_the_model_server(easel: Easel) -> None:
    models = (await easel.stub.ListModels(pb2.ListModelsRequest())).models
    assert models[0].id == "small"
    assert models[0].default_size == 64
    samplers = {one.name for one in (await easel.stub.ListSamplers(pb2.ListSamplersRequest())).samplers}
    assert {"Euler", "Euler a", "DDIM", "DPM++ 2M Karras"} <= samplers
    upscalers = (await easel.stub.ListUpscalers(pb2.ListUpscalersRequest())).upscalers
    assert upscalers[0].name == "Lanczos"


async def test_jobs_of_one_kind_are_drawn_side_by_side(easel: Easel) -> None:
    alone = of_kind(await easel.draw(prompt="x", seed=1, steps=4), "image")
    together = await asyncio.gather(*(easel.draw(prompt="x", seed=seed, steps=4) for seed in (1, 2, 3, 4)))
    first = pixels(of_kind(together[0], "image")[0]).astype(int)
    assert np.abs(first - pixels(alone[0]).astype(int)).max() <= 2, "of the same seed, but for the hardware's rounding"


async def test_a_stop_frees_the_model(easel: Easel) -> None:
    call = easel.begin(prompt="x", steps=150, width=256, height=256, job_id="mine")
    async for response in call:
        if response.event.WhichOneof("event") == "progress":
            break
    await easel.interrupt("mine")
    done = await asyncio.wait_for(easel.draw(prompt="y", steps=1), 60)
    assert len(of_kind(done, "image")) == 1
    job = await easel.job("mine")
    assert (job.state, list(job.images)) == (pb2.JOB_STATE_CANCELLED, [])


async def test_triton_killed_in_the_middle_fails_the_job_and_the_queue_goes_on(models: Path, tmp_path: Path) -> None:
    (tmp_path / "triton").mkdir()
    triton = RealTriton(["diffusion"], tmp_path / "triton", {**PARAMETERS, "model_directory": str(models)})
    triton.start()
    try:
        async with serve(None, tmp_path, triton_target=triton.target) as easel:
            call = easel.begin(prompt="x", steps=150, width=256, height=256, job_id="mine")
            async for response in call:
                if response.event.WhichOneof("event") == "progress":
                    break
            triton.kill()
            job = await until_state(easel, "mine", pb2.JOB_STATE_FAILED)
            assert job.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
            code, _reason, _fields, message = await refused(easel.draw(prompt="x", steps=1))
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "model server" in message
            triton.start()
            await reachable(easel)
            assert len(of_kind(await easel.draw(prompt="x", steps=1), "image")) == 1
    finally:
        triton.stop()


async def reachable(easel: Easel) -> None:
    """Waits until the service has found its model server again, as clients do who are told when to retry."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await easel.application.dependencies["triton"]()
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_without_the_diffusion_model_the_service_works_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "triton").mkdir()
    triton = RealTriton(["vad"], tmp_path / "triton")
    try:
        triton.start()
    except TritonMissingError as error:
        missing(str(error))
    try:
        async with serve(None, tmp_path, triton_target=triton.target) as easel:
            for check in easel.application.dependencies.values():
                await check()
            for call in (easel.draw(prompt="x"), easel.stub.ListModels(pb2.ListModelsRequest())):
                code, _reason, _fields, message = await refused(call)
                assert code is grpc.StatusCode.UNAVAILABLE
                assert "make image-models" in message
    finally:
        triton.stop()
