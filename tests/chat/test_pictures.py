"""Pictures in conversations: wished for, watched, stopped, kept by name, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest

from parley.chat.v1 import chat_pb2
from parley.image.v1 import image_pb2
from services.chat.models import PromptMessage, Role
from services.chat.picture_phrases import earlier, link
from services.chat.tools import Picture
from services.mesh import errors
from tests.chat.conftest import Chat, QueueFull, Start, Upstream, called, png, said
from tests.conftest import free_port

WISH = "draw a red circle left of a blue square"
PROMPT = "a red circle left of a blue square"


def text(events: list[chat_pb2.SendMessageResponse]) -> str:
    return "".join(event.text_delta.text for event in events)


def kinds(events: list[chat_pb2.SendMessageResponse]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]


async def conversation(chat: Chat) -> str:
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest())
    name: str = made.conversation.name
    return name


async def completed(chat: Chat, *messages: dict[str, Any]) -> str:
    """What /v1/chat/completions says to these messages."""
    body = await chat.post({"model": "parley-embedded", "messages": list(messages)})
    content: str = json.loads(body[-1].data)["choices"][0]["message"]["content"]
    return content


async def test_progress_a_preview_and_the_picture_stream_into_the_conversation(chat: Chat) -> None:
    name = await conversation(chat)
    events = await chat.ask(WISH, name)
    shown = [kind for kind in kinds(events) if kind != "text_delta"]
    assert shown == ["started", "tool_call", *["tool_progress"] * 5, "tool_result", "usage", "done"]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (events[1].tool_call.tool, dict(events[1].tool_call.arguments)) == ("image.generate", {"prompt": PROMPT})
    told = [event.tool_progress for event in events if event.HasField("tool_progress")]
    assert [round(t.progress, 2) for t in told] == [0, 0.33, 0.67, 0.67, 1]
    assert told[2].remaining.ToMilliseconds() == 500
    assert (told[3].preview.content, told[3].preview.content_type) == (b"blurred", "image/jpeg")
    (image,) = [event.tool_result.image for event in events if event.HasField("tool_result")]
    assert (image.name, image.content, image.width, image.seed) == ("images/i10", png(), 64, 40)
    assert text(events) == f'I drew “{PROMPT}” (64 × 64, shapes, seed 40).\n\n![{PROMPT}](/api/v1/images/i10 "seed 40")'


async def test_history_keeps_the_name_of_the_picture_and_not_its_bytes(chat: Chat, start: Start) -> None:
    name = await conversation(chat)
    done = (await chat.ask(WISH, name))[-1].done
    await chat.application.close()
    again = await start()
    _asked, answer = await again.messages(name)
    assert answer == done.message
    (result,) = answer.tool_results
    assert (result.image.name, result.image.size, result.image.content) == ("images/i10", len(png()), b"")
    assert result.image.infotext.startswith(PROMPT)
    assert result.image.expire_time.seconds == 1_800_000_000
    assert "/api/v1/images/i10" in answer.text


async def test_several_pictures_are_several_results(chat: Chat) -> None:
    events = await chat.ask("Vẽ 3 bức tranh về Hà Nội")
    assert chat.images.requests[0].settings.prompt == "Hà Nội"
    images = [event.tool_result.image for event in events if event.HasField("tool_result")]
    assert [(image.name, image.index, image.seed) for image in images] == [
        ("images/i10", 0, 40),
        ("images/i11", 1, 41),
        ("images/i12", 2, 42),
    ]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len(events[-1].done.message.tool_results) == 3
    assert text(events).startswith("Tôi đã vẽ 3 bức tranh “Hà Nội” (64 × 64, shapes, seed 40, 41, 42).\n\n![Hà Nội](")
    assert text(events).count("/api/v1/images/") == 3


async def test_a_large_picture_is_named_and_not_sent_in_a_message_that_clients_refuse(chat: Chat) -> None:
    chat.images.content = bytes(5 << 20)
    events = await chat.ask(WISH)
    (image,) = [event.tool_result.image for event in events if event.HasField("tool_result")]
    assert (image.name, image.size, image.content) == ("images/i10", 5 << 20, b"")


async def test_the_identity_of_the_caller_goes_along(chat: Chat) -> None:
    metadata = (("x-parley-identity-subject", "lan"),)
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(), metadata=metadata)
    name = made.conversation.name
    call = chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text=WISH), metadata=metadata)
    assert [event async for event in call]
    assert chat.images.metadata["x-parley-identity-subject"] == "lan"


async def test_later_messages_draw_again_and_in_another_colour(chat: Chat) -> None:
    name = await conversation(chat)
    await chat.ask("draw a red star", name)
    await chat.ask("another one", name)
    assert chat.images.requests[-1].settings == image_pb2.Settings(prompt="a red star")
    chat.images.requests[-1].settings.seed = 99
    await chat.ask("make it blue", name)
    assert chat.images.requests[-1].settings == image_pb2.Settings(prompt="a blue star", seed=40)
    assert "clear which one is meant" in text(await chat.ask("make the moon green", name))
    # What was said in between ends it.
    assert text(await chat.ask("hello", name)).startswith("Hello!")
    await chat.ask("another one", name)
    assert len(chat.images.requests) == 3


async def test_a_chart_is_asked_of_the_database(chat: Chat) -> None:
    events = await chat.ask("Draw a chart of customers by city")
    assert text(events) == "There are 2 cities."
    assert chat.sql.asked[0].question == "customers by city"
    assert not chat.images.requests


async def test_what_is_to_be_drawn_is_asked_back(chat: Chat) -> None:
    assert text(await chat.ask("can you draw?")).startswith("What shall I draw?")
    assert text(await chat.ask("vẽ đi")).startswith("Bạn muốn tôi vẽ gì?")
    assert not chat.images.requests


async def test_a_generation_that_is_cancelled_stops_the_picture(chat: Chat) -> None:
    chat.images.hangs = True
    name = await conversation(chat)
    events = []
    async for event in chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text=WISH)):
        events.append(event)
        if event.tool_progress.HasField("preview"):
            generation = events[0].started.generation
            await chat.chat.CancelGeneration(chat_pb2.CancelGenerationRequest(name=generation))
    assert events[-1].done.finish_reason == chat_pb2.FINISH_REASON_CANCELLED
    async with asyncio.timeout(10):
        await chat.images.gone.wait()
    assert (await chat.messages(name))[1].state == chat_pb2.MESSAGE_STATE_INTERRUPTED


async def test_a_client_that_goes_stops_the_picture(chat: Chat) -> None:
    chat.images.hangs = True
    name = await conversation(chat)
    call = chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text=WISH))
    async for event in call:
        if event.HasField("tool_progress"):
            break
    call.cancel()
    async with asyncio.timeout(10):
        await chat.images.gone.wait()


class ModelNotFound(errors.NotFound):
    reason = "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    ("error", "wish", "answer"),
    [
        (
            QueueFull("50 jobs wait already.", retry_after=12.4),
            WISH,
            "I could not draw it. 50 jobs wait already. Ask again in 12 s.",
        ),
        (
            ModelNotFound("dreams", "There is no model 'dreams'."),
            "vẽ con mèo",
            "Tôi chưa vẽ được. There is no model 'dreams'. `parley models` liệt kê các mô hình.",
        ),
        (
            errors.Unavailable("No diffusion model is installed: make the torch environment.", retry_after=None),
            WISH,
            "I could not draw it. No diffusion model is installed: make the torch environment.",
        ),
        (
            errors.InvalidArgument("settings.prompt", "is longer than the model reads."),
            WISH,
            "I could not draw it. settings.prompt: is longer than the model reads.",
        ),
    ],
    ids=["queue full", "unknown model", "not installed", "refused"],
)
async def test_what_went_wrong_is_said_with_what_to_do(
    chat: Chat, error: errors.ParleyError, wish: str, answer: str
) -> None:
    chat.images.error = error
    events = await chat.ask(wish)
    (result,) = [event.tool_result for event in events if event.HasField("tool_result")]
    assert result.error.message == error.message
    assert text(events) == answer
    assert events[-1].WhichOneof("event") == "done"


async def test_pictures_that_were_done_stay_when_a_later_one_fails(chat: Chat) -> None:
    chat.images.error, chat.images.fails_after = errors.Unavailable("The model server went away."), 2
    events = await chat.ask("draw 4 pictures of a star")
    assert len([event for event in events if event.HasField("tool_result")]) == 2
    assert "I drew 2 pictures of “a star”" in text(events)
    assert "4 were wanted; then it ended: The model server went away." in text(events)


async def test_a_job_that_somebody_stops_is_said_to_be_stopped(chat: Chat) -> None:
    chat.images.stopped_elsewhere, chat.images.fails_after = True, 0
    assert text(await chat.ask(WISH)) == "I could not draw it. Somebody stopped the drawing."


async def test_an_image_service_that_is_away_is_said_to_be(start: Start) -> None:
    chat = await start(image_target=f"127.0.0.1:{free_port()}")
    name = await conversation(chat)
    assert text(await chat.ask(WISH, name)).startswith("I could not draw it. A service that this one needs")
    assert text(await chat.ask("How many customers are in each city?", name)) == "There are 2 cities."


async def test_without_an_image_service_it_says_so_and_offers_nothing(start: Start, upstream: Upstream) -> None:
    chat = await start(image_target="", providers=[upstream.provider()])
    assert "PARLEY_CHAT_IMAGE_TARGET" in text(await chat.ask(WISH))
    assert "pictures" not in text(await chat.ask("What can you do?"))
    upstream.streams(said("No."))
    await chat.ask(WISH, model="m")
    assert "image_generate" not in [tool["function"]["name"] for tool in upstream.requests[0]["tools"]]


async def test_it_says_that_it_can_draw_where_it_can(chat: Chat) -> None:
    assert "pictures drawn" in text(await chat.ask("What can you do?"))


async def test_clients_of_the_openai_api_see_the_picture_as_markdown(start: Start) -> None:
    chat = await start(public_url="https://parley.example/")
    first = await completed(chat, {"role": "user", "content": "draw a [red] star"})
    assert first.endswith('![a \\[red\\] star](https://parley.example/api/v1/images/i10 "seed 40")')
    # They see links only: no bytes are asked for.
    assert chat.images.requests[0].output == image_pb2.Output(omit_content=True)
    history = [{"role": "user", "content": "draw a [red] star"}, {"role": "assistant", "content": first}]
    await completed(chat, *history, {"role": "user", "content": "another one"})
    assert chat.images.requests[-1].settings == image_pb2.Settings(prompt="a [red] star")
    await completed(chat, *history, {"role": "user", "content": "make it blue"})
    assert chat.images.requests[-1].settings == image_pb2.Settings(prompt="a [blue] star", seed=40)


async def test_a_client_of_the_openai_api_that_hangs_up_stops_the_picture(chat: Chat) -> None:
    chat.images.hangs = True
    body = {"model": "parley-embedded", "stream": True, "messages": [{"role": "user", "content": WISH}]}
    task = asyncio.create_task(chat.post(body))
    async with asyncio.timeout(10):
        await chat.images.began.wait()
        task.cancel()
        await chat.images.gone.wait()


async def test_a_language_model_draws_with_a_function(with_model: Chat, upstream: Upstream) -> None:
    upstream.streams(called("image_generate", {"prompt": "a star", "width": 128, "height": 64}))
    upstream.streams(said("There it is."))
    name = await conversation(with_model)
    events = await with_model.ask("Something festive, please", name, model="m")
    assert text(events) == "There it is."
    assert with_model.images.requests[0].settings == image_pb2.Settings(prompt="a star", width=128, height=64)
    (offered,) = [t["function"] for t in upstream.requests[0]["tools"] if t["function"]["name"] == "image_generate"]
    assert offered["parameters"]["required"] == ["prompt"]
    told = json.loads(upstream.requests[1]["messages"][-1]["content"])
    assert told["pictures"][0]["markdown"] == '![a star](/api/v1/images/i10 "seed 40")'
    # Later it still sees what was drawn, with what it asked for then.
    await with_model.ask("Bluer!", name, model="m")
    later = upstream.requests[2]["messages"]
    (call,) = [c["function"] for m in later for c in m.get("tool_calls") or ()]
    assert json.loads(call["arguments"])["prompt"] == "a star"
    assert "seed" in next(m["content"] for m in later if m["role"] == "tool")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": "x" * 10_001}, "prompt"),
        ({"prompt": "x", "count": 17}, "count"),
        ({"prompt": "x", "count": True}, "count"),
        ({"prompt": "x", "seed": -1}, "seed"),
        ({"prompt": "x", "style": "anime"}, "style"),
    ],
)
async def test_arguments_that_a_model_made_up_are_named(
    with_model: Chat, upstream: Upstream, arguments: dict[str, Any], field: str
) -> None:
    upstream.streams(called("image_generate", arguments))
    upstream.streams(said("Sorry."))
    events = await with_model.ask("Draw", model="m")
    (result,) = [event.tool_result for event in events if event.HasField("tool_result")]
    assert result.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert result.error.message.startswith(f"{field}: ")
    assert not with_model.images.requests


@pytest.mark.parametrize("prompt", ["a star", "a [b] c", "back\\slash ]( x", "two\nlines", "“quotes” \"and\" 'these'"])
def test_a_link_tells_what_was_drawn(prompt: str) -> None:
    picture = Picture("images/a-1", "/api/v1/images/a-1", 8, 8, "image/png", 1, 5, "", "")
    drawn = PromptMessage(Role.ASSISTANT, f"Look:\n\n{link(prompt, picture)}")
    found = earlier([PromptMessage(Role.USER, "draw it"), drawn, PromptMessage(Role.USER, "another one")])
    assert found is not None
    assert (found.prompt, found.seed) == (" ".join(prompt.split()), 5)


def test_a_picture_from_elsewhere_is_none_of_ours() -> None:
    drawn = PromptMessage(Role.ASSISTANT, "![a star](https://elsewhere.example/star.png)" + "![" * 100_000)
    assert earlier([drawn, PromptMessage(Role.USER, "another one")]) is None
