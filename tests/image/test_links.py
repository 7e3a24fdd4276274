"""Links to pictures: who has one sees the picture and nothing else, until it ends; nobody makes one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import grpc
import pytest
from pydantic import ValidationError

from parley.image.v1 import image_pb2 as pb2
from parley.openai.v1 import openai_pb2
from services.image.settings import ImageSettings
from tests.image.easel import Easel, of_kind, refused, serve
from tests.image.facade import Brush
from tests.image.transcoder import Transcoder
from tests.tenants import ANN, BOB, EVE, NOBODY, Metadata

Change = Callable[[dict[str, str]], dict[str, str]]
NOT_VALID = "This link is not valid: it has expired, was changed, or its picture is gone."


def key() -> str:
    """A key as `parley up` makes it."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


KEY = key()


@pytest.fixture
async def easel(brush: Brush, tmp_path: Path) -> AsyncIterator[Easel]:
    """The service, with a key for links."""
    async with serve(brush, tmp_path, link_key=KEY) as made:
        yield made


async def drawn(easel: Easel, who: Metadata = ANN, count: int = 1, **output: Any) -> list[Any]:
    """Pictures that somebody drew."""
    request = pb2.GenerateRequest(settings=pb2.Settings(prompt="x", count=count), output=pb2.Output(**output))
    events = [response.event async for response in easel.stub.Generate(request, metadata=who)]
    return of_kind(events, "image")


def fields(link: str) -> dict[str, str]:
    """What a link says, as the request's fields."""
    parts = urlsplit(link)
    name = parts.path.removeprefix("/api/v1/").removesuffix(":view")
    return {"name": name, **dict(parse_qsl(parts.query))}


async def viewed(easel: Easel, link: dict[str, str], who: Metadata = NOBODY) -> tuple[bytes, dict[str, str]]:
    """What somebody without a credential sees by a link, and the headers of that."""
    request = pb2.ViewImageRequest(**{**link, "expires": int(link["expires"])})  # type: ignore[arg-type]  # texts, and that
    call = easel.stub.ViewImage(request, metadata=who)
    data = b"".join([part.body.data async for part in call])
    return data, {str(name): str(value) for name, value in await call.initial_metadata()}


async def is_not_valid(easel: Easel, link: dict[str, str]) -> None:
    code, reason, at_fault, message = await refused(viewed(easel, link))
    assert (code, reason, at_fault) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", [])
    assert message.startswith(NOT_VALID)


async def test_a_link_shows_its_picture_to_whoever_has_it(easel: Easel) -> None:
    (image,) = await drawn(easel)
    for who in (NOBODY, BOB, EVE):
        data, headers = await viewed(easel, fields(image.link), who)
        assert data == image.content
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == f'inline; filename="{image.name.removeprefix("images/")}.png"'
    assert "private" in headers["cache-control"]
    assert "immutable" in headers["cache-control"]
    assert 3500 < int(headers["cache-control"].partition("max-age=")[2].partition(",")[0]) <= 3600


async def test_every_answer_that_has_a_picture_has_a_link(easel: Easel) -> None:
    (image,) = await drawn(easel)
    found = [
        image,
        (await easel.stub.GetImage(pb2.GetImageRequest(name=image.name), metadata=ANN)).image,
        *(await easel.stub.ListImages(pb2.ListImagesRequest(), metadata=ANN)).images,
        *(await easel.stub.BatchGetImages(pb2.BatchGetImagesRequest(names=[image.name]), metadata=ANN)).images,
        (await easel.stub.Upscale(pb2.UpscaleRequest(image=image.content), metadata=ANN)).image,
    ]
    assert len(found) == 5
    for one in found:
        assert one.link.startswith(f"/api/v1/{one.name}:view?")
        assert (await viewed(easel, fields(one.link)))[0]
    edited = easel.stub.Edit(
        pb2.EditRequest(settings=pb2.Settings(prompt="x"), image=image.content, output=pb2.Output(omit_content=True)),
        metadata=ANN,
    )
    (one,) = of_kind([response.event async for response in edited], "image")
    assert (await viewed(easel, fields(one.link)))[0]


async def test_openais_url_is_a_link(easel: Easel) -> None:
    service = openai_pb2.DESCRIPTOR.services_by_name["ImagesService"]
    transcoder = Transcoder(easel.address, service, x_forwarded_host="parley.test", x_parley_identity_subject="a/lan")

    def post() -> bytes:
        body = json.dumps({"prompt": "x", "response_format": "url"}).encode()
        return b"".join(transcoder.call("POST", "/v1/images/generations", "application/json", body).content)

    url = json.loads(await asyncio.to_thread(post))["data"][0]["url"]
    transcoder.close()
    assert url.startswith("http://parley.test/api/v1/images/")
    link = fields(url)
    assert link["organisation"] == "a"
    assert (await viewed(easel, link))[0].startswith(b"\x89PNG")


def other_picture(link: dict[str, str]) -> dict[str, str]:
    return {**link, "name": "images/" + "0" * 32}


CHANGES: dict[str, Change] = {
    "another picture": other_picture,
    "another organisation": lambda link: {**link, "organisation": "other"},
    "no organisation": lambda link: {**link, "organisation": ""},
    "a line more": lambda link: {**link, "organisation": link["organisation"] + "\n"},
    "later": lambda link: {**link, "expires": str(int(link["expires"]) + 1)},
    "for ever": lambda link: {**link, "expires": "253402300799"},
    "a changed signature": lambda link: {**link, "signature": link["signature"].swapcase()},
    "a shorter signature": lambda link: {**link, "signature": link["signature"][:-2]},
    "a longer signature": lambda link: {**link, "signature": link["signature"] + "AAAA"},
    "no base64": lambda link: {**link, "signature": "*" * 43},
    "no ASCII": lambda link: {**link, "signature": "ữ" * 43},
    "as many zeros": lambda link: {**link, "signature": "A" * 43},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_link_that_was_changed_opens_nothing(easel: Easel, change: Change) -> None:
    (image,) = await drawn(easel)
    link = fields(image.link)
    await is_not_valid(easel, change(link))
    assert (await viewed(easel, link))[0] == image.content


async def test_the_link_of_one_picture_does_not_open_another(easel: Easel) -> None:
    first, second = await drawn(easel, count=2)
    await is_not_valid(easel, {**fields(first.link), "name": second.name})
    (foreign,) = await drawn(easel, EVE)
    await is_not_valid(easel, {**fields(foreign.link), "name": first.name})
    await is_not_valid(easel, {**fields(first.link), "organisation": fields(foreign.link)["organisation"]})


async def test_a_link_to_what_is_gone_tells_nothing_of_it(easel: Easel, tmp_path: Path) -> None:
    kept, deleted = await drawn(easel, count=2)
    await easel.stub.DeleteImage(pb2.DeleteImageRequest(name=deleted.name), metadata=ANN)
    await is_not_valid(easel, fields(deleted.link))
    # Its bytes alone: swept away at this moment, or lost.
    (tmp_path / "pictures" / kept.name.removeprefix("images/")).unlink()
    await is_not_valid(easel, fields(kept.link))


async def test_a_link_ends(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, link_key=KEY, link_seconds=1) as easel:
        (image,) = await drawn(easel)
        link = fields(image.link)
        assert (await viewed(easel, link))[0] == image.content
        await asyncio.sleep(max(0.0, int(link["expires"]) - time.time()))
        await is_not_valid(easel, link)
        again = (await easel.stub.GetImage(pb2.GetImageRequest(name=image.name), metadata=ANN)).image
        assert (await viewed(easel, fields(again.link)))[0] == image.content


async def test_a_link_ends_no_later_than_its_picture(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, link_key=KEY, link_seconds=86_400, keep_seconds=100) as easel:
        (image,) = await drawn(easel)
        assert image.expire_time.seconds - 1 <= int(fields(image.link)["expires"]) <= image.expire_time.seconds
        headers = (await viewed(easel, fields(image.link)))[1]
        assert int(headers["cache-control"].partition("max-age=")[2].partition(",")[0]) <= 100


async def test_keys_are_changed_without_breaking_links(brush: Brush, tmp_path: Path) -> None:
    new = key()
    async with serve(brush, tmp_path, link_key=KEY) as easel:
        (image,) = await drawn(easel)
        old = fields(image.link)
    async with serve(brush, tmp_path, link_key=f"{new}, {KEY}") as easel:
        assert (await viewed(easel, old))[0] == image.content
        again = (await easel.stub.GetImage(pb2.GetImageRequest(name=image.name), metadata=ANN)).image
    async with serve(brush, tmp_path, link_key=new) as easel:
        await is_not_valid(easel, old)
        assert (await viewed(easel, fields(again.link)))[0] == image.content


async def test_without_a_key_there_are_no_links(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, link_key=KEY) as easel:
        (image,) = await drawn(easel)
    async with serve(brush, tmp_path) as easel:
        await is_not_valid(easel, fields(image.link))
        assert not (await easel.stub.GetImage(pb2.GetImageRequest(name=image.name), metadata=ANN)).image.link


@pytest.mark.parametrize(
    "wrong",
    ["short", f"{KEY},short", "ữ" * 43, base64.urlsafe_b64encode(bytes(16)).decode()],
    ids=["short", "short behind a good one", "not ASCII", "16 bytes"],
)
def test_a_key_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="32 random bytes in urlsafe base64") as caught:
        ImageSettings(link_key=wrong)  # type: ignore[arg-type]  # pydantic takes a str
    assert caught.value.errors()[0]["loc"] == ("link_key",)


@pytest.mark.parametrize("missing", ["expires", "signature"])
async def test_what_a_link_lacks_is_named(easel: Easel, missing: str) -> None:
    (image,) = await drawn(easel)
    link = {"expires": "0"} | {name: value for name, value in fields(image.link).items() if name != missing}
    code, _reason, at_fault, _message = await refused(viewed(easel, link))
    assert (code, at_fault) == (grpc.StatusCode.INVALID_ARGUMENT, [missing])


async def test_several_pictures_are_asked_for_at_once(easel: Easel) -> None:
    one, two = await drawn(easel, count=2)
    (foreign,) = await drawn(easel, EVE)
    (colleagues,) = await drawn(easel, BOB)
    names = [two.name, foreign.name, "images/none", one.name, colleagues.name]
    answer = await easel.stub.BatchGetImages(pb2.BatchGetImagesRequest(names=names), metadata=ANN)
    assert [image.name for image in answer.images] == [two.name, one.name]
    assert not any(image.content for image in answer.images)


async def test_a_link_stays_as_it_is_in_an_address(easel: Easel) -> None:
    """Whatever an organisation is called, what a browser makes of the link is what was signed."""
    strange: Metadata = (("x-parley-identity-subject", "a&b=c d/lan"),)
    (image,) = await drawn(easel, strange)
    assert urlencode({"organisation": "a&b=c d"}) in image.link
    assert (await viewed(easel, fields(image.link)))[0] == image.content
