"""Errors in both dialects: google.rpc.Status on /api/v1, OpenAI's envelope on /v1, whoever the error comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import grpc
import httpx
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from gateway import config
from gateway.config import HERE
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from services.mesh.openai import TYPES
from services.mesh.status import HTTP
from tests.conftest import free_port
from tests.gateway.conftest import Gateway, Identity, answers, envoy, scripted, wait_for

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def native(answer: httpx.Response, status: int, code: grpc.StatusCode) -> dict[str, object]:
    """The google.rpc.Status of an answer, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, object] = answer.json()
    assert set(body) == {"code", "message", "details"}
    assert body["code"] == code.value[0]
    return body


def envelope(answer: httpx.Response, status: int) -> dict[str, str | None]:
    """The error of an answer, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert "x-parley-http-status" not in answer.headers
    body: dict[str, dict[str, str | None]] = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_code_has_its_http_status(client: httpx.Client, code: grpc.StatusCode) -> None:
    message = f'scripted "error-{code.name}" \\ ü'
    answer = client.get(f"/api/v1/conversations/error-{code.name.replace('_', '-')}")
    assert native(answer, HTTP[code], code)["message"] == message
    error = envelope(client.get(f"/v1/models/error-{code.name}"), HTTP[code])
    assert error["message"] == message
    assert error["type"] == TYPES.get(HTTP[code], "server_error")


def test_details_are_kept(client: httpx.Client) -> None:
    body = native(client.get("/api/v1/conversations/missing"), 404, grpc.StatusCode.NOT_FOUND)
    assert body["details"] == [
        {
            "@type": INFO,
            "reason": "ERROR_REASON_NOT_FOUND",
            "domain": "parley",
            "metadata": {"resource": "conversations/missing"},
        }
    ]


def test_a_stream_that_fails_at_once_has_a_status(client: httpx.Client) -> None:
    answer = client.post("/api/v1/databases/shop:executeQuery", json={"sql": "error-NOT_FOUND"})
    native(answer, 404, grpc.StatusCode.NOT_FOUND)


def test_the_facades_own_envelope_gets_its_status(client: httpx.Client) -> None:
    missing = envelope(client.post("/v1/chat/completions", json={"model": "missing"}), 404)
    assert missing == {
        "message": "models/missing does not exist.",
        "type": "invalid_request_error",
        "param": None,
        "code": "not_found",
    }
    busy = client.post("/v1/chat/completions", json={"model": "slow-down"})
    assert envelope(busy, 503)["code"] == "dependency_unavailable"
    assert busy.headers["retry-after"] == "7"
    assert envelope(client.post("/v1/chat/completions", json={"model": "crash"}), 500)["code"] == "internal"


def test_an_error_within_a_stream_is_an_event(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", json={"model": "break", "stream": True})
    assert answer.status_code == 200
    assert json.loads(answer.text.split("\n\n")[1].removeprefix("data: "))["error"]["message"] == "upstream broke off"


def test_validation_names_the_field_in_both_dialects(client: httpx.Client) -> None:
    error = envelope(client.get(f"/v1/models/{'x' * 201}"), 400)
    assert (error["param"], error["code"]) == ("model", "invalid_argument")
    answer = client.post("/api/v1/databases/shop:executeQuery", json={"sql": ""})
    assert '"field":"sql"' in json.dumps(native(answer, 400, grpc.StatusCode.INVALID_ARGUMENT), separators=(",", ":"))


@pytest.mark.parametrize("text", ["{", '{"sql": ', "[]", '{"sql": 1}', "\x00", '{"sql": "a"} trailing'])
def test_malformed_json_is_told_in_json(client: httpx.Client, text: str) -> None:
    answer = client.post("/api/v1/databases/shop:executeQuery", content=text)
    native(answer, 400, grpc.StatusCode.INVALID_ARGUMENT)


def test_an_unknown_query_parameter_is_named(client: httpx.Client) -> None:
    answer = client.get("/api/v1/conversations", params={"page_sise": 3})
    message = native(answer, 400, grpc.StatusCode.INVALID_ARGUMENT)["message"]
    assert "page_sise" in str(message)
    assert "page_sise" in str(envelope(client.get("/v1/models/x?page_sise=3"), 400)["message"])


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v1", "/api/v1/databases/shop/drop", "/api/v1/models/x"]
)
def test_unknown_paths_are_told_in_json(client: httpx.Client, path: str) -> None:
    body = native(client.post(path), 404, grpc.StatusCode.NOT_FOUND)
    assert "/openapi.json" in str(body["message"])


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/chat/completions/x"])
def test_unknown_paths_of_the_facade_are_told_in_the_envelope(client: httpx.Client, path: str) -> None:
    assert envelope(client.get(path), 404)["code"] == "not_found"


def rules() -> list[tuple[str, str]]:
    """Every method and path template of the contracts that the gateway serves."""
    found = []
    served = config.transcoded()
    for file in descriptor_pb2.FileDescriptorSet.FromString((HERE / "parley.binpb").read_bytes()).file:
        for service in file.service:
            for method in service.method if f"{file.package}.{service.name}" in served else ():
                rule = method.options.Extensions[annotations_pb2.http]
                if kind := rule.WhichOneof("pattern"):
                    found.append((kind.upper(), getattr(rule, kind)))
    return found


@pytest.mark.parametrize("template", sorted({template for _method, template in rules()}))
def test_a_wrong_method_is_told(client: httpx.Client, template: str) -> None:
    path = re.sub(r"\{[^=}]*=([^}]*)\}", r"\1", template).replace("**", "a/b").replace("*", "x")
    used = {method for method, known in rules() if known == template or (known.count("{") and known in template)}
    used |= {
        m
        for m, known in rules()
        if re.sub(r"\{[^=}]*=([^}]*)\}", r"\1", known) == re.sub(r"\{[^=}]*=([^}]*)\}", r"\1", template)
    }
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - used:
        answer = client.request(method, path)
        if path.startswith("/v1/"):
            assert envelope(answer, 405)["code"] == "unsupported", (method, path)
        elif path.startswith(("/sdapi/", "/controlnet/")):
            assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"}), (method, path)
        else:
            native(answer, 405, grpc.StatusCode.UNIMPLEMENTED)


def test_too_large_a_body_is_told(client: httpx.Client) -> None:
    big = b'{"audio": "' + b"A" * (96 << 20) + b'"}'
    assert envelope(client.post("/v1/audio/transcriptions", content=big), 413)["code"] == "too_large"
    body = native(client.post("/api/v1/speech:recognize", content=big), 413, grpc.StatusCode.INVALID_ARGUMENT)
    assert "72 MiB" in str(body["message"])


def test_too_large_headers_are_told(client: httpx.Client) -> None:
    answer = client.get("/api/v1/models", headers={"x-large": "x" * 40_000})
    native(answer, 431, grpc.StatusCode.INVALID_ARGUMENT)


def test_a_header_with_an_underscore_is_refused(client: httpx.Client) -> None:
    native(client.get("/api/v1/models", headers={"x_parley_user": "admin"}), 400, grpc.StatusCode.INVALID_ARGUMENT)


def test_a_service_that_is_down_is_told_and_used_again_when_it_is_back(tmp_path: Path, identity: Identity) -> None:
    port = free_port()
    with (
        envoy(tmp_path, port, identity) as gateway,
        httpx.Client(base_url=gateway.url, headers=gateway.bearer) as client,
    ):
        answer = client.get("/api/v1/models")
        body = native(answer, 503, grpc.StatusCode.UNAVAILABLE)
        assert answer.headers["retry-after"] == "1"
        assert "Try again" in str(body["message"])
        assert "RetryInfo" in json.dumps(body["details"])
        facade = client.post("/v1/chat/completions", json={})
        assert envelope(facade, 503)["code"] == "dependency_unavailable"
        assert facade.headers["retry-after"] == "1"
        assert client.get("/healthz").status_code == 200
        assert client.get("/healthz/chat").status_code == 503
        with gateway.channel() as channel:
            with pytest.raises(grpc.RpcError) as caught:
                chat_pb2_grpc.ChatServiceStub(channel).ListModels(chat_pb2.ListModelsRequest())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "Try again" in (caught.value.details() or "")
        with scripted(port, tmp_path / "services.log"):
            wait_for(lambda: client.get("/api/v1/models").status_code == 200, 20, "recovery")
            wait_for(lambda: answers(f"{gateway.url}/healthz/chat"), 10, "health")


def test_a_service_that_dies_within_a_call_is_told(tmp_path: Path, identity: Identity) -> None:
    port = free_port()
    with envoy(tmp_path, port, identity) as gateway, scripted(port, tmp_path / "services.log") as services:
        wait_for(lambda: answers(f"{gateway.url}/healthz/chat"), 20, "health")
        url = f"{gateway.url}/v1/chat/completions"
        body = {"model": "forever", "stream": True}
        with httpx.stream("POST", url, json=body, headers=gateway.bearer) as answer:
            parts = answer.iter_bytes()
            next(parts)
            services.kill()
            # The stream must not end as if it were complete.
            with pytest.raises(httpx.RemoteProtocolError):
                list(parts)


def test_no_answer_is_logged_with_its_body(gateway: Gateway, client: httpx.Client) -> None:
    client.post("/v1/chat/completions", json={"model": "x", "secret": "very-private"})
    client.get("/v1/models/x", headers={"authorization": "Bearer k3y"})
    client.get("/api/v1/conversations/missing")
    client.get("/nothing?filter=pr1vate")
    wait_for(lambda: "/api/v1/conversations/missing" in gateway.log.read_text(), 15, "the access log")
    text = gateway.log.read_text()
    assert "very-private" not in text
    assert "k3y" not in text
    assert gateway.key not in text
    assert "pr1vate" not in text
    record = next(json.loads(line) for line in text.splitlines() if "conversations/missing" in line)
    assert (record["status"], record["method"]) == (404, "GET")
    assert record["request_id"]
