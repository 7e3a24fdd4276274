"""Pictures through the gateway: bytes with their headers, and the web UI's API with errors as its clients read them."""

from __future__ import annotations

import grpc
import httpx
import pytest

from services.mesh.status import HTTP
from tests.gateway.conftest import Gateway, wait_for


def test_a_picture_comes_byte_for_byte_with_its_headers(client: httpx.Client) -> None:
    answer = client.get("/api/v1/images/1")
    assert answer.status_code == 200
    assert answer.content == b"\x89PNG\0\xff"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, max-age=60, immutable"
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_link_needs_no_credential_and_its_signature_is_in_no_log(stranger: httpx.Client, gateway: Gateway) -> None:
    query = {"organisation": "a&b", "expires": "1800000000", "signature": "signed"}
    for headers in ({}, {"authorization": "Bearer sk-of-somebody-else"}):
        answer = stranger.get("/api/v1/images/1:view", params=query, headers=headers)
        assert (answer.status_code, answer.text) == (200, "images/1 a&b 1800000000")
        assert answer.headers["content-disposition"] == 'inline; filename="1.png"'
    refused = stranger.get("/api/v1/images/1:view", params=query | {"signature": "forged-by-eve"})
    assert (refused.status_code, refused.json()["message"]) == (403, "This link is not valid.")
    # The path says which picture it is, whatever the query does.
    assert stranger.get("/api/v1/images/1:view", params=query | {"name": "images/2"}).status_code == 400
    # The same picture without a link, and what else there is, wants a credential as ever.
    for path in ("/api/v1/images/1", "/api/v1/images/1/metadata", "/api/v1/images:batchGet?names=images/1"):
        assert stranger.get(path, params={"signature": "signed"}).status_code == 401
    assert stranger.post("/api/v1/images/1:view", params=query).status_code == 401
    wait_for(lambda: "/api/v1/images:batchGet" in gateway.log.read_text(), 15, "the access log")
    assert "forged-by-eve" not in gateway.log.read_text()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/images/1"),
        ("GET", "/api/v1/images:generate"),
        ("GET", "/api/v1/imageJobs/1:interrupt"),
        ("POST", "/api/v1/imageLoras"),
        ("GET", "/v1/images/edits"),
    ],
)
def test_another_method_is_refused(client: httpx.Client, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 405


def test_a_service_learns_what_the_client_called_us_from_nobody_else(client: httpx.Client) -> None:
    answer = client.get(
        "/sdapi/v1/progress", headers={"host": "parley.example:8080", "x-forwarded-host": "evil.example"}
    )
    assert answer.json() == {"host": "parley.example:8080"}


def test_the_web_uis_facade_says_its_status_itself(client: httpx.Client) -> None:
    answer = client.get("/sdapi/v1/progress", params={"id_task": "teapot"})
    assert answer.status_code == 418
    assert "x-parley-http-status" not in answer.headers


@pytest.mark.parametrize("code", [code for code in HTTP if code.name not in ("OK", "CANCELLED")], ids=lambda c: c.name)
def test_errors_that_the_facade_did_not_see_have_the_web_uis_shape(client: httpx.Client, code: grpc.StatusCode) -> None:
    name = code.name
    answer = client.get("/sdapi/v1/progress", params={"id_task": f"error-{name}"})
    assert answer.status_code == HTTP[code]
    text = f'scripted "error-{name}" \\ ü'
    assert answer.json() == {"error": f"HTTP {answer.status_code}", "detail": text, "body": "", "errors": text}


def test_what_the_web_ui_has_and_parley_has_not_is_not_found(client: httpx.Client) -> None:
    for path in ("/sdapi/v1/server-kill", "/controlnet/version"):
        answer = client.post(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_a_body_over_the_limit_is_refused_in_the_web_uis_shape(client: httpx.Client) -> None:
    answer = client.post("/sdapi/v1/txt2img", content=b" " * (75 << 20))
    assert answer.status_code == 413
    assert set(answer.json()) == {"error", "detail", "body", "errors"}
