"""chat in front of the real image service; only the model behind that is a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from parley.chat.v1 import chat_pb2
from parley.image.v1 import image_pb2
from tests.chat.conftest import Chat, Start
from tests.image.easel import Easel, identity, opened, serve, until
from tests.image.facade import Brush, colour

WISH = "draw a red star"


@dataclass
class Studio:
    """A chat service, the image service behind it, and what paints there."""

    chat: Chat
    images: Easel
    brush: Brush

    async def conversation(self, *metadata: tuple[str, str]) -> str:
        made = await self.chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(), metadata=metadata)
        name: str = made.conversation.name
        return name


@pytest.fixture
async def studio(start: Start, tmp_path: Path) -> AsyncIterator[Studio]:
    brush = Brush()
    folder = tmp_path / "image"
    folder.mkdir()
    async with serve(brush, folder, jobs_running=1, jobs_waiting=0) as images:
        yield Studio(await start(image_target=images.address), images, brush)


def text(events: list[chat_pb2.SendMessageResponse]) -> str:
    return "".join(event.text_delta.text for event in events)


async def test_the_picture_of_an_answer_is_where_its_link_says(studio: Studio) -> None:
    events = await studio.chat.ask(WISH)
    (image,) = [event.tool_result.image for event in events if event.HasField("tool_result")]
    pixels = opened(image.content).convert("RGB")
    assert (pixels.size, pixels.getpixel((3, 3))) == ((64, 64), colour("a red star", image.seed))
    assert f"(/api/v1/{image.name} " in text(events)
    assert (await studio.images.download(image.name))[0] == image.content
    told = [event.tool_progress.progress for event in events if event.HasField("tool_progress")]
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert any(event.tool_progress.preview.content for event in events)


async def test_the_picture_is_the_callers_own(studio: Studio) -> None:
    conversation = await studio.conversation(*identity("lan"))
    request = chat_pb2.SendMessageRequest(conversation=conversation, text=WISH)
    call = studio.chat.chat.SendMessage(request, metadata=identity("lan"))
    (image,) = [event.tool_result.image async for event in call if event.HasField("tool_result")]
    wanted = image_pb2.GetImageRequest(name=image.name)
    assert (await studio.images.stub.GetImage(wanted, metadata=identity("lan"))).image.seed == image.seed
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await studio.images.stub.GetImage(wanted, metadata=identity("minh"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_stopping_the_answer_stops_the_model(studio: Studio) -> None:
    studio.brush.delay = 0.2
    request = chat_pb2.SendMessageRequest(conversation=await studio.conversation(), text=WISH)
    events = []
    async for event in studio.chat.chat.SendMessage(request):
        events.append(event)
        if event.tool_progress.progress > 0:
            name = events[0].started.generation
            await studio.chat.chat.CancelGeneration(chat_pb2.CancelGenerationRequest(name=name))
    assert events[-1].done.finish_reason == chat_pb2.FINISH_REASON_CANCELLED
    await until(lambda: studio.brush.closed == 1)


async def test_a_model_server_that_goes_away_is_said_to(studio: Studio) -> None:
    studio.brush.breaks_after = 3
    name = await studio.conversation()
    said = text(await studio.chat.ask(WISH, name))
    assert said.startswith("I could not draw it. The model server cannot be reached.")
    studio.brush.breaks_after = None
    assert text(await studio.chat.ask(WISH, name)).startswith("I drew “a red star”")


async def test_a_full_queue_is_said_with_when_to_ask_again(studio: Studio) -> None:
    studio.brush.delay = 0.5
    first = asyncio.create_task(studio.chat.ask(WISH))
    await until(lambda: bool(studio.brush.sheets))
    said = text(await studio.chat.ask(WISH))
    first.cancel()
    assert said.startswith("I could not draw it. ")
    assert "Ask again in" in said
