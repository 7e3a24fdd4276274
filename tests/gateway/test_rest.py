"""REST through the real Envoy: native RPCs typed, façades byte for byte, streams as they come."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from tests.gateway.conftest import wait_for


def test_a_body_field_and_a_query_parameter_reach_the_call(client: httpx.Client) -> None:
    made = client.post("/api/v1/conversations", json={"title": "Hỏi đáp"})
    assert made.status_code == 200
    assert made.json()["conversation"]["title"] == "Hỏi đáp"
    listed = client.get("/api/v1/conversations", params={"page_size": 7, "pageToken": "next"})
    assert listed.json() == {"conversations": [], "nextPageToken": "7/next"}


def test_a_resource_name_is_taken_from_the_path(client: httpx.Client) -> None:
    assert client.get("/api/v1/databases/shop").json()["database"]["name"] == "databases/shop"
    assert client.delete("/api/v1/conversations/42").json() == {}


def test_patch_takes_the_fields_from_the_body_and_the_mask_from_the_query(client: httpx.Client) -> None:
    paths = {"update_mask.paths": ["title", "database"]}
    changed = client.patch("/api/v1/conversations/42", params=paths, json={"title": "new"})
    conversation = changed.json()["conversation"]
    assert conversation["name"] == "conversations/42"
    assert conversation["title"] == "new"
    assert conversation["model"] == "title,database"


def test_bytes_travel_in_base64(client: httpx.Client) -> None:
    answer = client.post("/api/v1/speech:recognize", json={"audio": "AAAAAAAA"})
    assert answer.json()["transcript"]["text"] == "6"


def test_typed_streams_are_lines_of_json(client: httpx.Client) -> None:
    answer = client.post("/api/v1/databases/shop:executeQuery", json={"sql": "SELECT 1"})
    assert answer.headers["content-type"] == "application/json"
    parts = [json.loads(line) for line in answer.text.splitlines()]
    assert [next(iter(part)) for part in parts] == ["columns", "rows", "summary"]
    assert parts[1]["rows"]["rows"] == [[1.0], [2.0]]


def test_the_knowledge_base_is_reached(client: httpx.Client) -> None:
    body = {"question": "how many?", "verdict": "VERDICT_WRONG", "sql": "SELECT 2", "correctedSql": "SELECT 1"}
    answer = client.post("/api/v1/databases/shop:submitFeedback", json=body)
    assert answer.json()["example"]["name"] == "databases/shop/examples/1"
    assert answer.json()["example"]["sql"] == "SELECT 1"


def test_an_export_is_the_bytes_of_its_pieces(client: httpx.Client) -> None:
    answer = client.get("/api/v1/databases/shop/examples:export")
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.text == '{"n": 1}\n{"n": 2}\n'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "x", "stream": True}),
        ("/api/v1/conversations/42/messages:send", {"text": "hello"}),
    ],
)
def test_streams_arrive_as_they_are_written(client: httpx.Client, path: str, body: dict[str, object]) -> None:
    times = []
    with client.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200
        times = [time.monotonic() for line in answer.iter_lines() if line]
    # Three parts, a fifth of a second apart: buffered, they would arrive together.
    assert times[1] - times[0] > 0.1
    assert times[2] - times[1] > 0.1


def test_the_facade_keeps_its_bytes(client: httpx.Client) -> None:
    body = {"model": "x", "user": None, "seed": 9007199254740993}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.text == json.dumps({"echo": body})
    streamed = client.post("/v1/chat/completions", json={"model": "x", "stream": True})
    assert streamed.headers["content-type"] == "text/event-stream"
    assert streamed.text == 'data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: {"n": 3}\n\ndata: [DONE]\n\n'


def test_a_model_id_may_contain_slashes(client: httpx.Client) -> None:
    assert client.get("/v1/models/meta/llama-3").json() == {"id": "meta/llama-3"}


@pytest.mark.parametrize(
    ("path", "body", "handler"),
    [
        ("/v1/chat/completions", {"model": "forever", "stream": True}, "CreateChatCompletion"),
        ("/api/v1/conversations/42/messages:send", {"text": "forever"}, "SendMessage"),
    ],
)
def test_hanging_up_cancels_the_handler(client: httpx.Client, path: str, body: dict[str, object], handler: str) -> None:
    def count() -> int:
        return [model["id"] for model in client.get("/api/v1/models").json()["models"]].count(handler)

    before = count()
    with client.stream("POST", path, json=body) as answer:
        next(answer.iter_bytes())
    wait_for(lambda: count() == before + 1, 3, f"{handler} being cancelled")


def test_a_large_upload_passes_whole(client: httpx.Client) -> None:
    answer = client.post("/v1/audio/transcriptions", files={"file": b"x" * 20_000_000}, data={"model": "whisper"})
    assert answer.status_code == 200
    assert answer.json()["bytes"] > 20_000_000
    assert answer.json()["content_type"].startswith("multipart/form-data; boundary=")


def test_headers_of_ours_do_not_come_in_from_outside(client: httpx.Client) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = {
        "x-parley-user": "admin",
        "x-parley-identity-user": "somebody-else",
        "x-parley-identity-key": "forged",
        "X-Parley-Identity-Anything": "forged",
        "X-Parley-Http-Status": "204",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-request-id": "chosen-by-the-client",
        "x-forwarded-for": "198.51.100.7",
        "traceparent": trace,
    }
    answer = client.get("/api/v1/conversations/metadata", headers=sent)
    seen = json.loads(answer.json()["conversation"]["title"])
    ours = {name.removeprefix("x-parley-identity-"): seen[name] for name in seen if name.startswith("x-parley-")}
    assert "models" in json.loads(ours.pop("grants"))
    assert len(ours.pop("key")) == 12
    assert ours == {
        "subject": "default/admin",
        "address": "127.0.0.1",
    }
    assert {name for name in seen if name.startswith("x-envoy-")} <= {
        "x-envoy-original-path",
        "x-envoy-original-method",
    }
    assert seen["traceparent"] == trace
    assert seen["x-request-id"] == answer.headers["x-request-id"] != "chosen-by-the-client"
    assert not {"authorization", "x-api-key"} & set(seen), "the credential stays with the gateway and identity"
    assert not [name for name in answer.headers if name.startswith(("x-envoy-", "x-parley-"))]
