"""Conversations and answers over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from parley.chat.v1 import chat_pb2
from services.mesh import database, errors
from tests.chat.conftest import Chat, Start, Upstream, called, chunk, said


def kinds(events: list[chat_pb2.SendMessageResponse]) -> list[str]:
    return [str(e.WhichOneof("event")) for e in events]


def text(events: list[chat_pb2.SendMessageResponse]) -> str:
    return "".join(e.text_delta.text for e in events)


async def create(chat: Chat, **fields: Any) -> str:
    request = chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(**fields))
    return str((await chat.chat.CreateConversation(request)).conversation.name)


def fields_at_fault(error: grpc.aio.AioRpcError) -> list[str]:
    # Typed for the synchronous API; an AioRpcError has the same three methods.
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Is(bad.DESCRIPTOR):
            detail.Unpack(bad)
    return [v.field for v in bad.field_violations]


def reason(error: grpc.aio.AioRpcError) -> str:
    # Typed for the synchronous API; an AioRpcError has the same three methods.
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason).removeprefix("ERROR_REASON_")


async def test_a_database_question_is_answered_in_typed_events(chat: Chat) -> None:
    name = await create(chat, database="databases/shop")
    events = await chat.ask("How many customers are in each city?", name)
    assert kinds(events) == ["started", "tool_call", "tool_result", "text_delta", "usage", "done"]
    assert [e.sequence for e in events] == list(range(1, 7))
    assert events[1].tool_call.tool == "sql.ask"
    table = events[2].tool_result.table
    assert [list(row) for row in table.rows] == [["Huế", 12], ["Hanoi", 30]]
    assert (table.database, table.sql[:6]) == ("databases/shop", "SELECT")
    assert text(events) == "There are 2 cities."
    done = events[-1].done
    assert done.finish_reason == chat_pb2.FINISH_REASON_STOP
    assert (done.message.name, done.message.state) == (events[0].started.message, chat_pb2.MESSAGE_STATE_COMPLETE)
    stored = await chat.messages(name)
    assert [m.text for m in stored] == ["How many customers are in each city?", "There are 2 cities."]
    assert stored[1] == done.message
    assert stored[1].parent_message == stored[0].name


async def test_speech_becomes_a_question(chat: Chat) -> None:
    name = await create(chat)
    audio = chat_pb2.Attachment(filename="q.wav", content_type="audio/wav", content=b"how many customers are there")
    events = await chat.ask("", name, attachments=[audio])
    assert kinds(events)[:5] == ["started", "tool_call", "tool_result", "tool_call", "tool_result"]
    assert events[2].tool_result.transcript.segments[0].start == 0.5
    assert chat.sql.asked[0].question == "how many customers are there"
    conversation = (await chat.chat.GetConversation(chat_pb2.GetConversationRequest(name=name))).conversation
    assert conversation.title == "how many customers are there"
    stored = (await chat.messages(name))[0].attachments[0]
    assert (stored.filename, stored.size) == ("q.wav", 28)


async def test_a_recording_is_transcribed_when_that_is_all_that_is_wanted(chat: Chat) -> None:
    audio = chat_pb2.Attachment(content_type="audio/wav", content=b"good evening")
    events = await chat.ask("Please transcribe this", attachments=[audio])
    assert text(events) == "The recording says: “good evening”"
    assert not chat.sql.asked


async def test_what_is_no_audio_is_said_so(chat: Chat) -> None:
    audio = chat_pb2.Attachment(content_type="audio/wav", content=b"noise")
    events = await chat.ask("", attachments=[audio])
    assert events[2].tool_result.WhichOneof("result") == "error"
    assert text(events).startswith("I could not read the recording.")
    assert kinds(events)[-1] == "done"


async def test_words_that_were_not_understood_are_named_in_the_language_of_the_question(chat: Chat) -> None:
    chat.sql.unknown_words = "blurb, wug"
    assert "“blurb”, “wug”" in text(await chat.ask("How many blurb wug?"))
    assert text(await chat.ask("Có bao nhiêu blurb?")).startswith("Tôi không hiểu “blurb”")


async def test_a_failing_tool_is_reported_and_stored(chat: Chat) -> None:
    chat.sql.error = errors.Unavailable("The shop is closed.", retry_after=3)
    name = await create(chat)
    events = await chat.ask("How many customers?", name)
    assert "The shop is closed." in text(events)
    kept = (await chat.messages(name))[1].tool_results[0].error
    assert kept == events[2].tool_result.error
    assert kept.code == grpc.StatusCode.UNAVAILABLE.value[0]


async def test_the_database_that_fits_best_is_asked(chat: Chat) -> None:
    chat.sql.databases = ["a", "b", "c"]
    chat.sql.confidence = {"a": 0.2, "c": 0.9}
    await chat.ask("How many customers?")
    assert chat.sql.asked[0].database == "databases/c"
    chat.sql.confidence = {}
    assert "“blurb”" in text(await chat.ask("How many blurb?"))


async def test_without_a_database_it_says_how_to_add_one(chat: Chat) -> None:
    chat.sql.databases = []
    assert "parley sql add" in text(await chat.ask("How many customers are there?"))


async def test_the_databases_are_listed(chat: Chat) -> None:
    assert text(await chat.ask("Which databases are there?")) == "- shop: Shop"


async def test_the_requests_database_goes_before_the_conversations(chat: Chat) -> None:
    chat.sql.databases = ["shop", "other"]
    name = await create(chat, database="databases/shop")
    await chat.ask("How many?", name, database="databases/other")
    assert chat.sql.asked[0].database == "databases/other"


async def test_identity_trace_and_deadline_travel_to_the_tools(chat: Chat) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    metadata = (("traceparent", trace), ("x-parley-identity-subject", "ann"), ("x-request-id", "r-1"))
    made = await chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(), metadata=metadata)
    name = made.conversation.name
    request = chat_pb2.SendMessageRequest(conversation=name, text="How many customers?")
    async for _event in chat.chat.SendMessage(request, metadata=metadata, timeout=30):
        pass
    assert chat.sql.metadata["x-parley-identity-subject"] == "ann"
    assert chat.sql.metadata["x-request-id"] == "r-1"
    assert chat.sql.metadata["traceparent"][3:35] == trace[3:35]


async def test_a_providers_model_calls_tools_and_sees_their_answers(with_model: Chat, upstream: Upstream) -> None:
    upstream.streams(called("sql_ask", {"question": "How many customers?"}))
    upstream.streams(said("42", " of them."))
    name = await create(with_model, model="m", database="databases/shop")
    events = await with_model.ask("How many?", name)
    assert kinds(events) == ["started", "tool_call", "tool_result", "text_delta", "text_delta", "usage", "done"]
    assert events[-2].usage.prompt_tokens == 7
    assert {t["function"]["name"] for t in upstream.requests[0]["tools"]} >= {"sql_ask", "asr_recognize"}
    shown = upstream.requests[1]["messages"]
    assert [m["role"] for m in shown] == ["user", "assistant", "tool"]
    assert '["Huế", 12.0]' in shown[2]["content"]
    upstream.streams(said("You are welcome."))
    await with_model.ask("Thanks", name)
    assert [m["content"] for m in upstream.requests[2]["messages"]] == ["How many?", "42 of them.", "Thanks"]


async def test_a_model_that_never_stops_calling_tools_is_stopped(start: Start, upstream: Upstream) -> None:
    chat = await start(providers=[upstream.provider()], max_tool_rounds=2)
    upstream.streams(called("sql_ask", {}))
    events = await chat.ask("loop", model="m")
    assert kinds(events).count("tool_result") == 2
    assert "requires it" in events[2].tool_result.error.message
    assert "tools" not in upstream.requests[-1]
    assert kinds(events)[-1] == "done"


async def test_an_answer_that_breaks_off_is_kept(with_model: Chat, upstream: Upstream) -> None:
    upstream.streams([chunk({"content": "Half an "})], delay=0.05, die=True)
    name = await create(with_model, model="m")
    events = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        request = chat_pb2.SendMessageRequest(conversation=name, text="Hi")
        async for event in with_model.chat.SendMessage(request):
            events.append(event)  # noqa: PERF401 — what came before the error is looked at
    assert kinds(events) == ["started", "text_delta", "error"]
    assert [e.sequence for e in events] == [1, 2, 3]
    assert reason(caught.value) == "UPSTREAM_FAILED"
    stored = (await with_model.messages(name))[1]
    assert (stored.text, stored.state) == ("Half an ", chat_pb2.MESSAGE_STATE_INTERRUPTED)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_generation_is_stopped_from_another_connection(
    start: Start, upstream: Upstream, elsewhere: bool
) -> None:
    chat = await start(providers=[upstream.provider()], replica="one")
    other = await start(providers=[upstream.provider()], replica="two") if elsewhere else chat
    upstream.streams([chunk({"content": "Half an "})], hang=True)
    name = await create(chat, model="m")
    events = []
    async for event in chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text="Hi")):
        events.append(event)
        if event.WhichOneof("event") == "text_delta":
            request = chat_pb2.CancelGenerationRequest(name=events[0].started.generation)
            assert (await other.chat.CancelGeneration(request)).was_running
    assert kinds(events) == ["started", "text_delta", "done"]
    assert events[-1].done.finish_reason == chat_pb2.FINISH_REASON_CANCELLED
    assert events[-1].done.message.state == chat_pb2.MESSAGE_STATE_INTERRUPTED
    assert events[-1].done.message.text == "Half an "
    await asyncio.wait_for(upstream.gone.wait(), 1)
    request = chat_pb2.CancelGenerationRequest(name=events[0].started.generation)
    assert not (await other.chat.CancelGeneration(request)).was_running


async def test_a_client_that_hangs_up_stops_the_model(start: Start, upstream: Upstream) -> None:
    chat = await start(providers=[upstream.provider(timeout=60)])
    upstream.streams([chunk({"content": "Half an "})], hang=True)
    name = await create(chat, model="m")
    call = chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text="Hi"))
    await call.read()
    await call.read()
    call.cancel()
    await asyncio.wait_for(upstream.gone.wait(), 20)
    await until_interrupted(chat, name, "Half an ")


async def test_a_client_that_hangs_up_stops_the_tool(chat: Chat) -> None:
    chat.sql.hangs = True
    name = await create(chat)
    call = chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text="How many?"))
    await call.read()
    await call.read()
    await asyncio.wait_for(chat.sql.began.wait(), 2)
    call.cancel()
    await asyncio.wait_for(chat.sql.cancelled.wait(), 2)
    await until_interrupted(chat, name, "")


async def until_interrupted(chat: Chat, name: str, text: str) -> None:
    for _attempt in range(100):
        stored = (await chat.messages(name))[1]
        if stored.state == chat_pb2.MESSAGE_STATE_INTERRUPTED:
            break
        await asyncio.sleep(0.02)
    assert (stored.state, stored.text) == (chat_pb2.MESSAGE_STATE_INTERRUPTED, text)


async def test_what_was_streamed_survives_the_service(start: Start, upstream: Upstream) -> None:
    """A second life of the same replica finds the unfinished answer, as after kill -9."""
    chat = await start(providers=[upstream.provider()], replica="one")
    upstream.streams([chunk({"content": f"{i} "}) for i in range(8)], delay=0.05, hang=True)
    name = await create(chat, model="m")
    call = chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text="Hi"))
    for _event in range(9):
        await call.read()
    partly = (await chat.messages(name))[1]
    assert partly.state == chat_pb2.MESSAGE_STATE_GENERATING
    assert partly.text.startswith("0 1 ")
    stranger = await start(replica="two")
    assert (await stranger.messages(name))[1].state == chat_pb2.MESSAGE_STATE_GENERATING
    reborn = await start(replica="one")
    kept = (await reborn.messages(name))[1]
    assert (kept.state, kept.text) == (chat_pb2.MESSAGE_STATE_INTERRUPTED, partly.text)
    call.cancel()


async def test_an_answer_of_a_deleted_conversation_is_stopped(with_model: Chat, upstream: Upstream) -> None:
    upstream.streams([chunk({"content": "Half"})], hang=True)
    name = await create(with_model, model="m")
    call = with_model.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text="Hi"))
    await call.read()
    await call.read()
    await with_model.chat.DeleteConversation(chat_pb2.DeleteConversationRequest(name=name))
    assert (await call.read()).WhichOneof("event") == "error"
    await asyncio.wait_for(upstream.gone.wait(), 1)


async def test_conversations_are_listed_in_pages(chat: Chat) -> None:
    names = [await create(chat, title=str(i)) for i in range(5)]
    await chat.ask("hello", names[0])
    got, token = [], ""
    while True:
        page = await chat.chat.ListConversations(chat_pb2.ListConversationsRequest(page_size=2, page_token=token))
        got += [c.name for c in page.conversations]
        token = page.next_page_token
        if not token:
            break
    assert got == [names[0], *reversed(names[1:])]


async def test_messages_are_listed_in_pages_and_branch(chat: Chat) -> None:
    name = await create(chat)
    first = await chat.ask("hello", name)
    await chat.ask("thanks", name)
    branch = await chat.ask("hi", name, parent_message=first[-1].done.message.name)
    assert branch[0].started.user_message.parent_message == first[-1].done.message.name
    request = chat_pb2.ListMessagesRequest(parent=name, page_size=4)
    page = await chat.chat.ListMessages(request)
    request.page_token = page.next_page_token
    rest = await chat.chat.ListMessages(request)
    assert [len(page.messages), len(rest.messages), rest.next_page_token] == [4, 2, ""]
    assert [m.text for m in page.messages][::2] == ["hello", "thanks"]


async def test_a_conversation_is_changed_and_deleted(chat: Chat) -> None:
    name = await create(chat, title="old")
    changed = chat_pb2.Conversation(name=name, title="new", database="databases/shop")
    request = chat_pb2.UpdateConversationRequest(conversation=changed)
    request.update_mask.paths.append("title")
    answer = (await chat.chat.UpdateConversation(request)).conversation
    assert (answer.title, answer.database) == ("new", "")
    await chat.chat.DeleteConversation(chat_pb2.DeleteConversationRequest(name=name))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chat.chat.GetConversation(chat_pb2.GetConversationRequest(name=name))
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_mask_of_all_fields_replaces_them_all(chat: Chat) -> None:
    name = await create(chat, title="old", model="parley-embedded", database="databases/shop")
    request = chat_pb2.UpdateConversationRequest(conversation=chat_pb2.Conversation(name=name, title="new"))
    request.update_mask.paths.append("*")
    answer = (await chat.chat.UpdateConversation(request)).conversation
    assert (answer.title, answer.model, answer.database) == ("new", "", "")


@pytest.mark.parametrize("away", [False, True])
async def test_a_database_that_does_not_exist_is_not_found(chat: Chat, away: bool) -> None:
    """Nobody can say while the sql service is away: then the name is taken."""
    chat.sql.away = away
    name = await create(chat)
    wanted = chat_pb2.Conversation(name=name, database="databases/nope")
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: chat.chat.CreateConversation(chat_pb2.CreateConversationRequest(conversation=wanted)),
        lambda: chat.chat.UpdateConversation(chat_pb2.UpdateConversationRequest(conversation=wanted)),
        lambda: chat.ask("hello", name, database="databases/nope"),
    ]
    for call in calls:
        chat.sql.looked_up.clear()
        if away:
            await call()
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call()
            assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
            assert "databases/nope" in str(caught.value.details())
        # More than once while it is away: the channel tries again.
        assert set(chat.sql.looked_up) == {"databases/nope"}
        assert away or len(chat.sql.looked_up) == 1
    if not away:
        assert await chat.messages(name) == []


@pytest.mark.parametrize("garbage", [b"data: {oops\n\n", b"data: []\n\n", b'data: {"error": {"message": "no"}}\n\n'])
async def test_text_before_a_broken_frame_is_kept(with_model: Chat, upstream: Upstream, garbage: bytes) -> None:
    upstream.streams([chunk({"content": "Half "}) + chunk({"content": "an "}) + garbage])
    name = await create(with_model, model="m")
    events = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in with_model.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text="Hi")):
            events.append(event)  # noqa: PERF401 — what came before the error is looked at
    assert text(events) == "Half an "
    assert reason(caught.value) == "UPSTREAM_FAILED"
    assert (await with_model.messages(name))[1].text == "Half an "
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": "text"},
        {"delta": {"tool_calls": 5}},
        {"delta": {"tool_calls": [{"index": 0, "function": "f"}]}, "finish_reason": ["stop"]},
    ],
)
async def test_a_chunk_of_another_shape_does_no_harm(
    with_model: Chat, upstream: Upstream, choice: dict[str, Any]
) -> None:
    odd = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    upstream.streams([odd, *said("Hello")])
    assert text(await with_model.ask("Hi", model="m"))[-5:] == "Hello"


async def test_the_title_is_cut_from_the_first_message(chat: Chat) -> None:
    name = await create(chat)
    await chat.ask("hello " * 100, name)
    title = (await chat.chat.GetConversation(chat_pb2.GetConversationRequest(name=name))).conversation.title
    assert title.startswith("hello hello")
    assert len(title) <= 80


async def test_the_models_are_listed_with_the_default_first(start: Start, upstream: Upstream) -> None:
    chat = await start(providers=[upstream.provider()], default_model="m")
    models = (await chat.chat.ListModels(chat_pb2.ListModelsRequest())).models
    assert [(m.id, m.provider) for m in models] == [("m", "canned"), ("parley-embedded", "parley")]


@pytest.mark.parametrize(
    ("method", "request_message", "field"),
    [
        ("GetConversation", chat_pb2.GetConversationRequest(name="x"), "name"),
        ("DeleteConversation", chat_pb2.DeleteConversationRequest(), "name"),
        ("ListConversations", chat_pb2.ListConversationsRequest(page_size=-1), "page_size"),
        ("ListConversations", chat_pb2.ListConversationsRequest(page_token="!"), "page_token"),
        ("ListMessages", chat_pb2.ListMessagesRequest(parent="conversations/x", page_size=1001), "page_size"),
        ("CancelGeneration", chat_pb2.CancelGenerationRequest(name="generations/"), "name"),
        ("UpdateConversation", chat_pb2.UpdateConversationRequest(), "conversation"),
        (
            "UpdateConversation",
            chat_pb2.UpdateConversationRequest(conversation=chat_pb2.Conversation(name="conversations/x")),
            "update_mask",
        ),
        (
            "UpdateConversation",
            chat_pb2.UpdateConversationRequest(conversation=chat_pb2.Conversation(title="x")),
            "conversation.name",
        ),
        (
            "CreateConversation",
            chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(title="x" * 201)),
            "conversation.title",
        ),
        (
            "CreateConversation",
            chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(title="a\0b")),
            "conversation.title",
        ),
        (
            "UpdateConversation",
            chat_pb2.UpdateConversationRequest(conversation=chat_pb2.Conversation(name="conversations/x", title="\0")),
            "conversation.title",
        ),
        (
            "CreateConversation",
            chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(database="shop")),
            "conversation.database",
        ),
    ],
)
async def test_the_field_at_fault_is_named(chat: Chat, method: str, request_message: Any, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(chat.chat, method)(request_message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_at_fault(caught.value) == [field]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "text"),
        ({"text": " \n"}, "text"),
        ({"text": "x" * 100_001}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": "x", "parent_message": "y"}, "parent_message"),
        ({"attachments": [chat_pb2.Attachment(content_type="audio/wav")]}, "attachments[0].content"),
        (
            {"attachments": [chat_pb2.Attachment(content_type="image/png", content=b"x")]},
            "attachments[0].content_type",
        ),
    ],
)
async def test_a_message_that_cannot_be_sent(chat: Chat, fields: dict[str, Any], field: str) -> None:
    name = await create(chat)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chat.ask(fields.pop("text", ""), name, **fields)
    assert fields_at_fault(caught.value) == [field]
    assert await chat.messages(name) == []


async def test_what_does_not_exist_is_not_found(chat: Chat) -> None:
    name = await create(chat)
    for more, said_reason in (
        ({"conversation": "conversations/none"}, "NOT_FOUND"),
        ({"conversation": name, "parent_message": "messages/none"}, "NOT_FOUND"),
        ({"conversation": name, "model": "gpt-x"}, "MODEL_NOT_FOUND"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await chat.ask("hello", **more)
        assert reason(caught.value) == said_reason
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chat.chat.CancelGeneration(chat_pb2.CancelGenerationRequest(name="generations/none"))
    assert reason(caught.value) == "NOT_FOUND"
    assert await chat.messages(name) == []


async def test_a_full_store_says_so_and_holds_nothing_by_halves(chat: Chat, tmp_path: Path) -> None:
    name = await create(chat)
    # A database that may not grow any more is what a full disk is to SQLite.
    await chat.application.database.run(lambda session: session.connection().exec_driver_sql("PRAGMA max_page_count=1"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chat.ask("x" * 90_000, name)
    assert reason(caught.value) == "STORAGE_UNAVAILABLE"
    assert await chat.messages(name) == []
    assert (tmp_path / "chat.db").exists()


async def test_a_locked_store_says_so_and_recovers(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    chat = await start()
    name = await create(chat)
    other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await chat.ask("hello", name)
        other.execute("ROLLBACK")
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert await chat.messages(name) == []
    assert kinds(await chat.ask("hello", name))[-1] == "done"


async def test_an_answer_goes_on_while_its_parts_cannot_be_stored(
    start: Start, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    chat = await start(providers=[upstream.provider()])
    upstream.streams(said(*"abcdefgh"), delay=0.1)
    name = await create(chat, model="m")
    other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
    events = []
    with contextlib.closing(other):
        async for event in chat.chat.SendMessage(chat_pb2.SendMessageRequest(conversation=name, text="Hi")):
            events.append(event)
            if event.text_delta.text == "a":
                other.execute("BEGIN IMMEDIATE")
            if event.text_delta.text == "f":
                other.execute("ROLLBACK")
    assert text(events) == "abcdefgh"
    assert (await chat.messages(name))[1] == events[-1].done.message


async def test_conversations_are_kept_in_postgresql(start: Start, postgres: str) -> None:
    chat = await start(database_url=postgres)
    name = await create(chat, database="databases/shop")
    await chat.ask("How many customers are in each city?", name)
    stored = await chat.messages(name)
    assert stored[1].tool_results[0].table.rows[0][0] == "Huế"
    page = await chat.chat.ListConversations(chat_pb2.ListConversationsRequest(page_size=1))
    assert page.conversations[0].name == name
    request = chat_pb2.CancelGenerationRequest(name="generations/none")
    with pytest.raises(grpc.aio.AioRpcError):
        await chat.chat.CancelGeneration(request)
    await chat.chat.DeleteConversation(chat_pb2.DeleteConversationRequest(name=name))
