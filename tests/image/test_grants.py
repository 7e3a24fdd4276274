"""Models that a caller has no grant for, and what drawing counts for whom it is drawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from parley.image.v1 import image_pb2 as pb2
from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from parley.sdapi.v1 import sdapi_pb2, sdapi_pb2_grpc
from services.mesh import channels
from services.mesh.context import GRANTS
from services.mesh.openai import STATUS_HEADER
from tests.image.easel import Easel, of_kind, refused, serve, until
from tests.image.facade import Brush
from tests.mesh.ledger import CALLER, Ledger, ledger

MEGAPIXEL = 64 * 64 / 1e6


def granted(*models: str) -> tuple[tuple[str, str], ...]:
    return ((GRANTS, json.dumps({"databases": {}, "models": models})),)


def draw(easel: Easel, metadata: Any, **settings: Any) -> Any:
    return easel.stub.Generate(pb2.GenerateRequest(settings=pb2.Settings(**settings)), metadata=metadata)


async def events(call: Any) -> list[Any]:
    return [response.event async for response in call]


async def listed(easel: Easel, metadata: Any) -> list[str]:
    answer = await easel.stub.ListModels(pb2.ListModelsRequest(), metadata=metadata)
    return [model.id for model in answer.models]


async def test_only_models_with_a_grant_are_listed_and_used(easel: Easel, brush: Brush) -> None:
    assert await listed(easel, ()) == await listed(easel, granted("*")) == ["shapes", "large"]
    assert await listed(easel, granted("large")) == ["large"]
    for wanted in ("shapes", "large"):
        code, _reason, _fields, message = await refused(events(draw(easel, granted("x"), prompt="a", model=wanted)))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert f"models/{wanted}" in message
    code, _reason, _fields, message = await refused(events(draw(easel, granted("x"), prompt="a")))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    code, _reason, _fields, message = await refused(events(draw(easel, granted("large"), prompt="a", model="none")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "shapes" not in message
    assert not brush.sheets
    await events(draw(easel, granted("large"), prompt="a"))
    assert brush.sheets[0].model == "large", "the first that is open, where none is named"


async def test_the_other_apis_refuse_it_in_their_own_words(easel: Easel, brush: Brush) -> None:
    async with channels.channel(easel.address) as channel:
        images: Any = openai_pb2_grpc.ImagesServiceStub(channel)
        request = openai_pb2.CreateImageRequest()
        request.body.content_type = "application/json"
        request.body.data = json.dumps({"model": "shapes", "prompt": "a"}).encode()
        assert await answered(images.CreateImage(request, metadata=granted("large"))) == ("403", "permission_denied")
        sdapi: Any = sdapi_pb2_grpc.StableDiffusionServiceStub(channel)
        models = sdapi.ListModels(sdapi_pb2.ListModelsRequest(), metadata=granted("large"))
        names = [model["model_name"] for model in json.loads((await anext(aiter(models))).body.data)]
        assert names == ["large"]
    assert not brush.sheets


async def answered(call: Any) -> tuple[str, str]:
    """The HTTP status and the code of an error in OpenAI's envelope."""
    parts = []
    with pytest.raises(grpc.aio.AioRpcError):
        async for part in call:
            parts.append(part.body.data)  # noqa: PERF401 — what came before the error is wanted
    headers = dict(await call.initial_metadata())
    return headers[STATUS_HEADER], json.loads(parts[-1])["error"]["code"]


@pytest.fixture
async def book() -> AsyncIterator[Ledger]:
    async with ledger() as made:
        yield made


@pytest.fixture
async def reporting(brush: Brush, tmp_path: Path, book: Ledger) -> AsyncIterator[Easel]:
    """The service, which reports."""
    async with serve(brush, tmp_path, identity_target=book.target) as made:
        yield made


async def test_steps_times_megapixels_are_counted_for_each_picture(reporting: Easel, book: Ledger) -> None:
    await events(draw(reporting, CALLER, prompt="a", steps=5, count=3))
    drawn = {"shapes": pytest.approx(5 * 3 * MEGAPIXEL)}
    await book.until(lambda book: book.of("megapixel_steps", "image") == drawn)


async def test_a_second_pass_is_counted_as_large_as_it_is(reporting: Easel, book: Ledger) -> None:
    second = pb2.SecondPass(scale=2, steps=4, strength=1.0)
    await events(draw(reporting, CALLER, prompt="a", steps=5, second_pass=second))
    drawn = {"shapes": pytest.approx((5 + 4 * 4) * MEGAPIXEL)}
    await book.until(lambda book: book.of("megapixel_steps") == drawn)


async def test_what_was_drawn_until_the_client_hung_up_is_counted(reporting: Easel, brush: Brush, book: Ledger) -> None:
    brush.delay = 0.05
    call = draw(reporting, CALLER, prompt="a", steps=100)
    async for response in call:
        if response.event.HasField("progress") and response.event.progress.step >= 3:
            break
    call.cancel()
    await until(lambda: brush.closed > 0)
    await book.until(lambda book: book.of("megapixel_steps"))
    await asyncio.sleep(0.2)
    (spent,) = book.of("megapixel_steps").values()
    assert 3 <= round(spent / MEGAPIXEL) < 20


async def test_deleting_a_picture_is_reported(reporting: Easel, book: Ledger) -> None:
    (image,) = of_kind(await events(draw(reporting, CALLER, prompt="a secret")), "image")
    await reporting.stub.DeleteImage(pb2.DeleteImageRequest(name=image.name), metadata=CALLER)
    await book.until(lambda book: book.acts)
    (act,) = book.acts
    assert (act.method, act.resource) == ("parley.image.v1.ImageService/DeleteImage", image.name)
