"""Conversations are their owners' alone, whoever else is in the organisation, and in any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from parley.chat.v1 import chat_pb2
from tests.chat.conftest import Chat, Start, Upstream, said
from tests.tenants import ANN, BOB, EVE, NOBODY, Metadata, does_not_exist, identity

OTHERS = (BOB, EVE, NOBODY)


async def conversation(chat: Chat, person: Metadata, text: str = "hello") -> str:
    """A conversation of somebody's, with a message and an answer."""
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(), metadata=person)
    name: str = made.conversation.name
    request = chat_pb2.SendMessageRequest(conversation=name, text=text)
    assert [event async for event in chat.chat.SendMessage(request, metadata=person)]
    return name


async def listed(chat: Chat, person: Metadata, token: str = "", size: int = 100) -> Any:
    """A page of somebody's conversations."""
    request = chat_pb2.ListConversationsRequest(page_size=size, page_token=token)
    return await chat.chat.ListConversations(request, metadata=person)


def calls(chat: Chat) -> dict[str, Callable[[str, Metadata], Any]]:
    """Every method that takes a conversation."""
    stub = chat.chat
    return {
        "GetConversation": lambda name, who: stub.GetConversation(
            chat_pb2.GetConversationRequest(name=name), metadata=who
        ),
        "UpdateConversation": lambda name, who: stub.UpdateConversation(
            chat_pb2.UpdateConversationRequest(
                conversation=chat_pb2.Conversation(name=name, title="mine"), update_mask={"paths": ["title"]}
            ),
            metadata=who,
        ),
        "DeleteConversation": lambda name, who: stub.DeleteConversation(
            chat_pb2.DeleteConversationRequest(name=name), metadata=who
        ),
        "SendMessage": lambda name, who: stub.SendMessage(
            chat_pb2.SendMessageRequest(conversation=name, text="and then?"), metadata=who
        ),
        "ListMessages": lambda name, who: stub.ListMessages(chat_pb2.ListMessagesRequest(parent=name), metadata=who),
    }


async def test_nobody_else_sees_or_changes_a_conversation(chat: Chat) -> None:
    name = await conversation(chat, ANN)
    before = await chat.chat.ListMessages(chat_pb2.ListMessagesRequest(parent=name), metadata=ANN)
    for call in calls(chat).values():
        await does_not_exist(call, name, *OTHERS)
    after = await chat.chat.ListMessages(chat_pb2.ListMessagesRequest(parent=name), metadata=ANN)
    assert after == before
    for person in OTHERS:
        assert not (await listed(chat, person)).conversations
    assert [c.name for c in (await listed(chat, ANN)).conversations] == [name]
    assert (await listed(chat, ANN)).conversations[0].title == "hello"


async def test_a_user_of_the_same_name_elsewhere_is_somebody_else(chat: Chat) -> None:
    name = await conversation(chat, ANN)
    await does_not_exist(calls(chat)["GetConversation"], name, identity("rival", "ann"), identity("acme-ann", ""))


async def test_the_token_of_a_page_opens_nobody_elses(chat: Chat) -> None:
    mine = [await conversation(chat, ANN) for _ in range(3)]
    theirs = await conversation(chat, BOB)
    token = (await listed(chat, ANN, size=1)).next_page_token
    assert not (await listed(chat, EVE, token)).conversations
    assert theirs not in {c.name for c in (await listed(chat, ANN, token)).conversations}
    assert [c.name for c in (await listed(chat, ANN, token)).conversations] == mine[1::-1]


async def test_a_message_of_anothers_is_no_parent(chat: Chat) -> None:
    mine, theirs = await conversation(chat, ANN), await conversation(chat, EVE)
    secret = await chat.chat.ListMessages(chat_pb2.ListMessagesRequest(parent=theirs), metadata=EVE)

    def follow(parent: str, who: Metadata) -> Any:
        request = chat_pb2.SendMessageRequest(conversation=mine, text="go on", parent_message=parent)
        return chat.chat.SendMessage(request, metadata=who)

    await does_not_exist(follow, secret.messages[0].name, ANN)


async def test_nobody_else_stops_an_answer(start: Start, upstream: Upstream) -> None:
    chat = await start(providers=[upstream.provider(timeout=5)])
    upstream.streams(said(*["word "] * 40), delay=0.05)
    request = chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(model="m"))
    made = await chat.chat.CreateConversation(request, metadata=ANN)
    sent = chat_pb2.SendMessageRequest(conversation=made.conversation.name, text="talk")
    call = chat.chat.SendMessage(sent, metadata=ANN)
    events = aiter(call)
    generation = (await anext(events)).started.generation

    def cancel(name: str, who: Metadata) -> Any:
        return chat.chat.CancelGeneration(chat_pb2.CancelGenerationRequest(name=name), metadata=who)

    await does_not_exist(cancel, generation, *OTHERS)
    await asyncio.sleep(0.3)
    assert (await cancel(generation, ANN)).was_running
    last = [event async for event in events][-1]
    assert last.HasField("done")


async def test_a_databases_words_are_not_kept_for_others(chat: Chat) -> None:
    """Two organisations may have a database of one name each: what one's is about is not told to the other."""
    for person in (ANN, EVE, ANN):
        made = await chat.chat.CreateConversation(
            chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(database="databases/shop")),
            metadata=person,
        )
        request = chat_pb2.SendMessageRequest(
            conversation=made.conversation.name,
            attachments=[chat_pb2.Attachment(filename="q.wav", content_type="audio/wav", content=b"RIFF")],
        )
        assert [event async for event in chat.chat.SendMessage(request, metadata=person)]
    assert chat.sql.told_words == ["acme/ann", "rival/eve"]
