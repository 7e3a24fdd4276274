"""Links to pictures: in every answer that people get, in none that is stored or that a model reads."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from parley.chat.v1 import chat_pb2
from services.chat.models import TextDelta, ToolAnswered
from services.chat.picture_links import PictureLinks
from services.chat.tools import Drawing, Picture, ToolResult
from services.mesh import errors
from tests.chat.conftest import Chat, Start, Upstream, called, said

WISH = "draw a red star"
LINK = "/api/v1/images/{}:view?organisation=acme&expires=1&signature=s{}"
IDS = ("a1", "0f3b")


def text(events: list[chat_pb2.SendMessageResponse]) -> str:
    return "".join(event.text_delta.text for event in events)


async def conversation(chat: Chat) -> str:
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest())
    name: str = made.conversation.name
    return name


async def test_an_answer_has_links_and_old_ones_get_new_ones(chat: Chat) -> None:
    chat.images.signs = True
    name = await conversation(chat)
    events = await chat.ask(WISH, name)
    assert text(events).endswith(f'![a red star]({LINK.format("i10", 1)} "seed 40")')
    (image,) = [event.tool_result.image for event in events if event.HasField("tool_result")]
    assert image.link == LINK.format("i10", 1)
    assert f'({LINK.format("i10", 2)} "seed 40")' in events[-1].done.message.text
    _asked, answer = await chat.messages(name)
    assert f'({LINK.format("i10", 3)} "seed 40")' in answer.text
    assert answer.tool_results[0].image.link == LINK.format("i10", 3)
    # What was drawn can still be changed.
    await chat.ask("make it blue", name)
    assert chat.images.requests[-1].settings.prompt == "a blue star"


async def test_what_is_gone_has_no_link(chat: Chat) -> None:
    chat.images.signs = True
    name = await conversation(chat)
    await chat.ask(WISH, name)
    chat.images.lost = {"images/i10"}
    _asked, answer = await chat.messages(name)
    assert '(/api/v1/images/i10 "seed 40")' in answer.text
    assert answer.tool_results[0].image.link == ""


async def test_conversations_can_be_read_while_the_image_service_is_away(chat: Chat) -> None:
    chat.images.signs = True
    name = await conversation(chat)
    await chat.ask(WISH, name)
    chat.images.error = errors.Unavailable("It is away.")
    _asked, answer = await chat.messages(name)
    assert '(/api/v1/images/i10 "seed 40")' in answer.text


async def test_a_persons_own_words_stay_as_they_are(chat: Chat) -> None:
    chat.images.signs = True
    name = await conversation(chat)
    await chat.ask("What is /api/v1/images/i10 good for?", name)
    asked, _answer = await chat.messages(name)
    assert asked.text == "What is /api/v1/images/i10 good for?"


async def test_clients_of_the_openai_api_get_links_and_may_send_them_back(start: Start) -> None:
    chat = await start(public_url="https://parley.example/")
    chat.images.signs = True
    asked = {"role": "user", "content": WISH}
    body = await chat.post({"model": "parley-embedded", "messages": [asked]})
    content = json.loads(body[-1].data)["choices"][0]["message"]["content"]
    assert content.endswith(f'![a red star](https://parley.example{LINK.format("i10", 1)} "seed 40")')
    history = [asked, {"role": "assistant", "content": content}, {"role": "user", "content": "make it blue"}]
    await chat.post({"model": "parley-embedded", "messages": history})
    assert chat.images.requests[-1].settings.prompt == "a blue star"
    assert chat.images.requests[-1].settings.seed == 40


async def test_a_language_model_sees_addresses_and_people_see_links(with_model: Chat, upstream: Upstream) -> None:
    with_model.images.signs = True
    upstream.streams(called("image_generate", {"prompt": "a star"}))
    # As providers cut words.
    upstream.streams(said("Here: ![a star](/api", "/v1/ima", "ges/i", "1", "0", ' "seed 40"', ") /api/v1/im", "ages"))
    name = await conversation(with_model)
    events = await with_model.ask("Something festive, please", name, model="m")
    shown = LINK.format("i10", 1)
    assert text(events) == f'Here: ![a star]({shown} "seed 40") /api/v1/images'
    told = json.dumps(upstream.requests[1]["messages"])
    assert "/api/v1/images/i10 " in told
    assert "signature" not in told
    await with_model.ask("Bluer!", name, model="m")
    assert "signature" not in json.dumps(upstream.requests[2]["messages"])


def links(base: str = "") -> PictureLinks:
    return PictureLinks(base)


def known() -> Mapping[str, str]:
    return {f"images/{one}": f"/api/v1/images/{one}:view?s={one}" for one in IDS}


async def events_of(pieces: list[str]) -> AsyncGenerator[Any, None]:
    """A tool's answer, then text in pieces."""
    pictures = tuple(Picture(n, "", 8, 8, "image/png", 1, 5, "", "", link=link) for n, link in known().items())
    yield ToolAnswered(ToolResult("c1", 0.1, Drawing("x", "m", pictures, 2)))
    for piece in pieces:
        yield TextDelta(piece)


TEXTS = {
    "(/api/v1/images/a1)": "(/api/v1/images/a1:view?s=a1)",
    "/api/v1/images/a1": "/api/v1/images/a1:view?s=a1",
    '<img src="/api/v1/images/0f3b">': '<img src="/api/v1/images/0f3b:view?s=0f3b">',
    "![x](/api/v1/images/a1) ![y](/api/v1/images/0f3b)": (
        "![x](/api/v1/images/a1:view?s=a1) ![y](/api/v1/images/0f3b:view?s=0f3b)"
    ),
    "a1, /api/v1/images/a1, and a 1": "a1, /api/v1/images/a1:view?s=a1, and a 1",
    # Another picture, another path, a link that is one already.
    "/api/v1/images/a12 (/api/v1/images/a)": None,
    "/api/v1/images/a1/metadata /api/v1/images/a1:view?s=old /api/v1/images/a1?x": None,
    # Within another address: whoever is there would learn the signature.
    "![x](https://evil.example/api/v1/images/a1)": None,
    "//evil.example/api/v1/images/a1 evil.example/api/v1/images/a1 @/api/v1/images/a1": None,
    "/api/v1/images/ and/or /api/v1 (/": None,
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("written", TEXTS)
async def test_a_text_is_the_same_however_it_is_cut(written: str, size: int) -> None:
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    told = "".join([e.text async for e in links().in_events(events_of(pieces)) if isinstance(e, TextDelta)])
    assert told == (TEXTS[written] or written)


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_only_the_deployments_own_address_is_completed(size: int) -> None:
    written = (
        "(https://parley.example/api/v1/images/a1) https://parley.example/api/v1/images/0f3b "
        "(/api/v1/images/a1) (https://parley.example.evil/api/v1/images/a1) httpshttps://parley.example/api/v1/images/a1"
    )
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    run = links("https://parley.example/").in_events(events_of(pieces))
    told = "".join([e.text async for e in run if isinstance(e, TextDelta)])
    assert told == written.replace("example/api/v1/images/a1)", "example/api/v1/images/a1:view?s=a1)", 1).replace(
        "0f3b", "0f3b:view?s=0f3b"
    )


async def test_a_text_without_pictures_waits_for_nothing() -> None:
    async def hello() -> AsyncGenerator[Any, None]:
        for piece in ("He", "llo /", "api", "/v1/images/a1", "!"):
            yield TextDelta(piece)

    assert [e.text async for e in links().in_events(hello())] == ["He", "llo /", "api", "/v1/images/a1", "!"]
