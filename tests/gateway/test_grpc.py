"""gRPC and gRPC-Web through the real Envoy."""

from __future__ import annotations

import base64
import struct
import threading
import time
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deploy.local import drain
from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from tests.conftest import free_port
from tests.gateway.conftest import Gateway, Identity, answers, envoy, scripted, wait_for


def test_calls_of_every_kind_pass(gateway: Gateway) -> None:
    with gateway.channel() as channel:
        database = sql_pb2_grpc.SqlServiceStub(channel).GetDatabase(sql_pb2.GetDatabaseRequest(name="databases/shop"))
        assert database.database.name == "databases/shop"
        request = chat_pb2.SendMessageRequest(conversation="conversations/42", text="hello")
        events = list(chat_pb2_grpc.ChatServiceStub(channel).SendMessage(request))
        assert [event.sequence for event in events] == [1, 2, 3]


def test_a_large_message_passes(gateway: Gateway) -> None:
    with gateway.channel() as channel:
        heard = asr_pb2_grpc.SpeechRecognitionStub(channel).Recognize(asr_pb2.RecognizeRequest(audio=b"x" * 64_000_000))
        assert heard.transcript.text == "64000000"


def test_an_unknown_method_is_unimplemented(gateway: Gateway) -> None:
    with gateway.channel() as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/parley.unknown.v1.Service/Method")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert (caught.value.details() or "").startswith("No such service or method.")


def test_the_clients_deadline_reaches_the_service(gateway: Gateway) -> None:
    with gateway.channel() as channel:
        request = chat_pb2.SendMessageRequest(conversation="conversations/42", text="forever")
        with pytest.raises(grpc.RpcError) as caught:
            list(chat_pb2_grpc.ChatServiceStub(channel).SendMessage(request, timeout=0.5))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_health_and_reflection_answer(gateway: Gateway) -> None:
    with gateway.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        [answer] = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
        names = {service.name for service in answer.list_services_response.service}
        assert {"parley.chat.v1.ChatService", "parley.sql.v1.SqlService"} <= names


@pytest.mark.parametrize("text", [False, True])
def test_grpc_web_is_spoken(client: httpx.Client, text: bool) -> None:
    message = sql_pb2.GetDatabaseRequest(name="databases/shop").SerializeToString()
    body = struct.pack(">BI", 0, len(message)) + message
    kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
    answer = client.post(
        "/parley.sql.v1.SqlService/GetDatabase",
        content=base64.b64encode(body) if text else body,
        headers={"content-type": kind, "accept": kind, "x-grpc-web": "1"},
    )
    assert answer.status_code == 200
    # In the text form each frame is encoded by itself.
    data = (
        b"".join(base64.b64decode(part + b"=" * (-len(part) % 4)) for part in answer.content.split(b"=") if part)
        if text
        else answer.content
    )
    length = struct.unpack(">I", data[1:5])[0]
    assert sql_pb2.GetDatabaseResponse.FromString(data[5 : 5 + length]).database.name == "databases/shop"
    assert b"grpc-status:0" in data[5 + length :]


def test_draining_lets_calls_in_flight_end(tmp_path: Path, identity: Identity) -> None:
    port = free_port()
    with scripted(port, tmp_path / "services.log"), envoy(tmp_path, port, identity) as own:
        wait_for(lambda: answers(f"{own.url}/healthz/chat"), 20, "health")
        url, body = f"{own.url}/v1/chat/completions", {"model": "x", "stream": True}
        with httpx.stream("POST", url, json=body, headers=own.bearer) as answer:
            parts = answer.iter_text()
            first = next(parts)
            drained: list[float] = []
            draining = threading.Thread(
                target=lambda: drained.append(timed_drain(int(own.admin.rpartition(":")[2]), 5))
            )
            draining.start()
            assert not drained
            assert (first + "".join(parts)).endswith("data: [DONE]\n\n")
        draining.join(3)
        assert drained
        assert 0.2 < drained[0] < 3


def timed_drain(admin_port: int, seconds: float) -> float:
    """Drains a gateway and says how long that took."""
    began = time.monotonic()
    drain.envoy(admin_port, seconds)
    return time.monotonic() - began
