"""The web UI's API: the unmodified webuiapi client, and bodies as they are."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import webuiapi
from PIL import Image

from parley.sdapi.v1 import sdapi_pb2
from services.image.drawing import JobState
from tests.image.easel import Easel, serve, until
from tests.image.facade import CATALOG, SHA, Brush, colour
from tests.image.transcoder import Adapter, Transcoder

SERVICE = sdapi_pb2.DESCRIPTOR.services_by_name["StableDiffusionService"]
TITLE = f"shapes [{SHA[:10]}]"
T = TypeVar("T")


class Whole(NamedTuple):
    """An answer."""

    status: int
    json: Any


class Desk:
    """A client of somebody's.

    Args:
        easel: The service.
        owner: Who it is.
    """

    def __init__(self, easel: Easel, owner: str = "") -> None:
        self.easel = easel
        who = {"x_parley_identity_subject": owner} if owner else {}
        self.transcoder = Transcoder(easel.address, SERVICE, **who)
        self._client: webuiapi.WebUIApi | None = None

    async def run(self, work: Callable[[webuiapi.WebUIApi], T]) -> T:
        """Something that blocks."""

        def blocking() -> T:
            return work(self._webui())

        return await asyncio.to_thread(blocking)

    def _webui(self) -> webuiapi.WebUIApi:
        if self._client is None:
            client = webuiapi.WebUIApi(baseurl="http://parley/sdapi/v1", steps=4)
            client.session.mount("http://", Adapter(self.transcoder))
            client.check_extensions()
            self._client = client
        return self._client

    async def post(self, path: str, body: Any = None) -> Whole:
        """A body as it is, or as JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await asyncio.to_thread(self._call, "POST", path, raw)

    async def get(self, path: str) -> Any:
        """What a good answer says."""
        answer = await asyncio.to_thread(self._call, "GET", path, b"")
        assert answer.status == 200, answer
        return answer.json

    def _call(self, verb: str, path: str, body: bytes) -> Whole:
        prefix = "" if path.startswith("/controlnet") else "/sdapi/v1/"
        answer = self.transcoder.call(verb, prefix + path, "application/json", body)
        return Whole(answer.status, json.loads(b"".join(answer.content)))


@pytest.fixture
async def desk(easel: Easel) -> AsyncIterator[Desk]:
    made = Desk(easel)
    yield made
    made.transcoder.close()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def encoded(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def plain(*size: int, tint: Any = "blue", mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (size[0], size[-1]), tint)


def half() -> Image.Image:
    """A mask: its right half is white."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    return mask


SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 4, "seed": 5}


async def test_the_client_draws(desk: Desk, brush: Brush) -> None:
    result = await desk.run(
        lambda webui: webui.txt2img(prompt="a red circle", negative_prompt="blue", seed=5, width=64, height=72,
                                    cfg_scale=3, batch_size=2, n_iter=1)
    )  # fmt: skip
    assert [image.getpixel((1, 1)) for image in result.images] == [colour("a red circle", seed) for seed in (5, 6)]
    assert result.image.size == (64, 72)
    info = result.info
    assert (info["seed"], info["all_seeds"], info["steps"], info["cfg_scale"]) == (5, [5, 6], 4, 3.0)
    assert (info["sampler_name"], info["sd_model_name"], info["sd_model_hash"]) == ("Euler a", "shapes", SHA[:10])
    assert info["infotexts"][0] == result.image.text["parameters"]
    assert "Negative prompt: blue" in info["infotexts"][0]
    assert (result.parameters["width"], result.parameters["prompt"]) == (64, "a red circle")
    assert brush.sheets[0].negative_prompt == "blue"


async def test_what_a_body_leaves_out_is_the_models(desk: Desk, brush: Brush) -> None:
    answer = await desk.post("txt2img", {"prompt": "x"})
    sheet = brush.sheets[0]
    assert (sheet.width, sheet.height, sheet.steps, sheet.guidance_scale, sheet.sampler) == (64, 64, 8, 4.0, "Euler")
    parameters = answer.json["parameters"]
    assert (parameters["width"], parameters["steps"], parameters["cfg_scale"]) == (64, 8, 4.0)
    assert (parameters["seed"], parameters["n_iter"], parameters["send_images"]) == (-1, 1, True)
    assert set(answer.json) == {"images", "parameters", "info"}


async def test_the_client_edits(desk: Desk, brush: Brush) -> None:
    result = await desk.run(
        lambda webui: webui.img2img(images=[plain(64)], prompt="x", width=64, height=64, denoising_strength=0.5)
    )
    assert brush.sheets[0].strength == 0.5
    assert result.image.size == (64, 64)
    assert result.parameters["init_images"] is None, "it is not sent back"
    kept = await desk.post("img2img", {"init_images": [encoded(plain(64))], "include_init_images": True})
    assert kept.json["parameters"]["init_images"] == [encoded(plain(64))]


@pytest.mark.parametrize("whole", [True, False], ids=["only masked", "whole picture"])
@pytest.mark.parametrize("inverted", [0, 1])
async def test_what_a_mask_does_not_mark_stays(desk: Desk, whole: bool, inverted: int) -> None:
    result = await desk.run(
        lambda webui: webui.img2img(images=[plain(64)], prompt="x", width=64, height=64, mask_image=half(), mask_blur=0,
                                    seed=1, denoising_strength=1, inpaint_full_res=not whole,
                                    inpainting_mask_invert=inverted)
    )  # fmt: skip
    left, right = result.image.getpixel((2, 2)), result.image.getpixel((61, 61))
    drawn, kept = (left, right) if inverted else (right, left)
    assert (drawn, kept) == (colour("x", 1), (0, 0, 255))


async def test_only_what_is_masked_is_drawn_large(desk: Desk, brush: Brush) -> None:
    mask = Image.new("L", (256, 256), 0)
    mask.paste(255, (100, 100, 132, 132))
    ground = plain(256)
    ground.paste("yellow", (90, 90, 142, 142))
    body = {"init_images": [encoded(ground)], "mask": encoded(mask), "mask_blur": 0, "denoising_strength": 0.5,
            "inpaint_full_res_padding": 8, "inpainting_fill": 1, "width": 64, "height": 64}  # fmt: skip
    answer = await desk.post("img2img", body)
    image = brush.sheets[0].image
    assert image is not None
    assert tuple(image[0, 0]) == tuple(image[63, 63]) == (255, 255, 0), "the box and its padding, as large as asked for"
    assert opened(answer.json["images"][0]).size == (256, 256)
    jpeg = await desk.post("img2img", {**body, "override_settings": {"samples_format": "jpg"}})
    assert opened(jpeg.json["images"][0]).format == "JPEG"


@pytest.mark.parametrize(("fill", "under"), [(0, (0, 0, 255)), (1, (255, 0, 0)), (3, (127, 127, 127))])
async def test_what_lies_under_a_mask(desk: Desk, brush: Brush, fill: int, under: tuple[int, int, int]) -> None:
    ground = plain(64)
    ground.paste("red", (32, 0, 64, 64))
    body = {"init_images": [encoded(ground)], "mask": encoded(half()), "mask_blur": 0, "inpainting_fill": fill,
            "inpaint_full_res": False, "width": 64, "height": 64}  # fmt: skip
    await desk.post("img2img", body)
    image = brush.sheets[0].image
    assert image is not None
    assert tuple(image[60, 60]) == under
    assert tuple(image[0, 0]) == (0, 0, 255)


async def test_a_mask_of_transparency_marks_what_is_opaque(desk: Desk) -> None:
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    mask.paste((0, 0, 0, 255), (32, 0, 64, 64))
    body = {"prompt": "x", "init_images": ["data:image/png;base64," + encoded(plain(64))], "mask": encoded(mask),
            "mask_blur": 0, "seed": 1, "denoising_strength": 1, "width": 64, "height": 64}  # fmt: skip
    drawn = opened((await desk.post("img2img", body)).json["images"][0])
    assert (drawn.getpixel((2, 2)), drawn.getpixel((61, 61))) == ((0, 0, 255), colour("x", 1))


async def test_edges_guide_once_and_not_in_the_next_request(desk: Desk, brush: Brush) -> None:
    unit = webuiapi.ControlNetUnit(
        image=plain(64), module="canny", model="edges [12345678]", weight=0.5, guidance_start=0.1, guidance_end=0.9
    )
    await desk.run(lambda webui: webui.txt2img(prompt="x", width=64, height=64, controlnet_units=[unit]))
    await desk.run(lambda webui: webui.txt2img(prompt="x", width=64, height=64))
    (guide,) = brush.sheets[0].guides
    assert (guide.name, guide.weight, guide.start, guide.end) == ("edges", 0.5, 0.1, 0.9)
    assert guide.image.max() == 0, "one colour has no edges"
    assert not brush.sheets[1].guides


async def test_units_under_their_old_names(desk: Desk, brush: Brush) -> None:
    units = [
        {"enabled": False},
        {"input_image": encoded(plain(64)), "model": "Edges", "module": "None", "guidance": 0.5},
    ]
    body = {**SMALL, "alwayson_scripts": {"controlnet": {"args": units}, "ADetailer": {"args": [False, {}]}}}
    assert (await desk.post("txt2img", body)).status == 200
    (guide,) = brush.sheets[0].guides
    assert (guide.end, tuple(guide.image[0, 0])) == (0.5, (0, 0, 255))


async def test_a_unit_follows_the_edited_picture(desk: Desk, brush: Brush) -> None:
    body = {
        **SMALL,
        "init_images": [encoded(plain(64))],
        "alwayson_scripts": {"ControlNet": {"args": [{"model": "edges"}]}},
    }
    assert (await desk.post("img2img", body)).status == 200
    assert tuple(brush.sheets[0].guides[0].image[0, 0]) == (0, 0, 255)


async def test_a_second_pass(desk: Desk, brush: Brush) -> None:
    result = await desk.run(lambda webui: webui.txt2img(prompt="x", width=64, height=64, enable_hr=True))
    assert result.image.size == (128, 128)
    assert [(sheet.width, sheet.strength) for sheet in brush.sheets] == [(64, None), (128, 0.7)]
    resized = await desk.post("txt2img", {**SMALL, "enable_hr": True, "hr_resize_x": 192, "hr_resize_y": 192,
                                          "hr_upscaler": "Sharp 4x"})  # fmt: skip
    assert opened(resized.json["images"][0]).size == (192, 192)


@pytest.mark.parametrize(
    ("sampler", "scheduler", "used"),
    [
        (None, None, "Euler"),
        ("euler A", "automatic", "Euler a"),
        ("k_dpmpp_2m", "", "DPM++ 2M"),
        ("DPM++ 2M", "Karras", "DPM++ 2M Karras"),
        ("DPM++ 2M", "karras", "DPM++ 2M Karras"),
        ("DPM++ 2M Karras", "karras", "DPM++ 2M Karras"),
    ],
)
async def test_samplers(desk: Desk, brush: Brush, sampler: str | None, scheduler: str | None, used: str) -> None:
    body = {**SMALL, "sampler_name": sampler, "scheduler": scheduler}
    answer = await desk.post("txt2img", body)
    assert brush.sheets[0].sampler == used
    assert json.loads(answer.json["info"])["sampler_name"] == used.removesuffix(" Karras")


async def test_an_infotext_fills_what_is_left_out(desk: Desk, brush: Brush) -> None:
    told = json.loads((await desk.post("txt2img", SMALL)).json["info"])["infotexts"][0]
    again = await desk.post("txt2img", {"infotext": told, "steps": 6})
    assert json.loads(again.json["info"])["seed"] == 5
    assert (brush.sheets[1].prompt, brush.sheets[1].steps) == ("a red circle", 6)


async def test_faces_are_restored_and_the_text_stays(desk: Desk, brush: Brush) -> None:
    answer = await desk.post("txt2img", {**SMALL, "restore_faces": True})
    drawn = opened(answer.json["images"][0])
    assert (brush.restored, drawn.getpixel((32, 32))) == (["GFPGAN"], (255, 255, 255))
    assert drawn.text["parameters"].startswith("a red circle")  # type: ignore[attr-defined]  # what PNG files have


async def test_images_may_stay_away_and_come_in_another_format(desk: Desk) -> None:
    assert (await desk.post("txt2img", {**SMALL, "send_images": False})).json["images"] == []
    answer = await desk.post("txt2img", {**SMALL, "override_settings": {"samples_format": "webp"}})
    assert opened(answer.json["images"][0]).format == "WEBP"


async def test_options_are_each_owners_own(easel: Easel, brush: Brush) -> None:
    alice, bob = Desk(easel, "alice"), Desk(easel, "bob")
    large = "large"
    await alice.run(
        lambda webui: webui.set_options({"sd_model_checkpoint": large, "CLIP_stop_at_last_layers": 2, "x": 1})
    )
    hers, his = await alice.run(lambda webui: webui.get_options()), await bob.run(lambda webui: webui.get_options())
    assert (hers["sd_model_checkpoint"], hers["CLIP_stop_at_last_layers"], hers["x"]) == (large, 2, 1)
    assert (his["sd_model_checkpoint"], his["CLIP_stop_at_last_layers"]) == (TITLE, 1)
    assert "x" not in his
    await alice.post("txt2img", {"prompt": "x"})
    await bob.post("txt2img", {"prompt": "x"})
    assert [(sheet.model, sheet.clip_skip) for sheet in brush.sheets] == [("large", 2), ("shapes", 1)]
    for desk in (alice, bob):
        desk.transcoder.close()


@pytest.mark.parametrize("name", ["large", "Large", "large.safetensors"])
@pytest.mark.parametrize("kept", [True, False], ids=["for once", "for ever"])
async def test_a_request_may_override_options(desk: Desk, brush: Brush, name: str, kept: bool) -> None:
    body = {**SMALL, "override_settings": {"sd_model_checkpoint": name}, "override_settings_restore_afterwards": kept}
    assert (await desk.post("txt2img", body)).status == 200
    assert brush.sheets[0].model == "large"
    assert (await desk.get("options"))["sd_model_checkpoint"] == (TITLE if kept else "large")


async def test_models_are_found_by_title_and_hash(desk: Desk, brush: Brush) -> None:
    for name in (TITLE, SHA, SHA[:10]):
        body = {**SMALL, "override_settings": {"sd_model_checkpoint": name}}
        assert (await desk.post("txt2img", body)).status == 200
    assert {sheet.model for sheet in brush.sheets} == {"shapes"}


async def begun(desk: Desk, brush: Brush, **fields: Any) -> asyncio.Task[Whole]:
    """A drawing whose model works."""
    before = len(brush.sheets)
    task = asyncio.create_task(desk.post("txt2img", {**SMALL, "steps": 100, **fields}))
    await until(lambda: len(brush.sheets) > before or task.done())
    return task


async def test_progress_and_interrupt_are_the_callers_own(easel: Easel, brush: Brush) -> None:
    brush.delay = 0.05
    alice, bob = Desk(easel, "alice"), Desk(easel, "bob")
    task = await begun(alice, brush, force_task_id="task(hers)", steps=150)
    theirs = await bob.get("progress?id_task=task(hers)")
    assert (theirs["progress"], theirs["state"]["job_count"]) == (0.0, 0)
    assert (await bob.run(lambda webui: webui.interrupt())) == {}
    assert (await bob.run(lambda webui: webui.skip())) is None
    assert not task.done()
    while not (hers := await alice.get("progress"))["state"]["sampling_steps"]:
        assert not task.done()
    assert 0 < hers["progress"] < 1
    assert (hers["state"]["job"], hers["state"]["sampling_steps"]) == ("task(hers)", 150)
    assert (await alice.run(lambda webui: webui.interrupt())) == {}
    answer = await task
    assert (answer.status, answer.json["images"]) == (200, [])
    after = await alice.get("progress?id_task=task(hers)")
    assert (after["progress"], after["state"]["interrupted"], after["state"]["job_count"]) == (0.0, True, 0)
    assert brush.closed == 1
    for desk in (alice, bob):
        desk.transcoder.close()


async def test_progress_shows_what_the_picture_looks_like(desk: Desk, brush: Brush) -> None:
    brush.delay = 0.02
    task = await begun(desk, brush)
    while not (told := await desk.get("progress"))["current_image"]:
        assert not task.done()
    assert opened(told["current_image"]).getpixel((1, 1)) == colour("a red circle", 5)
    assert (await desk.get("progress?skip_current_image=true"))["current_image"] is None
    await desk.post("interrupt")
    await task


async def test_skip_goes_on_with_the_next(tmp_path: Path, brush: Brush) -> None:
    brush.delay = 0.05
    async with serve(brush, tmp_path, batch_pixels=64 * 64) as easel:
        desk = Desk(easel)
        task = await begun(desk, brush, n_iter=2)
        await desk.post("skip")
        await until(lambda: len(brush.sheets) == 2)
        brush.delay = 0.0
        answer = await task
        desk.transcoder.close()
    assert len(answer.json["images"]) == 1
    assert json.loads(answer.json["info"])["all_seeds"] == [6]


async def test_a_job_that_waits_is_interrupted_too(tmp_path: Path, brush: Brush) -> None:
    brush.delay = 0.05
    async with serve(brush, tmp_path, jobs_running=1) as easel:
        other, desk = Desk(easel, "other"), Desk(easel, "me")
        running = await begun(other, brush)
        waiting = asyncio.create_task(desk.post("txt2img", SMALL))
        while (await desk.get("progress"))["textinfo"] != "Waiting: 1 before it":
            assert not waiting.done()
        await desk.post("interrupt")
        assert (await waiting).json["images"] == []
        assert not running.done()
        await other.post("interrupt")
        await running
        for one in (other, desk):
            one.transcoder.close()


@pytest.mark.usefixtures("nobodys")
async def test_a_client_that_goes_away_stops_its_job(easel: Easel, brush: Brush) -> None:
    brush.delay = 0.05
    desk = Desk(easel)
    task = await begun(desk, brush)
    desk.transcoder.close()
    await until(lambda: brush.closed == 1)
    await asyncio.wait({task})
    assert isinstance(task.exception(), Exception)
    jobs, _more = await easel.application.studio.jobs("")
    assert [job.state for job in jobs] == [JobState.CANCELLED]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("samplers", [{"name": s.name, "aliases": list(s.aliases), "options": {}} for s in CATALOG.samplers]),
        ("latent-upscale-modes", [{"name": "Latent"}]),
        ("sd-vae", []),
        ("hypernetworks", []),
        ("prompt-styles", []),
        ("extensions", []),
        ("embeddings", {"loaded": {}, "skipped": {}}),
        ("face-restorers", [{"name": "GFPGAN", "cmd_dir": None}]),
        ("realesrgan-models", [{"name": "Sharp 4x", "path": "upscalers/Sharp 4x", "scale": 4}]),
        ("loras", [{"name": "sketch", "alias": "sketch", "path": "loras/sketch", "metadata": {}}]),
        ("memory", {"ram": {"free": 1, "used": 2, "total": 3}, "cuda": {"error": "unavailable"}}),
        ("/controlnet/model_list", {"model_list": ["edges"]}),
        ("/controlnet/model_list?update=true", {"model_list": ["edges"]}),
        ("cmd-flags", {"api": True, "nowebui": True, "api_server_stop": False}),
    ],
)
async def test_lists(desk: Desk, path: str, answer: Any) -> None:
    assert await desk.get(path) == answer


async def test_lists_that_clients_pick_from(desk: Desk) -> None:
    (model, _large) = await desk.get("sd-models")
    assert (model["title"], model["model_name"], model["hash"], model["sha256"]) == (TITLE, "shapes", SHA[:10], SHA)
    assert "/" not in model["filename"].removeprefix("checkpoints/"), "no path of the machine"
    assert [one["name"] for one in await desk.get("schedulers")] == ["automatic", "karras"]
    assert [one["name"] for one in await desk.get("upscalers")] == ["None", "Lanczos", "Sharp 4x"]
    assert "controlnet" in (await desk.get("scripts"))["txt2img"]
    assert {one["is_img2img"] for one in await desk.get("script-info")} == {False, True}
    modules = await desk.get("/controlnet/module_list?alias_names=true")
    assert modules["module_list"][:2] == ["none", "canny"]
    assert set(modules["module_detail"]) == set(modules["module_list"])
    types = (await desk.get("/controlnet/control_types"))["control_types"]
    assert types["Canny"]["default_model"] == "edges"
    for path in ("refresh-checkpoints", "refresh-loras"):
        assert await desk.post(path) == Whole(200, None)
    assert await desk.run(lambda webui: webui.util_get_current_model()) == TITLE


async def test_a_model_that_was_chosen_and_is_gone(desk: Desk, brush: Brush) -> None:
    await desk.post("options", {"sd_model_checkpoint": "large"})
    brush.shelf = replace(CATALOG, models=CATALOG.models[:1])
    await desk.post("refresh-checkpoints")
    assert (await desk.get("options"))["sd_model_checkpoint"] == "large"
    assert (await desk.post("txt2img", SMALL)).status == 404
    await desk.post("options", {"sd_model_checkpoint": TITLE})
    assert (await desk.post("txt2img", SMALL)).status == 200


async def test_a_broken_model_is_not_offered(tmp_path: Path) -> None:
    broken = replace(CATALOG.models[1], fault="its files are damaged")
    async with serve(Brush(replace(CATALOG, models=(CATALOG.models[0], broken))), tmp_path) as easel:
        desk = Desk(easel)
        assert [one["model_name"] for one in await desk.get("sd-models")] == ["shapes"]
        desk.transcoder.close()


async def test_pictures_are_enlarged(desk: Desk, brush: Brush) -> None:
    one = await desk.run(lambda webui: webui.extra_single_image(plain(64), upscaler_1="lanczos", upscaling_resize=3))
    assert one.image.size == (192, 192)
    fitted = await desk.run(
        lambda webui: webui.extra_single_image(plain(64, 32), resize_mode=1, upscaler_1="Sharp 4x", gfpgan_visibility=1,
                                               upscaling_resize_w=128, upscaling_resize_h=128)
    )  # fmt: skip
    assert (fitted.image.size, brush.restored) == ((128, 128), ["GFPGAN"])
    several = await desk.run(lambda webui: webui.extra_batch_images([plain(64), plain(8)], upscaler_1="Lanczos"))
    assert [image.size for image in several.images] == [(128, 128), (16, 16)]
    same = await desk.run(lambda webui: webui.extra_single_image(plain(64)))
    assert same.image.size == (64, 64)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"upscaling_resize": 0.5}, (32, 16)),
        ({"upscaling_resize": 2.5}, (160, 80)),
        ({"resize_mode": 1, "upscaling_resize_w": 32, "upscaling_resize_h": 32}, (32, 32)),
        ({"resize_mode": 1, "upscaling_resize_w": 128, "upscaling_resize_h": 128, "upscaling_crop": False}, (128, 64)),
        ({"upscaler_1": "None", "upscaling_resize": 4}, (64, 32)),
    ],
)
async def test_sizes_of_extras(desk: Desk, fields: dict[str, Any], size: tuple[int, int]) -> None:
    body = {"image": encoded(plain(64, 32)), "upscaler_1": "Lanczos", **fields}
    assert opened((await desk.post("extra-single-image", body)).json["image"]).size == size


async def test_a_picture_tells_how_it_was_drawn(desk: Desk) -> None:
    drawn = (await desk.post("txt2img", SMALL)).json["images"][0]
    told = (await desk.post("png-info", {"image": drawn})).json
    assert told["info"].startswith("a red circle\nSteps: 4")
    assert (told["parameters"]["Prompt"], told["parameters"]["Seed"], told["items"]) == ("a red circle", "5", {})
    assert (await desk.post("png-info", {"image": encoded(plain(64))})).json == {
        "info": "",
        "items": {},
        "parameters": {},
    }


async def test_edges_are_detected(desk: Desk) -> None:
    found = await desk.run(lambda webui: webui.controlnet_detect([plain(64), half().convert("RGB")], module="canny"))
    assert found.info == "Success"
    assert [image.convert("L").getextrema()[1] for image in found.images] == [0, 255]


def unit(**fields: Any) -> dict[str, Any]:
    """A body with a ControlNet unit."""
    good = {"image": encoded(plain(64)), "model": "edges"}
    return {**SMALL, "alwayson_scripts": {"controlnet": {"args": [{**good, **fields}]}}}


AT = ["alwayson_scripts", "controlnet", "args", 0]


@pytest.mark.parametrize(
    ("path", "body", "loc"),
    [
        ("txt2img", b"{", []),
        ("txt2img", b"[1]", []),
        ("txt2img", b'{"a": ' + b"[" * 5000, []),
        ("txt2img", b'{"cfg_scale": NaN}', ["cfg_scale"]),
        ("txt2img", b'{"override_settings": {"x": 1e999}}', ["override_settings"]),
        ("txt2img", {"steps": "many"}, ["steps"]),
        ("txt2img", {"steps": 0}, ["steps"]),
        ("txt2img", {"steps": 151}, ["steps"]),
        ("txt2img", {"width": 0}, ["width"]),
        ("txt2img", {"width": 100, "height": 64}, ["width"]),
        ("txt2img", {"width": 4096, "height": 4096}, ["width"]),
        ("txt2img", {"batch_size": 10**20}, ["batch_size"]),
        ("txt2img", {"batch_size": 8, "n_iter": 8}, ["n_iter"]),
        ("txt2img", {"seed": -2}, ["seed"]),
        ("txt2img", {"seed": 1 << 40}, ["seed"]),
        ("txt2img", {"prompt": "x" * 10_001}, ["prompt"]),
        ("txt2img", {"prompt": "<lora:nobody:1>"}, ["prompt"]),
        ("txt2img", {"styles": ["nice"]}, ["styles"]),
        ("txt2img", {"tiling": True}, ["tiling"]),
        ("txt2img", {"subseed_strength": 0.5}, ["subseed_strength"]),
        ("txt2img", {"refiner_checkpoint": "large"}, ["refiner_checkpoint"]),
        ("txt2img", {"enable_hr": True, "hr_checkpoint_name": "large"}, ["hr_checkpoint_name"]),
        ("txt2img", {"enable_hr": True, "hr_upscaler": "Nobody"}, ["hr_upscaler"]),
        ("txt2img", {"enable_hr": True, "hr_resize_x": 128, "hr_resize_y": 256}, ["hr_resize_y"]),
        ("txt2img", {"enable_hr": True, "hr_scale": 9}, ["hr_scale"]),
        ("txt2img", {"sampler_name": "Euler", "scheduler": "karras"}, ["scheduler"]),
        ("txt2img", {"override_settings": {"sd_vae": "other.pt"}}, ["override_settings", "sd_vae"]),
        ("txt2img", {"override_settings": {"jpeg_quality": 101}}, ["override_settings", "jpeg_quality"]),
        ("txt2img", {"force_task_id": "a b"}, ["force_task_id"]),
        ("txt2img", unit(image="????"), [*AT, "image"]),
        ("txt2img", unit(image=""), [*AT, "image"]),
        ("txt2img", unit(image=encoded(plain(64))[:60]), [*AT, "image"]),
        ("txt2img", unit(model="Nobody"), [*AT, "model"]),
        ("txt2img", unit(module="depth"), [*AT, "module"]),
        ("txt2img", unit(weight="heavy"), [*AT, "weight"]),
        ("txt2img", unit(control_mode=2), [*AT, "control_mode"]),
        ("txt2img", unit(resize_mode="Somehow"), [*AT, "resize_mode"]),
        ("txt2img", {"alwayson_scripts": {"controlnet": {"args": [7]}}}, AT),
        ("img2img", {"init_images": ["????"]}, ["init_images", 0]),
        ("img2img", {"init_images": [encoded(plain(64))] * 2}, ["init_images"]),
        ("img2img", {"init_images": [encoded(plain(6000, mode="1", tint=0))]}, ["init_images", 0]),
        ("img2img", {"init_images": ["http://127.0.0.1/a.png"]}, ["init_images", 0]),
        ("img2img", {"init_images": [encoded(plain(64))], "mask": encoded(plain(32))}, ["mask"]),
        ("img2img", {"init_images": [encoded(plain(64))], "mask": "????"}, ["mask"]),
        ("img2img", {"init_images": [encoded(plain(64))], "denoising_strength": 2}, ["denoising_strength"]),
        ("img2img", {"init_images": [encoded(plain(64))], "inpainting_fill": 9}, ["inpainting_fill"]),
        ("img2img", {"init_images": [encoded(plain(64))], "resize_mode": 7}, ["resize_mode"]),
        ("extra-single-image", {}, ["image"]),
        ("extra-single-image", {"image": "????"}, ["image"]),
        ("extra-single-image", {"image": encoded(plain(64)), "upscaler_1": "Nobody"}, ["upscaler_1"]),
        ("extra-single-image", {"image": encoded(plain(64)), "upscaling_resize": 0}, ["upscaling_resize"]),
        ("extra-batch-images", {"imageList": []}, ["imageList"]),
        ("extra-batch-images", {"imageList": [{"data": "????", "name": "a"}]}, ["imageList", 0, "data"]),
        ("png-info", {"image": "????"}, ["image"]),
        ("png-info", {}, ["image"]),
        ("options", b"[]", []),
        ("options", {"CLIP_stop_at_last_layers": 99}, ["CLIP_stop_at_last_layers"]),
        ("options", {"samples_format": "tiff"}, ["samples_format"]),
        ("options", {"x": "y" * 70_000}, []),
        ("/controlnet/detect", {"controlnet_module": "canny"}, ["controlnet_input_images"]),
        ("/controlnet/detect", {"controlnet_module": "depth", "controlnet_images": ["x"]}, ["controlnet_module"]),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(desk: Desk, brush: Brush, path: str, body: Any, loc: list[Any]) -> None:
    answer = await desk.post(path, body)
    assert answer.status == 422, answer
    first = answer.json["detail"][0]
    assert first["loc"] == ["body", *loc], first
    assert first["msg"]
    assert first["type"]
    assert not brush.sheets


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("txt2img", {"sampler_name": "Nobody"}, 400, "Sampler not found"),
        ("txt2img", {"script_name": "x/y/z plot"}, 422, "Script 'x/y/z plot' not found"),
        ("txt2img", {"alwayson_scripts": {"ADetailer": {"args": [True]}}}, 422, "always on script ADetailer not found"),
        ("txt2img", {"override_settings": {"sd_model_checkpoint": "nobody"}}, 404, "There is no model 'nobody'"),
        ("options", {"sd_model_checkpoint": "nobody"}, 404, "There is no model 'nobody'"),
        ("img2img", {}, 404, "Init image not found"),
        ("png-info", {"image": base64.b64encode(bytes(33 << 20)).decode()}, 413, "image: must not be over 32 MiB"),
        ("extra-single-image", {"image": encoded(plain(64)), "codeformer_visibility": 1}, 501, "codeformer_visibility"),
    ],
)
async def test_what_cannot_be_done_is_said_as_the_web_ui_does(
    desk: Desk, path: str, body: Any, status: int, detail: str
) -> None:
    answer = await desk.post(path, body)
    assert answer.status == status, answer
    assert answer.json["detail"].startswith(detail), answer.json
    assert set(answer.json) == {"error", "detail", "body", "errors"}


async def test_a_name_is_a_jobs_only_once(desk: Desk) -> None:
    named = {**SMALL, "force_task_id": "task(1)"}
    assert (await desk.post("txt2img", named)).status == 200
    answer = await desk.post("txt2img", named)
    assert (answer.status, answer.json["error"]) == (409, "AlreadyExists")


async def test_a_model_server_that_is_away(desk: Desk, brush: Brush) -> None:
    brush.breaks_after = 0
    answer = await desk.post("txt2img", SMALL)
    assert (answer.status, answer.json["error"]) == (503, "DependencyUnavailable")


async def test_a_full_queue_says_when_to_come_again(tmp_path: Path, brush: Brush) -> None:
    brush.delay = 0.05
    async with serve(brush, tmp_path, jobs_running=1, jobs_waiting=0) as easel:
        desk = Desk(easel)
        task = await begun(desk, brush)
        answer = await desk.post("txt2img", SMALL)
        assert (answer.status, answer.json["error"]) == (429, "QueueFull")
        await desk.post("interrupt")
        await task
        desk.transcoder.close()


async def test_any_language_is_drawn(desk: Desk) -> None:
    answer = await desk.post("txt2img", {**SMALL, "prompt": 'vẽ một hình tròn đỏ 🎨, "to"'})
    assert json.loads(answer.json["info"])["infotexts"][0].startswith("vẽ một hình tròn đỏ 🎨")
    told = await desk.post("png-info", {"image": answer.json["images"][0]})
    assert told.json["parameters"]["Prompt"] == 'vẽ một hình tròn đỏ 🎨, "to"'
