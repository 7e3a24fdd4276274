"""The chassis around a real server: errors, validation, health, reflection, context, draining."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from prometheus_client import REGISTRY

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.mesh import channels, context, errors, openai
from services.mesh.server import Bound, running
from services.mesh.settings import ServiceSettings

SETTINGS = ServiceSettings(drain_seconds=5)


class Chat(chat_pb2_grpc.ChatServiceServicer):
    """A servicer whose replies the tests choose by what they ask for."""

    def __init__(self) -> None:
        self.seen: context.Call | None = None
        self.stopped = asyncio.Event()

    async def GetConversation(self, request, context):  # type: ignore[no-untyped-def]
        match request.name:
            case "conversations/missing":
                raise errors.NotFound(request.name)
            case "conversations/broken":
                raise RuntimeError("password=hunter2")
            case "conversations/slow":
                await asyncio.sleep(0.5)
        return chat_pb2.GetConversationResponse(conversation=chat_pb2.Conversation(name=request.name))

    async def ListModels(self, request, _context):  # type: ignore[no-untyped-def]
        self.seen = context.current()
        return chat_pb2.ListModelsResponse()

    async def SendMessage(self, request, context):  # type: ignore[no-untyped-def]
        try:
            yield chat_pb2.SendMessageResponse(sequence=1)
            if request.text == "fail":
                raise errors.Unavailable("Triton is away", retry_after=3)
            await asyncio.sleep(60)
        finally:
            self.stopped.set()


class OpenAI(openai_pb2_grpc.ChatCompletionsServiceServicer):
    """A façade that fails before or after its first part."""

    async def CreateChatCompletion(self, request, context):  # type: ignore[no-untyped-def]
        async def parts() -> AsyncIterator[httpbody_pb2.HttpBody]:
            if request.body.data == b"late":
                yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=b"data: {}\n\n")
            raise errors.NotFound("models/x", "There is no model x.")

        async for part in openai.with_envelope(
            context, parts(), lambda body: openai_pb2.CreateChatCompletionResponse(body=body)
        ):
            yield part


@pytest.fixture
def servicer() -> Chat:
    return Chat()


@pytest.fixture
async def address(servicer: Chat) -> AsyncIterator[str]:
    bound = [
        Bound(
            chat_pb2_grpc.add_ChatServiceServicer_to_server,
            servicer,
            chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
        ),
        Bound(
            openai_pb2_grpc.add_ChatCompletionsServiceServicer_to_server,
            OpenAI(),
            openai_pb2.DESCRIPTOR.services_by_name["ChatCompletionsService"],
        ),
    ]
    async with running(SETTINGS, bound) as where:
        yield where


@pytest.fixture
async def stub(address: str) -> AsyncIterator[chat_pb2_grpc.ChatServiceAsyncStub]:
    async with channels.channel(address) as channel:
        yield chat_pb2_grpc.ChatServiceStub(channel)


async def failure(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_domain_error_arrives_with_its_reason(stub: chat_pb2_grpc.ChatServiceAsyncStub) -> None:
    error = await failure(stub.GetConversation(chat_pb2.GetConversationRequest(name="conversations/missing")))
    answer = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    assert answer is not None
    assert answer.details[0].Unpack(info)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert dict(info.metadata) == {"resource": "conversations/missing"}


async def test_bytes_that_are_no_message_are_the_callers_fault(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with channels.channel(address) as channel:
        one: Any = channel.unary_unary("/parley.chat.v1.ChatService/GetConversation")
        many: Any = channel.unary_stream("/parley.chat.v1.ChatService/SendMessage")
        # A field longer than all there is; a text that is not UTF-8; no field at all.
        for data in (b"\x0a\x80\x01ab", b"\x0a\x02\xff\xfe", b"\xff" * 40):
            for error in (await failure(one(data)), await failure(many(data).read())):
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert "no request of /parley.chat.v1.ChatService/" in str(error.details())
    assert "Traceback" not in capsys.readouterr().err


async def test_an_unexpected_error_shows_an_id_and_nothing_else(
    stub: chat_pb2_grpc.ChatServiceAsyncStub, capsys: pytest.CaptureFixture[str]
) -> None:
    error = await failure(stub.GetConversation(chat_pb2.GetConversationRequest(name="conversations/broken")))
    assert error.code() is grpc.StatusCode.INTERNAL
    details = error.details() or ""
    assert "hunter2" not in details
    error_id = details.split()[2].strip(".")
    out = capsys.readouterr()
    assert error_id in out.err + out.out, "the log names the same id"


async def test_compressed_messages_are_refused_before_they_are_unpacked(address: str) -> None:
    bomb = chat_pb2.GetConversationRequest(name="a" * 100_000_000)
    async with grpc.aio.insecure_channel(
        address, compression=grpc.Compression.Gzip, options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        error = await failure(chat_pb2_grpc.ChatServiceStub(channel).GetConversation(bomb))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error.details()


async def test_metadata_may_be_as_large_as_the_gateway_lets_in(stub: chat_pb2_grpc.ChatServiceAsyncStub) -> None:
    request = chat_pb2.GetConversationRequest(name="conversations/x")
    answer = await stub.GetConversation(request, metadata=(("x-large", "a" * 60_000),))
    assert answer.conversation.name == request.name


async def test_invalid_fields_are_named_all_at_once(stub: chat_pb2_grpc.ChatServiceAsyncStub) -> None:
    request = chat_pb2.SendMessageRequest(conversation="nonsense", attachments=[chat_pb2.Attachment()])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _event in stub.SendMessage(request):
            pass
    bad = error_details_pb2.BadRequest()
    answer = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert answer is not None
    assert answer.details[1].Unpack(bad)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert {v.field for v in bad.field_violations} >= {
        "conversation",
        "attachments[0].content_type",
        "attachments[0].content",
    }


async def test_an_error_in_a_stream_comes_after_what_was_sent(stub: chat_pb2_grpc.ChatServiceAsyncStub) -> None:
    call = stub.SendMessage(chat_pb2.SendMessageRequest(conversation="conversations/1", text="fail"))
    received = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in call:
            received.append(event.sequence)  # noqa: PERF401 — what came before the error is wanted
    retry = error_details_pb2.RetryInfo()
    answer = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert answer is not None
    assert answer.details[-1].Unpack(retry)
    assert (received, caught.value.code(), retry.retry_delay.seconds) == ([1], grpc.StatusCode.UNAVAILABLE, 3)


async def test_when_the_client_hangs_up_the_handler_stops(
    stub: chat_pb2_grpc.ChatServiceAsyncStub, servicer: Chat
) -> None:
    call = stub.SendMessage(chat_pb2.SendMessageRequest(conversation="conversations/1", text="x"))
    await call.read()
    call.cancel()
    await asyncio.wait_for(servicer.stopped.wait(), 10)


async def test_the_context_is_read_and_passed_on(stub: chat_pb2_grpc.ChatServiceAsyncStub, servicer: Chat) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    served = context.Call(
        request_id="r-1", traceparent=parent, identity=(("x-parley-identity-subject", "ann"),), deadline=None
    )
    context.enter(served)
    await stub.ListModels(chat_pb2.ListModelsRequest(), timeout=30)
    assert servicer.seen is not None
    assert (servicer.seen.request_id, servicer.seen.traceparent) == ("r-1", parent)
    assert servicer.seen.identity == (("x-parley-identity-subject", "ann"),)
    remaining = servicer.seen.remaining()
    assert remaining is not None
    assert 20 < remaining < 31


async def test_a_call_without_trace_gets_one(stub: chat_pb2_grpc.ChatServiceAsyncStub, servicer: Chat) -> None:
    await stub.ListModels(chat_pb2.ListModelsRequest())
    assert servicer.seen is not None
    assert context.is_traceparent(servicer.seen.traceparent)
    assert servicer.seen.request_id == servicer.seen.trace_id
    assert servicer.seen.deadline is None


async def test_a_facade_fails_with_status_and_envelope(address: str) -> None:
    async with channels.channel(address) as channel:
        call = openai_pb2_grpc.ChatCompletionsServiceStub(channel).CreateChatCompletion(
            openai_pb2.CreateChatCompletionRequest(body=httpbody_pb2.HttpBody(data=b"early"))
        )
        part = await anext(aiter(call))
        headers = dict(await call.initial_metadata())
        assert headers[openai.STATUS_HEADER] == "404"
        assert json.loads(part.body.data)["error"]["message"] == "There is no model x."
        assert await call.code() is grpc.StatusCode.NOT_FOUND


async def test_a_facade_that_fails_mid_stream_says_so_in_the_stream(address: str) -> None:
    async with channels.channel(address) as channel:
        call = openai_pb2_grpc.ChatCompletionsServiceStub(channel).CreateChatCompletion(
            openai_pb2.CreateChatCompletionRequest(body=httpbody_pb2.HttpBody(data=b"late"))
        )
        parts = []
        with pytest.raises(grpc.aio.AioRpcError):
            async for part in call:
                parts.append(part.body.data)  # noqa: PERF401 — what came before the error is wanted
        assert parts[0] == b"data: {}\n\n"
        assert json.loads(parts[1].removeprefix(b"data: "))["error"]["code"] == "not_found"


async def test_health_waits_for_dependencies_and_reflection_lists_services() -> None:
    up = asyncio.Event()

    async def database() -> None:
        if not up.is_set():
            raise errors.Unavailable("not yet")

    name = "parley.chat.v1.ChatService"
    descriptor = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
    bound = [Bound(chat_pb2_grpc.add_ChatServiceServicer_to_server, Chat(), descriptor)]
    async with (
        running(SETTINGS, bound, dependencies={"database": database}) as address,
        channels.channel(address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        check = health_pb2.HealthCheckRequest
        assert (await health.Check(check())).status == health_pb2.HealthCheckResponse.SERVING
        assert (await health.Check(check(service=name))).status == health_pb2.HealthCheckResponse.NOT_SERVING
        up.set()
        watch = health.Watch(check(service=name))
        while (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING:
            pass
        watch.cancel()
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)

        async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")

        answers = [answer async for answer in reflection.ServerReflectionInfo(ask())]
        assert name in {service.name for service in answers[0].list_services_response.service}


async def test_a_call_in_flight_ends_before_the_server_does(servicer: Chat) -> None:
    descriptor = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
    bound = [Bound(chat_pb2_grpc.add_ChatServiceServicer_to_server, servicer, descriptor)]
    async with running(SETTINGS, bound) as address:
        channel = channels.channel(address)
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        call = asyncio.ensure_future(stub.GetConversation(chat_pb2.GetConversationRequest(name="conversations/slow")))
        await asyncio.sleep(0.1)
    assert (await call).conversation.name == "conversations/slow"
    await channel.close()


async def test_a_taken_address_is_said() -> None:
    descriptor = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
    bound = [Bound(chat_pb2_grpc.add_ChatServiceServicer_to_server, Chat(), descriptor)]
    async with running(SETTINGS, bound) as address:
        with pytest.raises(OSError, match=address):
            async with running(ServiceSettings(listen=address), bound):
                pass


async def test_calls_are_counted_by_code_and_time(stub: chat_pb2_grpc.ChatServiceAsyncStub) -> None:
    def value(name: str, **labels: str) -> float:
        method = {"grpc_service": "parley.chat.v1.ChatService", "grpc_method": "GetConversation", "grpc_type": "unary"}
        labels = {**method, **labels}
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def seen() -> list[float]:
        return [
            value("grpc_server_handled_total", grpc_code="OK"),
            value("grpc_server_handled_total", grpc_code="NOT_FOUND"),
            value("grpc_server_handling_seconds_count"),
            value("grpc_server_handling_seconds_bucket", le="+Inf"),
        ]

    before = seen()
    slow = asyncio.ensure_future(stub.GetConversation(chat_pb2.GetConversationRequest(name="conversations/slow")))
    await asyncio.sleep(0.2)
    assert value("grpc_server_in_flight") == 1
    await slow
    await failure(stub.GetConversation(chat_pb2.GetConversationRequest(name="conversations/missing")))
    assert [now - then for now, then in zip(seen(), before, strict=True)] == [1, 1, 2, 2]
    assert value("grpc_server_in_flight") == 0
    assert value("grpc_server_handling_seconds_bucket", le="0.25") < value("grpc_server_handling_seconds_count")
