"""Drawing, editing and enlarging through the stub: what comes back, and that it can be made again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from parley.image.v1 import image_pb2 as pb2
from services.image.drawing import Output, Picture, Settings
from services.image.infotext import settings_of
from services.image.pictures import text_of
from tests.image.easel import Easel, file_of, of_kind, opened, refused, serve, until, until_state
from tests.image.facade import Brush, colour


async def test_events_come_in_order_and_pictures_are_kept(easel: Easel, brush: Brush) -> None:
    brush.delay = 0.05  # longer than an event takes to be read
    output = pb2.Output(preview_interval=3)
    events = await easel.draw(prompt="a red circle", count=3, seed=7, steps=6, output=output)
    jobs = of_kind(events, "job")
    assert [job.state for job in jobs] == [pb2.JOB_STATE_QUEUED, pb2.JOB_STATE_RUNNING, pb2.JOB_STATE_SUCCEEDED]
    assert (events[0].WhichOneof("event"), events[-1].WhichOneof("event")) == ("job", "job")
    progress = of_kind(events, "progress")
    steps = [one.step for one in progress]
    assert steps == sorted(set(steps)), "one may be left out where the reader is slow, none comes late"
    assert (steps[-1], {one.steps for one in progress}) == (6, {6})
    assert [one.progress for one in progress] == pytest.approx([step / 6 for step in steps])
    assert progress[-1].HasField("remaining")
    previews = of_kind(events, "preview")
    assert [(one.index, one.step) for one in previews] == [(0, 3), (1, 3), (2, 3)]
    assert opened(previews[0].content).size == (32, 32)
    images = of_kind(events, "image")
    assert [(image.index, image.seed) for image in images] == [(0, 7), (1, 8), (2, 9)]
    for image in images:
        picture = opened(image.content)
        assert picture.size == (image.width, image.height) == (64, 64)
        assert picture.getpixel((5, 5)) == colour("a red circle", image.seed)
        assert (await easel.download(image.name))[0] == image.content
    assert list(jobs[-1].images) == [image.name for image in images]
    assert await easel.job(jobs[-1].name.partition("/")[2]) == jobs[-1]


@pytest.mark.parametrize("form", [pb2.IMAGE_FORMAT_PNG, pb2.IMAGE_FORMAT_JPEG, pb2.IMAGE_FORMAT_WEBP])
async def test_a_picture_tells_how_to_make_it_again(easel: Easel, brush: Brush, form: int) -> None:
    output = pb2.Output(format=form, omit_content=True)  # type: ignore[arg-type]  # an enum's number
    events = await easel.draw(
        prompt="Vòng tròn đỏ <lora:sketch:0.5>, “lớn”", negative_prompt="blue\nblurred", seed=4294967295, steps=3,
        guidance_scale=6.5, sampler="DPM++ 2M Karras", model="large", clip_skip=2, output=output,
    )  # fmt: skip
    (image,) = of_kind(events, "image")
    assert image.content == b""
    content, _headers = await easel.download(image.name)
    assert text_of(opened(content)) == image.infotext
    settings, strength = settings_of(image.infotext)
    assert strength is None
    await easel.draw(
        prompt=settings.prompt, negative_prompt=settings.negative_prompt, seed=settings.seed, steps=settings.steps,
        guidance_scale=settings.guidance_scale, sampler=settings.sampler, model=settings.model, width=settings.width,
        height=settings.height, clip_skip=settings.clip_skip, output=output,
    )  # fmt: skip
    assert brush.sheets[0] == brush.sheets[1]
    assert brush.sheets[0].prompt == "Vòng tròn đỏ , “lớn”"
    assert [(lora.name, lora.weight) for lora in brush.sheets[0].loras] == [("sketch", 0.5)]


async def test_the_infotext_is_a1111s(easel: Easel, brush: Brush) -> None:
    (image,) = of_kind(await easel.draw(prompt="a", seed=1, loras=[pb2.LoraUse(lora="sketch")]), "image")
    digest = hashlib.sha256(b"shapes").hexdigest()[:10]
    assert image.infotext == (
        "a <lora:sketch:1>\nSteps: 8, Sampler: Euler, Schedule type: Automatic, CFG scale: 4, Seed: 1, Size: 64x64, "
        f"Model hash: {digest}, Model: shapes, Version: Parley"
    )


async def test_more_pictures_than_fit_together_are_drawn_in_batches(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, batch_pixels=2 * 64 * 64) as easel:
        events = await easel.draw(prompt="x", count=5, seed=4294967294, steps=2)
    assert [sheet.seeds for sheet in brush.sheets] == [(4294967294, 4294967295), (0, 1), (2,)]
    assert [image.index for image in of_kind(events, "image")] == [0, 1, 2, 3, 4]
    shares = [one.progress for one in of_kind(events, "progress")]
    assert shares == sorted(shares)
    assert shares[-1] == 1


async def test_a_second_pass_draws_larger_from_the_first(easel: Easel, brush: Brush) -> None:
    second = pb2.SecondPass(scale=1.9, upscaler="Lanczos", steps=3, strength=0.4)
    events = await easel.draw(prompt="x", count=2, seed=5, steps=4, second_pass=second)
    first, *again = brush.sheets
    assert (first.width, first.image) == (64, None)
    assert [(sheet.width, sheet.height, sheet.steps, sheet.seeds) for sheet in again] == [
        (120, 120, 3, (5,)),
        (120, 120, 3, (6,)),
    ]
    assert again[0].strength == pytest.approx(0.4)
    assert again[0].image is not None
    assert tuple(again[0].image[60, 60]) == colour("x", 5)
    images = of_kind(events, "image")
    assert [opened(image.content).size for image in images] == [(120, 120)] * 2
    assert "Size: 64x64" in images[0].infotext
    assert "Denoising strength: 0.4, Hires upscale: 1.9, Hires steps: 3, Hires upscaler: Lanczos" in images[0].infotext
    assert of_kind(events, "progress")[-1].progress == pytest.approx(1)


async def test_an_edit_leaves_what_the_mask_does_not_mark_pixel_by_pixel(easel: Easel, brush: Brush) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (72, 90, 3), np.uint8)
    mask = np.zeros((72, 90), np.uint8)
    mask[10:40, 20:60] = 255
    asked = pb2.Settings(prompt="x", width=80, height=72)
    fields: dict[str, Any] = {
        "mask": file_of(Image.fromarray(mask)),
        "strength": 1.0,
        "resize_mode": pb2.RESIZE_MODE_CROP,
    }
    (image,) = of_kind(await easel.edit(file_of(Image.fromarray(noise)), settings=asked, **fields), "image")
    drawn = np.asarray(opened(image.content))
    assert drawn.shape == (72, 80, 3)
    inside = mask[:, 5:85] > 0
    assert (drawn[~inside] == noise[:, 5:85][~inside]).all()
    assert (drawn[20:30, 30:40] == colour("x", image.seed)).all()
    assert "Denoising strength: 1" in image.infotext
    # The other way round.
    (image,) = of_kind(
        await easel.edit(file_of(Image.fromarray(noise)), settings=asked, invert_mask=True, **fields), "image"
    )
    drawn = np.asarray(opened(image.content))
    assert (drawn[inside] == noise[:, 5:85][inside]).all()
    assert (drawn[:5, :5] == colour("x", image.seed)).all()


async def test_an_edit_without_a_size_has_the_pictures_own_rounded_down(easel: Easel, brush: Brush) -> None:
    await easel.edit(file_of(Image.new("RGB", (103, 70), "red")), strength=0.5)
    assert (brush.sheets[0].width, brush.sheets[0].height, brush.sheets[0].strength) == (96, 64, 0.5)


async def test_an_edit_that_draws_nothing_anew_gives_the_picture_back(easel: Easel, brush: Brush) -> None:
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8))
    events = await easel.edit(file_of(image), strength=0.0)
    (drawn,) = of_kind(events, "image")
    assert (np.asarray(opened(drawn.content)) == np.asarray(image)).all()
    assert not brush.sheets
    (drawn,) = of_kind(await easel.draw(prompt="x", second_pass=pb2.SecondPass(scale=2, strength=0.0)), "image")
    assert len(brush.sheets) == 1
    assert opened(drawn.content).size == (128, 128)


async def test_a_filled_picture_is_drawn_anew_where_there_was_nothing(easel: Easel, brush: Brush) -> None:
    image, mask = Image.new("RGB", (64, 64), "red"), Image.new("L", (64, 64), 0)
    await easel.edit(
        file_of(image), mask=file_of(mask), resize_mode=pb2.RESIZE_MODE_FILL,
        settings=pb2.Settings(prompt="x", width=128, height=64),
    )  # fmt: skip
    sheet = brush.sheets[0]
    assert sheet.mask is not None
    assert sheet.image is not None
    assert (sheet.mask[:, :32] == 255).all()
    assert (sheet.mask[:, 32:96] == 0).all()
    assert (sheet.image == (255, 0, 0)).all()


async def test_a_mask_is_what_is_transparent_and_its_edge_is_softened(easel: Easel, brush: Brush) -> None:
    image = Image.new("RGB", (64, 64), "red")
    mask = np.full((64, 64, 4), 255, np.uint8)
    mask[:, :32, 3] = 0
    await easel.edit(file_of(image), mask=file_of(Image.fromarray(mask)), mask_blur=4)
    drawn = brush.sheets[0].mask
    assert drawn is not None
    assert (drawn[0, 0], drawn[0, 63]) == (255, 0)
    assert 0 < drawn[32, 32] < 255


async def test_a_control_follows_its_prepared_picture(easel: Easel, brush: Brush) -> None:
    square = Image.new("RGB", (32, 32), "white")
    square.paste("black", (8, 8, 24, 24))
    control = pb2.ControlUse(control_net="edges", image=file_of(square), preprocessor="canny", weight=0.5, end=0.8)
    events = await easel.draw(prompt="x", controls=[control])
    (guide,) = brush.sheets[0].guides
    assert (guide.name, guide.weight, guide.start, guide.end) == ("edges", 0.5, 0.0, 0.8)
    assert guide.image.shape == (64, 64, 3)
    assert set(np.unique(guide.image)) == {0, 255}
    assert guide.image[32, 32].max() == 0
    (image,) = of_kind(events, "image")
    assert 'ControlNet 0: "Module: canny, Model: edges, Weight: 0.5' in image.infotext


async def test_a_picture_is_enlarged_and_its_faces_restored(easel: Easel, brush: Brush) -> None:
    source = file_of(Image.new("RGB", (40, 30), "navy"))
    output = pb2.Output(format=pb2.IMAGE_FORMAT_WEBP)
    request = pb2.UpscaleRequest(image=source, scale=2.5, face_restorer="GFPGAN", output=output)
    image = (await easel.stub.Upscale(request)).image
    assert (image.width, image.height, image.content_type, image.job) == (100, 75, "image/webp", "")
    assert opened(image.content).size == (100, 75)
    assert brush.restored == ["GFPGAN"]
    assert image.infotext == "Postprocess upscale by: 2.5, Postprocess upscaler: Lanczos"
    listed = await easel.stub.ListImages(pb2.ListImagesRequest())
    assert [one.name for one in listed.images] == [image.name]


async def test_what_is_drawn_is_counted(easel: Easel) -> None:
    def counted() -> list[float]:
        names = ("parley_image_steps_total", "parley_image_pictures_total")
        values = [REGISTRY.get_sample_value(name, {"model": "shapes"}) or 0.0 for name in names]
        return [*values, REGISTRY.get_sample_value("parley_image_job_seconds_count", {"state": "succeeded"}) or 0.0]

    before = counted()
    await easel.draw(prompt="x", steps=3, count=2)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [3, 2, 1]
    assert REGISTRY.get_sample_value("parley_image_jobs_running") == 0
    assert REGISTRY.get_sample_value("parley_image_jobs_waiting") == 0


async def test_what_there_is_to_draw_with_is_listed(easel: Easel) -> None:
    models = (await easel.stub.ListModels(pb2.ListModelsRequest())).models
    assert [(model.id, model.default_size, model.loaded) for model in models] == [
        ("shapes", 64, True),
        ("large", 128, False),
    ]
    assert (await easel.stub.ListLoras(pb2.ListLorasRequest())).loras[0].id == "sketch"
    nets = await easel.stub.ListControlNets(pb2.ListControlNetsRequest())
    assert [net.id for net in nets.control_nets] == ["edges"]
    assert set(nets.preprocessors) == {"canny", "edges"}
    samplers = (await easel.stub.ListSamplers(pb2.ListSamplersRequest())).samplers
    assert (samplers[0].name, list(samplers[0].aliases)) == ("Euler", ["k_euler"])
    upscalers = await easel.stub.ListUpscalers(pb2.ListUpscalersRequest())
    assert [(one.name, one.scale) for one in upscalers.upscalers] == [("Lanczos", 0), ("Sharp 4x", 4)]
    assert list(upscalers.face_restorers) == ["GFPGAN"]


async def test_a_download_may_be_cached_until_it_expires(easel: Easel) -> None:
    (image,) = of_kind(await easel.draw(prompt="x"), "image")
    _content, headers = await easel.download(image.name)
    age = int(headers["cache-control"].removeprefix("private, max-age=").removesuffix(", immutable"))
    assert 0 < age <= 7 * 86400
    assert image.expire_time.seconds - image.create_time.seconds == 7 * 86400
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["etag"] == f'"{image.name.partition("/")[2]}"'


async def test_deleted_is_gone(easel: Easel) -> None:
    (image,) = of_kind(await easel.draw(prompt="x"), "image")
    await easel.stub.DeleteImage(pb2.DeleteImageRequest(name=image.name))
    for call in (
        easel.stub.GetImage(pb2.GetImageRequest(name=image.name)),
        easel.stub.DeleteImage(pb2.DeleteImageRequest(name=image.name)),
        easel.download(image.name),
    ):
        assert (await refused(call))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_client_that_hangs_up_stops_its_job_within_a_step(easel: Easel, brush: Brush) -> None:
    brush.delay = 0.05
    call = easel.begin(prompt="x", steps=100, job_id="mine")
    async for response in call:
        if response.event.WhichOneof("event") == "progress":
            break
    call.cancel()
    await until(lambda: brush.closed == 1)
    await until_state(easel, "mine", pb2.JOB_STATE_CANCELLED)


async def test_a_deadline_stops_a_job_too(easel: Easel, brush: Brush) -> None:
    brush.delay = 0.05
    request = pb2.GenerateRequest(settings=pb2.Settings(prompt="x", steps=150))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [event async for event in easel.stub.Generate(request, timeout=3)]
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: brush.closed == 1)


async def test_an_interrupt_stops_and_what_is_done_stays(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, batch_pixels=64 * 64) as easel:
        brush.delay = 0.03
        events = []
        async for response in easel.begin(prompt="x", steps=10, count=3, job_id="mine"):
            events.append(response.event)
            if response.event.WhichOneof("event") == "image":
                job = await easel.interrupt("mine")
                assert job.state == pb2.JOB_STATE_CANCELLED
        assert events[-1].job.state == pb2.JOB_STATE_CANCELLED
        (image,) = of_kind(events, "image")
        assert list((await easel.job("mine")).images) == [image.name]
        assert len(brush.sheets) < 3, "the last was not begun"
        assert (await easel.interrupt("mine")).state == pb2.JOB_STATE_CANCELLED, "again: no harm"


@pytest.mark.usefixtures("nobodys")
async def test_a_skip_goes_on_with_the_next_pictures(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, batch_pixels=64 * 64) as easel:
        brush.delay = 0.03
        events = []
        async for response in easel.begin(prompt="x", steps=10, count=2, job_id="mine"):
            events.append(response.event)
            if len(of_kind(events, "progress")) == 2 and response.event.WhichOneof("event") == "progress":
                await easel.application.studio.skip("", "mine")
                current = await easel.application.studio.current("")
                assert current is not None
                assert current.skipped
        assert [image.index for image in of_kind(events, "image")] == [1]
        assert events[-1].job.state == pb2.JOB_STATE_SUCCEEDED
        assert await easel.application.studio.current("") is None


@pytest.mark.usefixtures("nobodys")
async def test_a_slow_reader_holds_nothing_up_and_misses_no_picture(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, jobs_running=1) as easel:
        studio = easel.application.studio
        drawn = studio.draw("", Settings(prompt="x", count=4, steps=20), Output(preview_interval=1))
        first = await anext(drawn)
        await easel.draw(prompt="another's", owner="ann")  # runs to its end although the first is not read
        rest = [event async for event in drawn]
        assert first is not None
        assert [event.index for event in rest if isinstance(event, Picture)] == [0, 1, 2, 3]
        assert len(rest) < 20, "progress and previews that nobody saw in time are left out"
