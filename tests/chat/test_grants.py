"""Models that a caller has no grant for: not listed, not used, and told apart from those that do not exist."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.local import sample_shop
from parley.chat.v1 import chat_pb2
from parley.openai.v1 import openai_pb2
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh.authority import NotGranted
from services.mesh.context import GRANTS
from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.server import running
from services.sql.application import MIGRATIONS, compose
from services.sql.settings import SqlSettings
from tests.chat.conftest import Chat, Start, Upstream

HELLO = [{"role": "user", "content": "Hi there"}]
EMBEDDED = "parley-embedded"


def granted(*models: str, databases: tuple[str, ...] = ("*",)) -> tuple[tuple[str, str], ...]:
    return ((GRANTS, json.dumps({"databases": {name: {} for name in databases}, "models": models})),)


@pytest.fixture
async def chat(start: Start, upstream: Upstream) -> AsyncIterator[Chat]:
    """With the embedded model and a provider's two: `m` and `n`."""
    yield await start(providers=[upstream.provider(models=["m", "n"])])


async def listed(chat: Chat, metadata: Any) -> list[str]:
    answer = await chat.chat.ListModels(chat_pb2.ListModelsRequest(), metadata=metadata)
    return [model.id for model in answer.models]


async def envelope(chat: Chat, call: Any) -> tuple[str | None, dict[str, Any]]:
    """The HTTP status and OpenAI's error."""
    parts = await chat.parts(call)
    return chat.status, json.loads(parts[-1].data)["error"]


async def test_only_models_with_a_grant_are_listed(chat: Chat) -> None:
    assert await listed(chat, ()) == [EMBEDDED, "m", "n"]
    assert await listed(chat, granted("*")) == [EMBEDDED, "m", "n"]
    assert await listed(chat, granted("n")) == ["n"]
    assert await listed(chat, granted()) == []
    call = chat.openai.ListModels(openai_pb2.ListModelsRequest(), metadata=granted("n", "other"))
    data = json.loads((await chat.parts(call))[0].data)["data"]
    assert "n" in {model["id"] for model in data}
    assert not {EMBEDDED, "m"} & {model["id"] for model in data}


async def test_another_model_is_refused_and_nobody_is_asked(chat: Chat, upstream: Upstream) -> None:
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest())
    request = chat_pb2.SendMessageRequest(conversation=made.conversation.name, text="Hi", model="m")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        [event async for event in chat.chat.SendMessage(request, metadata=granted("n"))]
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refused.value.details() == NotGranted("models/m").message
    wanted = chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(model="m"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await chat.chat.CreateConversation(wanted, metadata=granted("n"))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert not upstream.requests


async def test_openai_clients_get_403_for_a_model_that_is_not_theirs(chat: Chat, upstream: Upstream) -> None:
    def complete(model: str, metadata: Any) -> Any:
        body = json.dumps({"model": model, "messages": HELLO}).encode()
        request = openai_pb2.CreateChatCompletionRequest()
        request.body.data = body
        return chat.openai.CreateChatCompletion(request, metadata=metadata)

    upstream.answers("Hello")
    status, error = await envelope(chat, complete("m", granted("n")))
    assert (status, error["type"], error["code"]) == ("403", "permission_error", "permission_denied")
    assert "models/m" in error["message"]
    status, error = await envelope(chat, complete("none", granted("n")))
    assert (status, error["code"]) == ("404", "model_not_found")
    assert not upstream.requests
    await chat.parts(complete("n", granted("n")))
    assert len(upstream.requests) == 1


async def test_who_names_no_model_gets_one_that_is_theirs(chat: Chat, upstream: Upstream) -> None:
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(), metadata=granted("n"))
    upstream.streams([b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'])
    request = chat_pb2.SendMessageRequest(conversation=made.conversation.name, text="Hi")
    events = [event async for event in chat.chat.SendMessage(request, metadata=granted("n"))]
    assert events[0].started.model == "n"
    assert upstream.requests[0]["model"] == "n"


async def test_grants_travel_with_the_tools(chat: Chat) -> None:
    """What sql decides by is what the gateway sent, and what sql says is what the person hears."""
    chat.sql.error = NotGranted("databases/shop")
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest())
    metadata = granted("*", databases=("weather",))
    request = chat_pb2.SendMessageRequest(
        conversation=made.conversation.name, text="How many customers are there?", database="databases/shop"
    )
    events = [event async for event in chat.chat.SendMessage(request, metadata=metadata)]
    assert chat.sql.metadata[GRANTS] == metadata[0][1]
    text = "".join(event.text_delta.text for event in events)
    assert "databases/shop" in text
    assert "grant" in text


async def test_a_chat_is_no_way_around_a_grant(start: Start, tmp_path: Path) -> None:
    """On the real sql service: the same question, by who may ask that database and by who may not."""
    sample_shop.build(tmp_path / "shop.sqlite")
    url = f"sqlite:///{tmp_path}/sql.db"
    settings = SqlSettings.model_validate({"database_url": url, "sqlite_root": tmp_path, "drain_seconds": 0})
    database = Database(url, MIGRATIONS)
    await database.migrate()
    async with running(settings, compose(settings, database, Providers([]))) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            request = sql_pb2.CreateDatabaseRequest(
                database_id="shop", database=sql_pb2.Database(url="sqlite:///shop.sqlite")
            )
            stub: Any = sql_pb2_grpc.SqlServiceStub(channel)
            await stub.CreateDatabase(request)
        chat = await start(sql_target=address)
        question = "How many customers are there?"
        assert str(sample_shop.CUSTOMERS) in await said(chat, question, granted("*", databases=("shop",)))
        hidden = granted("*", databases=("weather",))
        assert str(sample_shop.CUSTOMERS) not in await said(chat, question, hidden)
        assert "no grant for databases" in await said(chat, "Which databases are there?", hidden)
        wanted = chat_pb2.Conversation(database="databases/shop")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(conversation=wanted), metadata=hidden)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "databases/shop" in (refused.value.details() or "")
    await database.close()


async def said(chat: Chat, question: str, metadata: Any) -> str:
    """The text of an answer in a new conversation."""
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(), metadata=metadata)
    request = chat_pb2.SendMessageRequest(conversation=made.conversation.name, text=question)
    events = [event async for event in chat.chat.SendMessage(request, metadata=metadata)]
    return "".join(event.text_delta.text for event in events)
