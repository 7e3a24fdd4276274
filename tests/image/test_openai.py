"""OpenAI's image endpoints: the unmodified SDK, its HTTP handed to the façade as the gateway does."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx2  # the SDK's own HTTP client
import numpy as np
import openai
import pytest
from PIL import Image

from parley.openai.v1 import openai_pb2
from tests.image.easel import Easel, serve, until
from tests.image.facade import Brush, colour
from tests.image.transcoder import Transcoder, Transport

SERVICE = openai_pb2.DESCRIPTOR.services_by_name["ImagesService"]
HOST = {"x_forwarded_host": "parley.test:8443", "x_forwarded_proto": "https"}
T = TypeVar("T")


class Whole(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    content: bytes


class Desk:
    """The façade with a client in front of it.

    Args:
        brush: What paints.
        transcoder: The way to the façade.
    """

    def __init__(self, brush: Brush, transcoder: Transcoder) -> None:
        self.brush, self.transcoder = brush, transcoder
        http = httpx2.Client(transport=Transport(transcoder))
        self.sdk = openai.OpenAI(base_url="http://parley/v1", api_key="none", http_client=http, max_retries=0)

    async def run(self, work: Callable[[openai.OpenAI], T]) -> T:
        """Something that blocks."""
        return await asyncio.to_thread(work, self.sdk)

    async def post(self, path: str, body: bytes, content_type: str = "application/json") -> Whole:
        """A body as it is."""

        def blocking() -> Whole:
            answer = self.transcoder.call("POST", f"/v1/images/{path}", content_type, body)
            # The server runs on this test's own loop: only a thread may wait for the rest.
            return Whole(answer.status, answer.content_type, answer.headers, b"".join(answer.content))

        return await asyncio.to_thread(blocking)


@pytest.fixture
async def desk(brush: Brush, easel: Easel) -> AsyncIterator[Desk]:
    transcoder = Transcoder(easel.address, SERVICE, **HOST)
    yield Desk(brush, transcoder)
    transcoder.close()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def of_base64(text: str | None) -> Image.Image:
    assert text
    return opened(base64.b64decode(text))


def png(*size: int, tint: Any = "blue", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (size[0], size[-1]), tint).save(out, "PNG")
    return out.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


async def test_pictures_come_as_bytes(desk: Desk) -> None:
    answer = await desk.run(
        lambda sdk: sdk.images.generate(prompt="a red circle", model="shapes", n=2, extra_body={"seed": 3})
    )
    assert answer.data is not None
    drawn = [of_base64(one.b64_json) for one in answer.data]
    assert [one.getpixel((5, 5)) for one in drawn] == [colour("a red circle", 3), colour("a red circle", 4)]
    assert (answer.size, answer.output_format, answer.background, answer.quality) == (
        "64x64",
        "png",
        "opaque",
        "medium",
    )
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (3, 128, 131)
    assert all(one.url is None for one in answer.data)
    assert "Seed: 3" in drawn[0].text["parameters"]  # type: ignore[attr-defined]  # what PNG files have


async def test_addresses_are_those_that_the_client_asked(desk: Desk) -> None:
    answer = await desk.run(lambda sdk: sdk.images.generate(prompt="x", response_format="url"))
    assert answer.data is not None
    assert (answer.data[0].url or "").startswith("https://parley.test:8443/api/v1/images/")
    assert answer.data[0].b64_json is None


async def test_the_deployment_may_say_its_own_address(tmp_path: Path) -> None:
    async with serve(Brush(), tmp_path, public_url="https://pictures.test/") as easel:
        desk = Desk(Brush(), Transcoder(easel.address, SERVICE))
        answer = await desk.run(lambda sdk: sdk.images.generate(prompt="x", response_format="url"))
        desk.transcoder.close()
    assert answer.data is not None
    assert (answer.data[0].url or "").startswith("https://pictures.test/api/v1/images/")


@pytest.mark.parametrize("host", [{}, {"x_forwarded_host": "evil.test/?x="}], ids=["none", "hostile"])
async def test_without_a_known_address_bytes_are_recommended(tmp_path: Path, host: dict[str, str]) -> None:
    async with serve(Brush(), tmp_path) as easel:
        desk = Desk(Brush(), Transcoder(easel.address, SERVICE, **host))
        with pytest.raises(openai.BadRequestError, match="ask for b64_json") as caught:
            await desk.run(lambda sdk: sdk.images.generate(prompt="x", response_format="url"))
        desk.transcoder.close()
    assert caught.value.param == "response_format"


@pytest.mark.parametrize(
    ("model", "size", "drawn"),
    [
        ("shapes", "auto", (64, 64)),
        ("shapes", "128x64", (128, 64)),
        ("shapes", "1024x1024", (1024, 1024)),
        ("dall-e-3", "1024x1024", (64, 64)),
        ("gpt-image-1", "1536x1024", (96, 64)),
        (None, "1024x1536", (64, 96)),
        (None, "256x256", (64, 64)),
        (None, "72x80", (72, 80)),
        ("large", None, (128, 128)),
    ],
)
async def test_sizes(desk: Desk, model: str | None, size: str | None, drawn: tuple[int, int]) -> None:
    """OpenAI's own sizes are shapes to whoever knows no model of this deployment; all others are what they say."""
    answer = await desk.run(
        lambda sdk: sdk.images.generate(prompt="x", model=model, size=size, response_format="b64_json")
    )
    assert answer.data is not None
    assert of_base64(answer.data[0].b64_json).size == drawn
    assert answer.size == f"{drawn[0]}x{drawn[1]}"


@pytest.mark.parametrize(
    ("quality", "steps", "said"),
    [("auto", 8, "medium"), ("standard", 8, "medium"), ("low", 4, "low"), ("hd", 12, "high"), ("max", 16, "max")],
)
async def test_quality_decides_on_steps(desk: Desk, quality: Any, steps: int, said: str) -> None:
    answer = await desk.run(lambda sdk: sdk.images.generate(prompt="x", model="shapes", quality=quality))
    assert desk.brush.sheets[-1].steps == steps
    assert answer.quality == said


@pytest.mark.parametrize(("output_format", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
async def test_formats(desk: Desk, output_format: Any, kind: str) -> None:
    compression = {} if output_format == "png" else {"output_compression": 50}
    answer = await desk.run(
        lambda sdk: sdk.images.generate(prompt="x", model="shapes", output_format=output_format, extra_body=compression)
    )
    assert answer.data is not None
    assert of_base64(answer.data[0].b64_json).format == kind
    assert answer.output_format == output_format


@pytest.mark.parametrize("wanted", [0, 1, 3])
async def test_a_stream_shows_as_many_previews_as_were_asked_for(desk: Desk, wanted: int) -> None:
    def draw(sdk: openai.OpenAI) -> list[Any]:
        return list(sdk.images.generate(prompt="x", model="shapes", stream=True, partial_images=wanted))

    # A slow model: a reader who is slower gets the latest preview only.
    desk.brush.delay = 0.02
    *partial, last = await desk.run(draw)
    assert [one.type for one in partial] == ["image_generation.partial_image"] * wanted
    assert [one.partial_image_index for one in partial] == list(range(wanted))
    assert last.type == "image_generation.completed"
    assert of_base64(last.b64_json).size == (64, 64)
    assert last.usage.total_tokens == 65
    assert all(of_base64(one.b64_json).size == (32, 32) for one in partial)


async def test_events_are_named_as_openai_names_them(desk: Desk) -> None:
    answer = await desk.post("generations", b'{"prompt": "x", "stream": true}')
    assert answer.content_type == "text/event-stream"
    data = answer.content
    assert data.startswith(b"event: image_generation.completed\ndata: {")
    assert data.endswith(b"}\n\n")


async def test_an_error_in_the_middle_of_a_stream_is_an_event(desk: Desk) -> None:
    desk.brush.delay, desk.brush.breaks_after = 0.02, 6

    def draw(sdk: openai.OpenAI) -> None:
        for event in sdk.images.generate(prompt="x", model="shapes", stream=True, partial_images=3):
            assert event.type == "image_generation.partial_image"

    with pytest.raises(openai.APIError, match="model server"):
        await desk.run(draw)


async def test_a_client_that_goes_away_stops_the_model(desk: Desk) -> None:
    desk.brush.delay = 0.05

    def draw(sdk: openai.OpenAI) -> None:
        with sdk.images.generate(
            prompt="x", model="shapes", stream=True, partial_images=1, extra_body={"steps": 100}
        ) as stream:
            next(iter(stream))
            desk.brush.delay = 60.0  # what is left takes longer than the hang-up, however slow this machine is

    await desk.run(draw)
    await until(lambda: desk.brush.closed > 0)


async def test_an_edit_draws_where_the_mask_is_transparent(desk: Desk) -> None:
    mask = Image.new("RGBA", (64, 64), "black")
    mask.paste((0, 0, 0, 0), (32, 0, 64, 64))
    out = io.BytesIO()
    mask.save(out, "PNG")
    answer = await desk.run(
        lambda sdk: sdk.images.edit(
            image=("a.png", png(64)),
            mask=("m.png", out.getvalue()),
            prompt="green",
            model="shapes",
            response_format="b64_json",
            extra_body={"seed": 1},
        )
    )
    assert answer.data is not None
    drawn = of_base64(answer.data[0].b64_json)
    assert drawn.getpixel((0, 0)) == (0, 0, 255), "what is opaque in the mask stays"
    assert drawn.getpixel((63, 63)) == colour("green", 1)
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == 64


@pytest.mark.parametrize(("fidelity", "strength"), [({}, 0.75), ({"input_fidelity": "high"}, 0.5)])
async def test_an_edit_of_the_whole_picture(desk: Desk, fidelity: Any, strength: float) -> None:
    await desk.run(lambda sdk: sdk.images.edit(image=[png(80, 72)], prompt="green", model="shapes", **fidelity))
    sheet = desk.brush.sheets[-1]
    assert (sheet.width, sheet.height, sheet.strength) == (80, 72, strength)


async def test_an_edit_streams(desk: Desk) -> None:
    def draw(sdk: openai.OpenAI) -> list[Any]:
        return list(sdk.images.edit(image=png(64), prompt="x", model="shapes", stream=True, partial_images=1))

    desk.brush.delay = 0.02
    events = await desk.run(draw)
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]


@pytest.mark.parametrize(
    "pictures",
    [
        {"image": data_url(png(64))},
        {"image": [data_url(png(64))]},
        {"images": [{"image_url": data_url(png(64))}], "mask": {"image_url": data_url(png(64, tint="white"))}},
        {"image": base64.b64encode(png(64)).decode(), "mask": data_url(png(64, tint="white"))},
    ],
)
async def test_an_edit_as_json(desk: Desk, pictures: dict[str, Any]) -> None:
    answer = await desk.post("edits", json.dumps({"prompt": "x", "model": "shapes", **pictures}).encode())
    assert answer.status == 200
    assert of_base64(json.loads(answer.content)["data"][0]["b64_json"]).size == (64, 64)
    assert desk.brush.sheets[-1].image is not None


# The SDK announces that it will drop this endpoint; servers keep it.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_a_variation(desk: Desk) -> None:
    answer = await desk.run(lambda sdk: sdk.images.create_variation(image=png(64), model="shapes", n=2))
    assert answer.data is not None
    assert len(answer.data) == 2
    sheet = desk.brush.sheets[-1]
    assert sheet.image is not None
    assert np.array_equal(sheet.image[0, 0], (0, 0, 255))


GOOD = {"prompt": "x", "model": "shapes"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"", 400, "prompt"),
        (b"{", 400, "body"),
        (b"[]", 400, "body"),
        (b"\xff\xfe", 400, "body"),
        (b'{"prompt": "\\ud800"}', 400, "body"),
        (b'{"prompt": ' + b"[" * 10_000, 400, "body"),
        ({"prompt": 7}, 400, "prompt"),
        ({"prompt": "x" * 10_001}, 400, "prompt"),
        ({**GOOD, "n": 0}, 400, "n"),
        ({**GOOD, "n": 11}, 400, "n"),
        ({**GOOD, "n": 1.5}, 400, "n"),
        ({**GOOD, "n": 10**30}, 400, "n"),
        (b'{"prompt": "x", "guidance_scale": NaN}', 400, "guidance_scale"),
        (b'{"prompt": "x", "guidance_scale": 1e999}', 400, "guidance_scale"),
        ({**GOOD, "size": "big"}, 400, "size"),
        ({**GOOD, "size": "0x0"}, 400, "size"),
        ({**GOOD, "size": "65x64"}, 400, "size"),
        ({**GOOD, "size": "4096x4096"}, 400, "size"),
        ({**GOOD, "quality": "best"}, 400, "quality"),
        ({**GOOD, "response_format": "gif"}, 400, "response_format"),
        ({**GOOD, "response_format": "url", "stream": True}, 400, "response_format"),
        ({**GOOD, "output_format": "gif"}, 400, "output_format"),
        ({**GOOD, "output_compression": 50}, 400, "output_compression"),
        ({**GOOD, "background": "transparent"}, 400, "background"),
        ({**GOOD, "partial_images": 4, "stream": True}, 400, "partial_images"),
        ({**GOOD, "stream": "perhaps"}, 400, "stream"),
        ({**GOOD, "seed": 1 << 32}, 400, "seed"),
        ({**GOOD, "steps": 10_000}, 400, "steps"),
        ({"prompt": "x <lora:nobody:1>", "model": "shapes"}, 400, "prompt"),
        ({**GOOD, "model": "nobody"}, 404, "model"),
    ],
)
async def test_what_is_wrong_is_named(desk: Desk, body: Any, status: int, param: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await desk.post("generations", raw)
    error = json.loads(answer.content)["error"]
    assert (answer.status, error["param"], error["type"]) == (status, param, "invalid_request_error"), error
    assert not desk.brush.sheets


@pytest.mark.parametrize("field", ["style", "moderation", "user", "safety_identifier", "nonsense"])
async def test_what_changes_nothing_is_taken(desk: Desk, field: str) -> None:
    value = {"style": "vivid", "moderation": "low"}.get(field, "anything")
    assert (await desk.post("generations", json.dumps({**GOOD, field: value}).encode())).status == 200


def form(*parts: tuple[str, bytes | str]) -> tuple[bytes, str]:
    """A form and its content type; bytes are files."""
    lines = []
    for name, value in parts:
        file = isinstance(value, bytes)
        lines.append(f'--edge\r\nContent-Disposition: form-data; name="{name}"{"; filename=f" if file else ""}\r\n\r\n')
    content = b""
    for line, (_name, value) in zip(lines, parts, strict=True):
        content += line.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return content + b"--edge--\r\n", "multipart/form-data; boundary=edge"


@pytest.mark.parametrize(
    ("parts", "status", "param"),
    [
        ([("prompt", "x")], 400, "image"),
        ([("image", png(64))], 400, "prompt"),
        ([("prompt", "x"), ("image", b"")], 400, "image"),
        ([("prompt", "x"), ("image", b"no picture at all")], 400, "image"),
        ([("prompt", "x"), ("image", png(64)[:100])], 400, "image"),
        ([("prompt", "x"), ("image[]", png(64)), ("image[]", png(64))], 400, "image"),
        ([("prompt", "x"), ("image", png(64)), ("mask", png(32))], 400, "mask"),
        ([("prompt", "x"), ("image", png(64)), ("mask", b"no mask")], 400, "mask"),
        ([("prompt", "x"), ("image", png(64)), ("n", "many")], 400, "n"),
        ([("prompt", "x" * 70_000), ("image", png(64))], 400, "prompt"),
        ([("prompt", "x"), ("image", bytes(33 << 20))], 413, "image"),
    ],
)
async def test_what_is_wrong_in_a_form_is_named(desk: Desk, parts: Any, status: int, param: str) -> None:
    answer = await desk.post("edits", *form(*parts))
    error = json.loads(answer.content)["error"]
    assert (answer.status, error["param"]) == (status, param), error


async def test_what_is_no_form_is_named(desk: Desk) -> None:
    whole, content_type = form(("prompt", "x"), ("image", png(64)))
    for body, kind in ((whole[:-20], content_type), (whole, "text/plain"), (whole, "multipart/form-data")):
        answer = await desk.post("edits", body, kind)
        assert json.loads(answer.content)["error"]["param"] == "body"


@pytest.mark.parametrize(
    ("picture", "status"),
    [("http://127.0.0.1:1/a.png", 400), ("file:///etc/passwd", 400), ("data:image/png,abc", 400), ("????", 400)],
)
async def test_no_address_is_followed(desk: Desk, picture: str, status: int) -> None:
    answer = await desk.post("edits", json.dumps({"prompt": "x", "image": picture}).encode())
    error = json.loads(answer.content)["error"]
    assert (answer.status, error["param"], error["code"]) == (status, "image", "invalid_image"), error


async def test_a_model_server_that_is_away(desk: Desk) -> None:
    desk.brush.breaks_after = 0
    answer = await desk.post("generations", json.dumps(GOOD).encode())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert json.loads(answer.content)["error"]["type"] == "server_error"


async def test_a_full_queue_says_when_to_come_again(brush: Brush, tmp_path: Path) -> None:
    brush.delay = 0.05
    async with serve(brush, tmp_path, jobs_running=1, jobs_waiting=0) as easel:
        desk = Desk(brush, Transcoder(easel.address, SERVICE, **HOST))
        first = asyncio.create_task(desk.post("generations", json.dumps({**GOOD, "steps": 60}).encode()))
        await until(lambda: bool(brush.sheets))
        with pytest.raises(openai.RateLimitError) as caught:
            await desk.run(lambda sdk: sdk.images.generate(prompt="x"))
        assert (caught.value.code, int(caught.value.response.headers["retry-after"]) >= 1) == ("queue_full", True)
        brush.delay = 0.0
        assert (await first).status == 200
        desk.transcoder.close()


@pytest.mark.usefixtures("nobodys")
async def test_an_interrupted_job_is_an_error(desk: Desk, easel: Easel, brush: Brush) -> None:
    brush.delay = 0.05
    task = asyncio.create_task(desk.post("generations", json.dumps({**GOOD, "steps": 100}).encode()))
    await until(lambda: bool(brush.sheets))
    (job,), _more = await easel.application.studio.jobs("")
    await easel.interrupt(job.id)
    answer = await task
    assert (answer.status, json.loads(answer.content)["error"]["code"]) == (499, "cancelled")
