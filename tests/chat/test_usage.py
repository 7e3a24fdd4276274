"""Tokens are counted for the caller: as the provider says, or estimated; once, and also of what was broken off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from parley.chat.v1 import chat_pb2
from parley.openai.v1 import openai_pb2
from tests.chat.conftest import Chat, Start, Upstream, called, chunk, said
from tests.mesh.ledger import CALLER, Ledger, ledger

HELLO = [{"role": "user", "content": "x" * 30}]


@pytest.fixture
async def book() -> AsyncIterator[Ledger]:
    async with ledger() as made:
        yield made


@pytest.fixture
async def chat(start: Start, upstream: Upstream, book: Ledger) -> Chat:
    """A chat service with the provider's model `m`, which reports."""
    return await start(providers=[upstream.provider()], identity_target=book.target)


def complete(chat: Chat, **body: Any) -> Any:
    request = openai_pb2.CreateChatCompletionRequest()
    request.body.data = json.dumps({"model": "m", "messages": HELLO, **body}).encode()
    return chat.openai.CreateChatCompletion(request, metadata=CALLER)


async def send(chat: Chat, text: str, **more: Any) -> list[Any]:
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(), metadata=CALLER)
    request = chat_pb2.SendMessageRequest(conversation=made.conversation.name, text=text, **more)
    return [event async for event in chat.chat.SendMessage(request, metadata=CALLER)]


async def test_tokens_are_those_that_the_provider_counts(chat: Chat, upstream: Upstream, book: Ledger) -> None:
    upstream.answers("Hello")
    await chat.parts(complete(chat))
    await book.until(lambda book: book.of("tokens", "chat") == {"m": 4})
    upstream.handlers.clear()
    upstream.streams(said("He", "llo"))
    await chat.parts(complete(chat, stream=True))
    await book.until(lambda book: book.of("tokens", "chat") == {"m": 4 + 9})


async def test_tokens_are_estimated_where_the_provider_does_not_count(
    chat: Chat, upstream: Upstream, book: Ledger
) -> None:
    upstream.streams([chunk({"content": "y" * 60}), chunk({}, "stop"), b"data: [DONE]\n\n"])
    await chat.parts(complete(chat, stream=True))
    await book.until(lambda book: book.of("tokens") == {"m": 30})


async def test_what_was_written_until_the_client_hung_up_is_counted(
    chat: Chat, upstream: Upstream, book: Ledger
) -> None:
    upstream.streams([chunk({"content": "y" * 30})], hang=True)
    call = complete(chat, stream=True)
    assert await anext(aiter(call))
    call.cancel()
    await asyncio.wait_for(upstream.gone.wait(), 5)
    await book.until(lambda book: book.of("tokens") == {"m": 20})


async def test_all_turns_of_an_answer_with_tools_are_counted_and_tools_are_not(
    chat: Chat, upstream: Upstream, book: Ledger
) -> None:
    upstream.streams([*called("sql_ask", {"question": "How many?"})[:-1], *said("Done")[-2:]])
    upstream.streams(said("There are two."))
    await send(chat, "How many customers?", model="m")
    await book.until(lambda book: book.of("tokens") == {"m": 7 + 1 + 7 + 1})
    assert {unit for *_key, unit in book.amounts} == {"tokens"}, "rows are counted by the service that reads them"


async def test_words_of_the_embedded_model_are_counted_as_it_counts_them(chat: Chat, book: Ledger) -> None:
    events = await send(chat, "Hello there")
    usage = next(event.usage for event in events if event.HasField("usage"))
    spent = usage.prompt_tokens + usage.completion_tokens
    assert spent > 0
    await book.until(lambda book: book.of("tokens") == {"parley-embedded": spent})


async def test_who_is_nobody_is_not_counted(chat: Chat, upstream: Upstream, book: Ledger) -> None:
    upstream.answers("Hello")
    await chat.post({"model": "m", "messages": HELLO})
    await chat.parts(complete(chat))
    await book.until(lambda book: book.of("tokens") == {"m": 4})
    assert len(book.amounts) == 1


async def test_what_was_done_to_conversations_is_reported_without_a_word_of_them(chat: Chat, book: Ledger) -> None:
    made = await chat.chat.CreateConversation(
        chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(title="My secret plan")), metadata=CALLER
    )
    await chat.chat.DeleteConversation(chat_pb2.DeleteConversationRequest(name=made.conversation.name), metadata=CALLER)
    with pytest.raises(grpc.aio.AioRpcError):
        await chat.chat.DeleteConversation(
            chat_pb2.DeleteConversationRequest(name=made.conversation.name), metadata=CALLER
        )
    await chat.chat.ListConversations(chat_pb2.ListConversationsRequest(), metadata=CALLER)
    await book.until(lambda book: len(book.acts) == 3)
    service = "parley.chat.v1.ChatService"
    assert [(act.method, act.resource, act.code) for act in book.acts] == [
        (f"{service}/CreateConversation", made.conversation.name, 0),
        (f"{service}/DeleteConversation", made.conversation.name, 0),
        (f"{service}/DeleteConversation", made.conversation.name, grpc.StatusCode.NOT_FOUND.value[0]),
    ]
    assert {(act.subject, act.api_key, act.address) for act in book.acts} == {("default/ann", "k1", "192.0.2.7")}
    assert "secret" not in str(book.acts)
