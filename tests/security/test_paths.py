"""Paths spelt so that one part of the gateway might take them for something else than another does."""

from __future__ import annotations

import httpx
import pytest

from tests.security import wire
from tests.security.conftest import Mesh
from tests.security.streams import Connection

DATABASE = "target"
PATH = f"/api/v1/databases/{DATABASE}"
NATIVE = "/parley.sql.v1.SqlService/DeleteDatabase"
TRICKS = [
    f"//api/v1/databases/{DATABASE}",
    f"/api//v1///databases/{DATABASE}",
    f"/api/v1/databases//{DATABASE}",
    f"/api/v1/databases/{DATABASE}/",
    f"/api/v1/databases/{DATABASE}//",
    f"/api/v1/databases/{DATABASE}/.",
    f"/api/v1/databases/{DATABASE}.",
    f"/api/v1/databases/{DATABASE}%20",
    f"/api/v1/databases/{DATABASE}%00",
    f"/api/v1/databases/{DATABASE};a=b",
    f"/api/v1/databases;a=b/{DATABASE}",
    f"/api/v1/databases/{DATABASE}?name=databases/other",
    f"/api/v1/databases/x?name=databases/{DATABASE}",
    f"/api/v1/databases/{DATABASE}#/openapi.json",
    f"/api/v1/databases/{DATABASE}%23",
    f"/api/v1/databases/{DATABASE}%3F",
    f"/api/v1/databases%2F{DATABASE}",
    f"/api/v1/databases%2f{DATABASE}",
    f"/api/v1/databases%5C{DATABASE}",
    f"/api/v1/databases\\{DATABASE}",
    "/api/v1/databases/%74arget",
    f"/api/v1/%64atabases/{DATABASE}",
    f"/%61pi/v1/databases/{DATABASE}",
    "/api/v1/databases/%2574arget",
    f"/api/v1/conversations/../databases/{DATABASE}",
    f"/api/v1/conversations/%2e%2e/databases/{DATABASE}",
    f"/api/v1/conversations/%2E%2E%2Fdatabases/{DATABASE}",
    f"/api/v1/conversations/..%2fdatabases/{DATABASE}",
    f"/api/v1/conversations/..;/databases/{DATABASE}",
    f"/api/v1/./databases/./{DATABASE}",
    f"/openapi.json/../api/v1/databases/{DATABASE}",
    f"/openapi.json/..%2fapi/v1/databases/{DATABASE}",
    f"/openapi.json%2f../api/v1/databases/{DATABASE}",
    f"/.well-known/jwks.json/../../api/v1/databases/{DATABASE}",
    f"/API/V1/DATABASES/{DATABASE}",
    f"/api/v1/Databases/{DATABASE}",
    f"http://parley/api/v1/databases/{DATABASE}",
    f"http://parley/openapi.json/../api/v1/databases/{DATABASE}",
    f"http://x@parley/api/v1/databases/{DATABASE}",
    NATIVE,
    f"/{NATIVE}",
    f"{NATIVE}/",
    f"{NATIVE}.",
    "/parley.sql.v1.SqlService%2FDeleteDatabase",
    "/parley.sql.v1.SqlService/%44eleteDatabase",
    "/parley.sql.v1.SqlService//DeleteDatabase",
    "/parley.sql.v1.SqlService/ListDatabases/../DeleteDatabase",
    "/parley.identity.v1.TokenService/../parley.sql.v1.SqlService/DeleteDatabase",
    "/parley.identity.v1.TokenService/GetJwks/..%2f..%2fparley.sql.v1.SqlService/DeleteDatabase",
    "/grpc.health.v1.Health/../parley.sql.v1.SqlService/DeleteDatabase",
    "/PARLEY.SQL.V1.SQLSERVICE/DELETEDATABASE",
]
WHO = {"nobody": {400, 401, 404}, "viewer": {400, 403, 404, 405}, "rival": {200, 400, 403, 404, 405, 415}}
"""What each may be answered. The rival may delete databases: of their own organisation, where there is none."""
FRAME = b"\x00" + (len(DATABASE) + 12).to_bytes(4, "big") + b"\x0a" + bytes([len(DATABASE) + 10]) + b"databases/target"


@pytest.fixture(scope="module", autouse=True)
def target(mesh: Mesh) -> None:
    """What is to be protected."""
    url = {"url": f"sqlite:///{mesh.stack.shop.name}"}
    mesh.made("SqlService.CreateDatabase", "admin", databaseId=DATABASE, database=url)


def intact(mesh: Mesh) -> bool:
    """Whether it is still there."""
    headers = {"authorization": f"Bearer {mesh.keys['admin']}"}
    return httpx.get(mesh.stack.url + PATH, headers=headers).status_code == 200


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("path", TRICKS)
def test_http1(mesh: Mesh, path: str, who: str) -> None:
    credential = [] if who == "nobody" else [f"Authorization: Bearer {mesh.keys[who]}"]
    requests = [
        wire.request(f"DELETE {path} HTTP/1.1", *credential),
        wire.request(
            f"POST {path} HTTP/1.1",
            *credential,
            "Content-Type: application/grpc",
            "TE: trailers",
            f"Content-Length: {len(FRAME)}",
            body=FRAME,
        ),
        wire.request(
            f"POST {path} HTTP/1.1",
            *credential,
            "Content-Type: application/json",
            "Content-Length: 29",
            body=b'{"name": "databases/target"}\n',
        ),
    ]
    for sent in requests:
        answer = wire.ask(mesh.stack.address, sent)
        for status in wire.statuses(answer):
            # A gRPC refusal is an answer with status 200 and a grpc-status.
            refused = b"\r\ngrpc-status: 0" not in answer.lower() and b"\r\ngrpc-status: " in answer.lower()
            assert status in WHO[who] or (status == 200 and refused) or status in {301, 307}, answer[:300]
    assert intact(mesh)


@pytest.mark.parametrize("who", WHO)
def test_http2(mesh: Mesh, who: str) -> None:
    headers = [] if who == "nobody" else [("authorization", f"Bearer {mesh.keys[who]}")]
    for path in TRICKS:
        with Connection(mesh.stack.address) as connection:
            stream = connection.send(
                "POST", path, [*headers, ("content-type", "application/grpc"), ("te", "trailers")], end=False
            )
            connection.h2.send_data(stream, FRAME, end_stream=True)
            connection.flush()
            answered = connection.wait(stream)
            if answered.status == "200":
                assert answered.headers.get("grpc-status", "unsaid") != "0", path
    assert intact(mesh)


def test_the_owner_may_by_the_path_that_is_meant(mesh: Mesh) -> None:
    """The last one here: what was refused above was refused for its spelling or its sender."""
    headers = {"authorization": f"Bearer {mesh.keys['admin']}"}
    assert httpx.delete(mesh.stack.url + PATH, headers=headers).status_code == 200
    assert not intact(mesh)
