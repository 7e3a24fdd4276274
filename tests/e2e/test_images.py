"""Pictures through the whole stack: Envoy, the image service, Triton, diffusers; driven by clients as they are."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import webuiapi
from PIL import Image

from tests.conftest import missing
from tests.e2e.conftest import MeshStack

PROMPT = "a red circle on a white background"
SIDE = 64
STEPS = 6
MODEL = "shapes"
PATIENCE = 120.0
"""Seconds after which a picture is given up."""


@pytest.fixture(scope="module")
def drawing_stack(stack: MeshStack) -> MeshStack:
    """The stack, where it has a model that draws."""
    answer = stack.http.get("/api/v1/imageModels", timeout=PATIENCE)
    if answer.status_code == 503:
        missing(f"a model that draws ({answer.json()['message']})")
    assert answer.status_code == 200, answer.text
    if MODEL not in [model["id"] for model in answer.json()["models"]]:
        missing(f"the checkpoint {MODEL!r}")
    return stack


@pytest.fixture(scope="module")
def client(drawing_stack: MeshStack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{drawing_stack.url}/v1", api_key=drawing_stack.key, max_retries=0, timeout=PATIENCE
    ) as sdk:
        yield sdk


def web_ui(stack: MeshStack) -> webuiapi.WebUIApi:
    """A client of the web UI's API, which sends the key as those clients can: as a password."""
    made = webuiapi.WebUIApi(baseurl=f"{stack.url}/sdapi/v1", steps=STEPS)
    made.set_auth("anybody", stack.key)
    return made


@pytest.fixture(scope="module")
def webui(drawing_stack: MeshStack) -> webuiapi.WebUIApi:
    return web_ui(drawing_stack)


def picture(content: bytes | None) -> Image.Image:
    assert content
    return Image.open(io.BytesIO(content))


def of_base64(text: str | None) -> Image.Image:
    return picture(base64.b64decode(text or ""))


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def square(colour: str = "blue") -> Image.Image:
    """A black square on a ground."""
    image = Image.new("RGB", (SIDE, SIDE), colour)
    image.paste((0, 0, 0), (16, 16, 48, 48))
    return image


def mask(hole: tuple[int, int, int, int]) -> Image.Image:
    """Opaque but for a hole."""
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), hole)
    return image


def test_models_that_draw_are_listed_with_the_others(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]


def test_a_picture_is_drawn_again_from_its_seed(client: openai.OpenAI) -> None:
    extra = {"seed": 7, "steps": STEPS}
    first = client.images.generate(prompt=PROMPT, model=MODEL, response_format="b64_json", extra_body=extra)
    again = client.images.generate(prompt=PROMPT, model=MODEL, response_format="b64_json", extra_body=extra)
    assert first.data is not None
    assert again.data is not None
    drawn = of_base64(first.data[0].b64_json)
    assert first.size == f"{drawn.width}x{drawn.height}" == f"{SIDE}x{SIDE}"
    assert np.asarray(drawn).std() > 1, "it shows something"
    assert np.array_equal(np.asarray(drawn), np.asarray(of_base64(again.data[0].b64_json)))
    assert "Seed: 7" in drawn.text["parameters"]  # type: ignore[attr-defined]  # what PNG files have


def test_the_address_of_a_picture_leads_to_it(client: openai.OpenAI, drawing_stack: MeshStack) -> None:
    answer = client.images.generate(prompt=PROMPT, model="dall-e-3", size="1024x1024", extra_body={"steps": 2})
    assert answer.data is not None
    url = answer.data[0].url or ""
    assert url.startswith(f"{drawing_stack.url}/api/v1/images/")
    # Without the key: as everybody does it, and as it works at OpenAI.
    fetched = httpx.get(url, timeout=PATIENCE)
    assert fetched.headers["content-type"] == "image/png"
    assert fetched.headers["cache-control"].startswith("private, max-age=")
    assert picture(fetched.content).size == (SIDE, SIDE), "the model's own size, as OpenAI's are shapes here"


def test_previews_come_before_the_picture(client: openai.OpenAI) -> None:
    events = list(
        client.images.generate(
            prompt=PROMPT, model=MODEL, stream=True, partial_images=2, extra_body={"steps": STEPS, "seed": 1}
        )
    )
    assert [event.type for event in events][-1] == "image_generation.completed"
    partial = [event for event in events if event.type == "image_generation.partial_image"]
    assert [event.partial_image_index for event in partial] == list(range(len(partial)))
    assert partial
    assert of_base64(events[-1].b64_json).size == (SIDE, SIDE)


def test_what_a_mask_does_not_open_stays(client: openai.OpenAI) -> None:
    before, hole = square(), (32, 0, 64, 64)
    answer = client.images.edit(
        image=("square.png", png(before)),
        mask=("mask.png", png(mask(hole))),
        prompt="a green triangle",
        model=MODEL,
        response_format="b64_json",
        extra_body={"steps": STEPS},
    )
    assert answer.data is not None
    after = of_base64(answer.data[0].b64_json).convert("RGB")
    kept = (0, 0, 32, 64)
    assert np.array_equal(np.asarray(after.crop(kept)), np.asarray(before.crop(kept)))
    assert not np.array_equal(np.asarray(after.crop(hole)), np.asarray(before.crop(hole)))


@pytest.mark.parametrize(
    ("change", "param"),
    [({"n": 99}, "n"), ({"size": "61x61"}, "size"), ({"background": "transparent"}, "background")],
    ids=["n", "size", "background"],
)
def test_what_is_wrong_is_named(client: openai.OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**{"prompt": PROMPT, "model": MODEL, **change})
    assert caught.value.param == param


def test_a_model_that_is_not_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(prompt=PROMPT, model="nobody")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_the_web_ui_client_draws_and_edits(webui: webuiapi.WebUIApi) -> None:
    drawn = webui.txt2img(prompt=PROMPT, seed=5, width=SIDE, height=SIDE)
    assert drawn.image.size == (SIDE, SIDE)
    assert drawn.info["seed"] == 5
    assert "Steps: 6" in drawn.info["infotexts"][0]
    assert webui.png_info(drawn.image).info == drawn.info["infotexts"][0]
    edited = webui.img2img(images=[drawn.image], prompt="a blue square", width=SIDE, height=SIDE, seed=5)
    assert not np.array_equal(np.asarray(edited.image), np.asarray(drawn.image))


def test_the_web_ui_client_lets_edges_guide(webui: webuiapi.WebUIApi) -> None:
    found = webui.controlnet_model_list()
    if not found:
        missing("a ControlNet in the image models")
    unit = webuiapi.ControlNetUnit(image=square("white"), module="canny", model=found[0])
    plain = webui.txt2img(prompt=PROMPT, seed=5, width=SIDE, height=SIDE)
    guided = webui.txt2img(prompt=PROMPT, seed=5, width=SIDE, height=SIDE, controlnet_units=[unit])
    assert not np.array_equal(np.asarray(guided.images[0]), np.asarray(plain.image))
    assert "ControlNet 0" in guided.info["infotexts"][0]


def test_the_web_ui_client_follows_and_interrupts(drawing_stack: MeshStack, webui: webuiapi.WebUIApi) -> None:
    results: list[webuiapi.WebUIApiResult] = []
    drawing = threading.Thread(
        target=lambda: results.append(
            webui.txt2img(prompt=PROMPT, width=SIDE, height=SIDE, steps=150, batch_size=4, n_iter=4)
        )
    )
    drawing.start()
    other = web_ui(drawing_stack)
    give_up = time.monotonic() + PATIENCE
    while not (told := other.get_progress())["state"]["sampling_step"]:
        assert time.monotonic() < give_up, told
        time.sleep(0.05)
    assert 0 < told["progress"] < 1
    assert (told["state"]["job_count"], told["state"]["sampling_steps"]) == (16, 150)
    assert other.interrupt() == {}
    drawing.join(PATIENCE)
    assert len(results) == 1, "the request ended, and well"
    assert len(results[0].images) < 16
    idle = other.get_progress()
    assert (idle["progress"], idle["state"]["job_count"]) == (0.0, 0)


def test_the_web_ui_lists_what_there_is(webui: webuiapi.WebUIApi) -> None:
    assert MODEL in [model["model_name"] for model in webui.get_sd_models()]
    assert "Euler a" in webui.util_get_sampler_names()
    assert "Lanczos" in [upscaler["name"] for upscaler in webui.get_upscalers()]
    assert webui.has_controlnet
    larger = webui.extra_single_image(image=square(), upscaler_1="Lanczos", upscaling_resize=2)
    assert larger.image.size == (2 * SIDE, 2 * SIDE)


def test_an_answer_of_megabytes_comes_whole(webui: webuiapi.WebUIApi) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    larger = webui.extra_batch_images(images=[noise, noise], upscaler_1="Lanczos", upscaling_resize=4)
    assert sum(len(text) for text in larger.json["images"]) > 4 << 20
    assert [image.size for image in larger.images] == [(1024, 1024)] * 2


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"prompt": "x", "steps": "many"}, 422, ["body", "steps"]),
        ({"prompt": "x", "width": 61, "height": 64}, 422, ["body", "width"]),
        ({"prompt": "x", "sampler_name": "Nobody"}, 400, "Sampler not found"),
    ],
    ids=["type", "grid", "sampler"],
)
def test_the_web_ui_says_what_is_wrong(
    drawing_stack: MeshStack, body: dict[str, Any], status: int, told: list[str] | str
) -> None:
    answer = drawing_stack.http.post("/sdapi/v1/txt2img", json=body, timeout=PATIENCE)
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert detail[0]["loc"] == told if isinstance(told, list) else told in detail


@pytest.mark.parametrize("path", ["server-kill", "server-restart", "server-stop", "unload-checkpoint"])
def test_what_would_stop_everybody_is_not_served(drawing_stack: MeshStack, path: str) -> None:
    assert drawing_stack.http.post(f"/sdapi/v1/{path}", timeout=PATIENCE).status_code == 404
