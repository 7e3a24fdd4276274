"""What is wrong is refused by name with what would be right, and what breaks off leaves the queue going."""

from __future__ import annotations

import asyncio
import errno
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import grpc
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from PIL import Image, PngImagePlugin

from parley.image.v1 import image_pb2 as pb2
from services.image.catalog import Lora
from services.image.drawing import Output, Settings
from services.image.plan import Limits, check
from services.mesh.errors import InvalidArgument, InvalidRequest, Unavailable
from tests.image.easel import Easel, file_of, of_kind, refused, serve, until_state
from tests.image.facade import CATALOG, Brush

RED = Image.new("RGB", (64, 64), "red")
NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"width": 100}, "settings.width"),
        ({"width": -8}, "settings.width"),
        ({"width": 8}, "settings.width"),
        ({"height": 4096}, "settings.height"),
        ({"height": 1 << 30}, "settings.height"),
        ({"steps": 10_000}, "settings.steps"),
        ({"steps": -1}, "settings.steps"),
        ({"seed": -1}, "settings.seed"),
        ({"seed": 1 << 32}, "settings.seed"),
        ({"count": 17}, "settings.count"),
        ({"guidance_scale": float("nan")}, "settings.guidance_scale"),
        ({"guidance_scale": 31.0}, "settings.guidance_scale"),
        ({"prompt": "x" * 10_001}, "settings.prompt"),
        ({"prompt": "<lora:sketch:heavy>"}, "settings.prompt"),
        ({"prompt": "<lora:sketch:9>"}, "settings.prompt"),
        ({"prompt": "<lora:nothing:1>"}, "settings.prompt"),
        ({"loras": [pb2.LoraUse(lora="nothing")]}, "settings.loras[0].lora"),
        ({"loras": [pb2.LoraUse(lora="sketch", weight=5)]}, "settings.loras[0].weight"),
        ({"loras": [pb2.LoraUse(lora="sketch")] * 9}, "settings.loras"),
        ({"sampler": "Heun++"}, "settings.sampler"),
        ({"clip_skip": 13}, "settings.clip_skip"),
        ({"controls": [pb2.ControlUse(control_net="none", image=b"x")]}, "settings.controls[0].control_net"),
        (
            {"controls": [pb2.ControlUse(control_net="edges", image=b"x", preprocessor="depth")]},
            "settings.controls[0].preprocessor",
        ),
        (
            {"controls": [pb2.ControlUse(control_net="edges", image=b"x", start=0.5, end=0.5)]},
            "settings.controls[0].end",
        ),
        ({"controls": [pb2.ControlUse(control_net="edges", image=b"nonsense")]}, "settings.controls[0].image"),
        ({"second_pass": pb2.SecondPass(scale=9)}, "settings.second_pass.scale"),
        ({"second_pass": pb2.SecondPass(scale=2, upscaler="magic")}, "settings.second_pass.upscaler"),
        ({"width": 2048, "height": 2048, "second_pass": pb2.SecondPass(scale=2)}, "settings.width"),
        ({"width": 2048, "height": 2048, "count": 16}, "settings.count"),
    ],
)
async def test_settings_that_cannot_be_met_are_refused_by_name(
    easel: Easel, brush: Brush, settings: dict[str, Any], field: str
) -> None:
    code, reason, fields, message = await refused(easel.draw(**({"prompt": "x"} | settings)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert fields == [field], message
    assert reason in ("INVALID_ARGUMENT", "INVALID_IMAGE")
    assert not brush.sheets


def test_the_domain_refuses_what_only_the_contract_would_catch() -> None:
    wrong = Settings(
        prompt="x" * 20_000,
        negative_prompt="\ud800",
        width=7,
        steps=151,
        guidance_scale=float("inf"),
        seed=1 << 32,
        count=0,
        clip_skip=-1,
    )
    with pytest.raises(InvalidRequest) as caught:
        check(wrong, Limits())
    fields = [violation.field for violation in caught.value.violations]
    assert fields == [
        f"settings.{name}"
        for name in ("prompt", "negative_prompt", "width", "steps", "guidance_scale", "seed", "count", "clip_skip")
    ]


@pytest.mark.parametrize("prompt", ["", "x" * 10_000, "🐈‍⬛🎨 вода", "\0\x1b[31m", "<lora:sketch:0.5>"])
async def test_odd_prompts_are_drawn(easel: Easel, prompt: str) -> None:
    assert len(of_kind(await easel.draw(prompt=prompt, seed=1), "image")) == 1


async def test_a_model_that_is_not_there_or_broken_is_named_and_others_work(easel: Easel, brush: Brush) -> None:
    broken = replace(CATALOG.models[1], fault="unet/config.json is no JSON")
    brush.shelf = replace(CATALOG, models=(CATALOG.models[0], broken))
    code, reason, _fields, message = await refused(easel.draw(prompt="x", model="nothing"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert "there are: shapes, large" in message
    code, reason, fields, message = await refused(easel.draw(prompt="x", model="large"))
    assert (code, fields) == (grpc.StatusCode.FAILED_PRECONDITION, ["settings.model"])
    assert "unet/config.json is no JSON" in message
    assert len(of_kind(await easel.draw(prompt="x"), "image")) == 1


async def test_what_was_just_installed_is_found(easel: Easel, brush: Brush) -> None:
    await easel.draw(prompt="x")
    brush.shelf = replace(CATALOG, loras=(*CATALOG.loras, Lora("new", "New")))
    assert len(of_kind(await easel.draw(prompt="<lora:new>"), "image")) == 1


async def test_a_text_that_is_none_by_its_length_is_not_carried_on(easel: Easel) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "x" * 1_000_000)
    request = pb2.UpscaleRequest(image=file_of(RED, pnginfo=chunks))
    assert (await easel.stub.Upscale(request)).image.infotext.startswith("Postprocess upscale by: 2")


def crooked(side: str) -> bytes:
    """A JPEG, 64 x 96, whose EXIF says that it lies on its side; red is on the given side once it stands."""
    image = Image.new("RGB", (96, 64), "blue")
    image.paste("red", {"top": (0, 0, 48, 64), "bottom": (48, 0, 96, 64)}[side])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return file_of(image, "JPEG", exif=exif, quality=95)


async def test_pictures_stand_as_their_exif_says(easel: Easel, brush: Brush) -> None:
    await easel.edit(crooked("top"))
    drawn = brush.sheets[0].image
    assert drawn is not None
    assert drawn.shape == (96, 64, 3)
    assert drawn[10, 32, 0] > 200
    assert drawn[80, 32, 2] > 200


def png16() -> bytes:
    """A grey PNG of 16 bits."""
    return file_of(Image.fromarray(np.full((64, 64), 0x8000, np.uint16)))


KINDS: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "CMYK": (lambda: file_of(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG", quality=95), (255, 0, 0)),
    "palette": (lambda: file_of(RED.convert("P")), (255, 0, 0)),
    "two colours": (lambda: file_of(Image.new("1", (64, 64), 1)), (255, 255, 255)),
    "16 bits": (png16, (128, 128, 128)),
    "transparent": (lambda: file_of(Image.new("RGBA", (64, 64), (0, 0, 255, 0))), (255, 255, 255)),
    "WebP": (lambda: file_of(RED, "WEBP", lossless=True), (255, 0, 0)),
    "BMP": (lambda: file_of(RED, "BMP"), (255, 0, 0)),
    "TIFF": (lambda: file_of(RED, "TIFF", compression="tiff_lzw"), (255, 0, 0)),
    "float TIFF": (lambda: file_of(Image.new("F", (64, 64), 0.5), "TIFF"), (128, 128, 128)),
    "animated": (
        lambda: file_of(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (64, 64), "blue")] * 3),
        (255, 0, 0),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_picture_is_read(easel: Easel, brush: Brush, kind: str) -> None:
    make, expected = KINDS[kind]
    await easel.edit(make())
    image = brush.sheets[0].image
    assert image is not None
    assert np.abs(image[32, 32].astype(int) - expected).max() <= 3


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 4096)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (b"nonsense", "send a whole PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "send a whole PNG"),
        (file_of(NOISE)[:2000], "not whole"),
        (file_of(NOISE, "JPEG")[:1500], "not whole"),
        (b"GIF89a" + b"\xff" * 100, "send a whole PNG"),
        (bomb(50_000, 50_000), "pixels"),
        (bomb(10_000, 10_000), "pixels"),
        (bomb(6_000, 6_000), "more than 33,554,432"),
        (bomb(100, 100), "damaged"),
        (file_of(Image.new("RGB", (4, 64))), "8 pixels at least"),
    ],
)
async def test_what_is_no_picture_is_refused_before_it_is_unpacked(
    easel: Easel, brush: Brush, image: bytes, says: str
) -> None:
    code, reason, fields, message = await refused(easel.edit(image))
    assert (code, reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_IMAGE", ["image"])
    assert says in message
    upscale = easel.stub.Upscale(pb2.UpscaleRequest(image=image))
    assert (await refused(upscale))[1:3] == ("INVALID_IMAGE", ["image"])
    assert not brush.sheets


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"mask": file_of(Image.new("L", (32, 64)))}, "INVALID_IMAGE", "mask"),
        ({"mask": b"nonsense"}, "INVALID_IMAGE", "mask"),
        ({"strength": 1.5}, "INVALID_ARGUMENT", "strength"),
        ({"mask_blur": 300}, "INVALID_ARGUMENT", "mask_blur"),
        ({"settings": pb2.Settings(second_pass=pb2.SecondPass(scale=2))}, "INVALID_ARGUMENT", "settings.second_pass"),
    ],
)
async def test_what_is_wrong_with_an_edit_is_named(
    easel: Easel, fields: dict[str, Any], reason: str, field: str
) -> None:
    assert (await refused(easel.edit(file_of(RED), **fields)))[1:3] == (reason, [field])


async def test_a_picture_too_large_to_be_drawn_asks_for_a_size(easel: Easel) -> None:
    wide = file_of(Image.new("RGB", (3000, 100)))
    _code, _reason, fields, message = await refused(easel.edit(wide))
    assert fields == ["settings.width"]
    assert "set width and height" in message
    assert len(of_kind(await easel.edit(wide, settings=pb2.Settings(width=256, height=64)), "image")) == 1


async def test_an_enlargement_too_large_is_refused(easel: Easel) -> None:
    large = file_of(Image.new("RGB", (2000, 2000)))
    code, _reason, fields, _message = await refused(easel.stub.Upscale(pb2.UpscaleRequest(image=large, scale=4)))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["image"])


async def test_a_full_queue_refuses_and_says_when_to_come_again(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, jobs_running=1, jobs_waiting=2, jobs_waiting_each=1) as easel:
        brush.delay = 0.05
        held = {}
        for name, owner in (("one", "ann"), ("two", "ann"), ("three", "bob")):  # one runs, two wait
            held[name, owner] = easel.begin(prompt="x", steps=150, owner=owner, job_id=name)
            await anext(aiter(held[name, owner]))
        code, reason, _fields, message = await refused(easel.draw(prompt="x", owner="ann"))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert "of your jobs" in message
        assert (await refused(easel.draw(prompt="x", owner="eve")))[1] == "QUEUE_FULL"
        for (name, owner), call in held.items():
            call.cancel()
            await until_state(easel, name, pb2.JOB_STATE_CANCELLED, owner)
        events = await easel.draw(prompt="x", owner="eve", steps=1)
        assert len(of_kind(events, "image")) == 1


async def test_who_waits_learns_the_place_and_then_the_time(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, jobs_running=1) as easel:
        brush.delay = 0.02
        await easel.draw(prompt="x", steps=5)  # the pace is known now
        held = easel.begin(prompt="x", steps=100)
        await anext(aiter(held))
        waits = easel.begin(prompt="x", steps=50, owner="ann", job_id="mine")
        job = (await anext(aiter(waits))).event.job
        while job.position == 0 or not job.progress.HasField("remaining"):
            job = (await anext(aiter(waits))).event.job
        assert (job.position, job.state) == (1, pb2.JOB_STATE_QUEUED)
        assert 1.0 < job.progress.remaining.ToMilliseconds() / 1000 < 60
        assert (await easel.job("mine", "ann")).position == 1
        held.cancel()
        states = [response.event.job.state async for response in waits if response.event.HasField("job")]
        assert states == [pb2.JOB_STATE_RUNNING, pb2.JOB_STATE_SUCCEEDED]


async def test_a_model_server_that_goes_away_fails_the_job_and_the_queue_goes_on(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, jobs_running=1) as easel:
        brush.delay, brush.breaks_after = 0.02, 2
        first = easel.begin(prompt="x", job_id="first")
        await anext(aiter(first))
        second = asyncio.ensure_future(easel.draw(prompt="x", owner="ann"))
        code, reason, _fields, _message = await refused(rest(first))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        brush.breaks_after = None
        job = await easel.job("first")
        assert job.state == pb2.JOB_STATE_FAILED
        assert job.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
        assert "cannot be reached" in job.error.message
        await asyncio.wait({second})
        assert len(of_kind(await easel.draw(prompt="x"), "image")) == 1


async def rest(call: Any) -> list[Any]:
    """What is left of a stream."""
    return [response async for response in call]


async def test_what_the_model_refuses_has_the_requests_names(
    easel: Easel, brush: Brush, monkeypatch: pytest.MonkeyPatch
) -> None:
    brush.breaks_after = 0
    refusal = InvalidArgument("loras[0].name", "does not fit the model")
    monkeypatch.setattr("tests.image.facade.Unavailable", lambda _text: refusal)
    _code, _reason, fields, message = await refused(easel.draw(prompt="<lora:sketch>"))
    assert fields == ["settings.loras[0].name"]
    assert message == "settings.loras[0].name: does not fit the model"


async def test_an_engine_that_breaks_is_told_by_an_id_and_no_more(
    easel: Easel, brush: Brush, monkeypatch: pytest.MonkeyPatch
) -> None:
    brush.breaks_after = 0
    monkeypatch.setattr("tests.image.facade.Unavailable", lambda _text: ZeroDivisionError("secret of the engine"))
    code, reason, _fields, message = await refused(easel.draw(prompt="x", job_id="mine"))
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in message
    job = await easel.job("mine")
    assert (job.state, job.error.message) == (pb2.JOB_STATE_FAILED, "It broke off. The service's log says why.")


async def test_without_a_model_every_call_says_how_to_add_one(tmp_path: Path) -> None:
    class Bare(Brush):
        async def catalog(self, *, refresh: bool) -> Any:
            raise Unavailable("There is no diffusion model. Run this.", retry_after=None)

    async with serve(Bare(), tmp_path) as easel:
        for call in (easel.draw(prompt="x"), easel.stub.ListModels(pb2.ListModelsRequest())):
            code, _reason, _fields, message = await refused(call)
            assert (code, message) == (grpc.StatusCode.UNAVAILABLE, "There is no diffusion model. Run this.")


class Brimful(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A disk with room for 100 bytes a file."""

    protocol = "brimful"

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        file = super()._open(path, mode, **kwargs)
        if "w" in mode:
            file.write = self._too_much
        return file

    @staticmethod
    def _too_much(data: bytes) -> int:
        if len(data) > 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)


async def test_a_full_store_fails_the_job_and_leaves_nothing_behind(brush: Brush, tmp_path: Path) -> None:
    fsspec.register_implementation("brimful", Brimful, clobber=True)
    pictures = tmp_path / "pictures"
    async with serve(brush, tmp_path, pictures_url=f"brimful://{pictures}") as easel:
        code, reason, _fields, message = await refused(easel.draw(prompt="x", job_id="mine"))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
        assert "full" in message
        job = await easel.job("mine")
        assert (job.state, list(job.images)) == (pb2.JOB_STATE_FAILED, [])
        assert not list(pictures.iterdir())
        assert not (await easel.stub.ListImages(pb2.ListImagesRequest())).images


async def test_a_store_that_is_away_is_told(brush: Brush, tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    async with serve(brush, tmp_path) as easel:
        assert (await refused(easel.draw(prompt="x")))[1] == "STORAGE_UNAVAILABLE"


async def test_nobody_sees_stops_or_takes_what_is_somebody_elses(easel: Easel, brush: Brush) -> None:
    brush.delay = 0.03
    ann = easel.begin(prompt="x", steps=40, job_id="task", owner="ann")
    await anext(aiter(ann))
    bob = easel.begin(prompt="x", steps=40, job_id="task", owner="bob")  # the same name, another job
    await anext(aiter(bob))
    for call in (easel.interrupt("task"), easel.job("task")):
        assert (await refused(call))[0] is grpc.StatusCode.NOT_FOUND
    assert (await easel.interrupt("task", "bob")).state == pb2.JOB_STATE_CANCELLED
    events = [response.event async for response in ann]
    (image,) = of_kind(events, "image")
    assert (await refused(easel.download(image.name, "bob")))[0] is grpc.StatusCode.NOT_FOUND
    for owner, count in (("ann", 1), ("bob", 1), ("", 0)):
        listed = await easel.stub.ListJobs(pb2.ListJobsRequest(), metadata=(("x-parley-identity-subject", owner),))
        assert len(listed.jobs) == count
    assert (await easel.download(image.name, "ann"))[0] == image.content
    code, reason, _fields, _message = await refused(easel.draw(prompt="x", job_id="task", owner="ann"))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")


@pytest.mark.usefixtures("nobodys")
async def test_a_generator_that_is_closed_at_once_leaves_nothing_behind(easel: Easel, brush: Brush) -> None:
    studio = easel.application.studio
    for _ in range(3):
        events = studio.draw("", Settings(prompt="x"), Output(), "")
        await anext(events)
        await events.aclose()
    jobs, _more = await studio.jobs("")
    for job in jobs:
        await until_state(easel, job.id, pb2.JOB_STATE_CANCELLED)
    assert len(of_kind(await easel.draw(prompt="x"), "image")) == 1
