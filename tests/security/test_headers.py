"""Headers that claim to be somebody: whoever sends them stays who their credential says, or nobody."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import grpc
import httpx
import pytest

from tests.security import wire
from tests.security.belongings import OWNER
from tests.security.conftest import Mesh, bearer, user
from tests.security.methods import METHODS
from tests.security.streams import get

SUBJECT = f"default/{user(OWNER)}"
FORGED = {
    "x-parley-identity-subject": SUBJECT,
    "x-parley-identity-organisation": "default",
    "x-parley-identity-user": user(OWNER),
    "x-parley-identity-roles": "admin,operator",
    "x-parley-identity-scopes": "chat,sql:read,sql:admin,asr,image,users:admin,organisations:operator",
    "x-parley-identity-grants": '{"databases":true,"models":true}',
    "x-parley-identity-key": "000000000000",
    "x-parley-identity-address": "198.51.100.1",
}
"""Everything that the gateway itself tells a service about its caller."""
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as they are": lambda name: name,
    "in capitals": lambda name: name.upper(),
    "with underscores": lambda name: name.replace("-", "_"),
    "with one underscore": lambda name: name.replace("identity-", "identity_"),
}


@pytest.fixture(scope="module")
def private(mesh: Mesh) -> str:
    """A conversation of the owner's: its path."""
    title = {"title": "nobody else's"}
    name: str = mesh.made("ChatService.CreateConversation", OWNER, conversation=title)["conversation"]["name"]
    return f"/api/v1/{name}"


def test_the_owner_sees_it(mesh: Mesh, private: str) -> None:
    headers = {"authorization": f"Bearer {mesh.keys[OWNER]}"}
    assert httpx.get(mesh.stack.url + private, headers=headers).json()["conversation"]["title"] == "nobody else's"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_http1_with_a_credential(mesh: Mesh, private: str, spelling: str) -> None:
    for who in ("member", "rival"):
        lines = [f"{SPELLINGS[spelling](name)}: {value}" for name, value in FORGED.items()]
        credential = f"Authorization: Bearer {mesh.keys[who]}"
        # Once after the credential, once before it, once twice: whichever a careless proxy would believe.
        for order in ([credential, *lines], [*lines, credential], [*lines, credential, *lines]):
            sent = wire.request(f"GET {private} HTTP/1.1", *order)
            answer = wire.ask(mesh.stack.address, sent)
            assert wire.statuses(answer) in ([404], [400]), answer[:200]
            assert b"nobody else" not in answer


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_http1_without_a_credential(mesh: Mesh, private: str, spelling: str) -> None:
    lines = [f"{SPELLINGS[spelling](name)}: {value}" for name, value in FORGED.items()]
    sent = wire.request(f"GET {private} HTTP/1.1", *lines)
    answer = wire.ask(mesh.stack.address, sent)
    assert wire.statuses(answer) in ([401], [400])


def test_http2(mesh: Mesh, private: str) -> None:
    for extra, status in (((), "401"), (bearer(mesh.keys["member"]), "404")):
        assert get(mesh.stack.address, private, [*FORGED.items(), *extra]).status == status
        # HTTP/2 knows no capitals: Envoy ends the stream, or takes them for what they are.
        capitals = [(name.upper(), value) for name, value in FORGED.items()]
        assert get(mesh.stack.address, private, [*capitals, *extra]).status in {status, "400", ""}


def test_grpc(mesh: Mesh, private: str) -> None:
    request = {"name": private.removeprefix("/api/v1/")}
    forged = tuple(FORGED.items())
    call = METHODS["ChatService.GetConversation"].call
    assert call(mesh.channel, forged, request).code == grpc.StatusCode.UNAUTHENTICATED
    assert call(mesh.channel, (*forged, *bearer(mesh.keys["member"])), request).code == grpc.StatusCode.NOT_FOUND
    assert call(mesh.channel, (*bearer(mesh.keys["rival"]), *forged), request).code == grpc.StatusCode.NOT_FOUND
    # A viewer gains no scope by saying so.
    denied = call(mesh.channel, (*forged, *bearer(mesh.keys["viewer"])), request).code
    assert denied == grpc.StatusCode.PERMISSION_DENIED


def test_grpc_web(mesh: Mesh, private: str) -> None:
    name = private.removeprefix("/api/v1/").encode()
    message = b"\x0a" + bytes([len(name)]) + name
    body = b"\x00" + struct.pack(">I", len(message)) + message
    url = f"{mesh.stack.url}/parley.chat.v1.ChatService/GetConversation"
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **FORGED}
    nobody = httpx.post(url, content=body, headers=headers)
    assert b"nobody else" not in nobody.content
    assert nobody.headers.get("grpc-status") == "16" or b"grpc-status:16" in nobody.content.replace(b" ", b"")
    member = httpx.post(url, content=body, headers={**headers, "authorization": f"Bearer {mesh.keys['member']}"})
    assert b"nobody else" not in member.content
    assert member.headers.get("grpc-status") == "5" or b"grpc-status:5" in member.content.replace(b" ", b"")


@pytest.mark.parametrize(
    "name", ["x-envoy-original-path", "x-envoy-original-method", "x-rewrite-url", "x-original-url"]
)
def test_a_header_cannot_name_another_path(mesh: Mesh, private: str, name: str) -> None:
    """Where the check looked at such a header, a path that everybody may call would open the others."""
    for value in ("/", "/openapi.json", "/api/v1/loginProviders", "/v1/models"):
        assert httpx.get(mesh.stack.url + private, headers={name: value}).status_code == 401
    viewer = {"authorization": f"Bearer {mesh.keys['viewer']}", name: "/v1/models"}
    assert httpx.get(mesh.stack.url + private, headers=viewer).status_code == 403


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_a_header_cannot_name_another_method(mesh: Mesh, private: str, name: str) -> None:
    owner = {"authorization": f"Bearer {mesh.keys[OWNER]}"}
    httpx.get(mesh.stack.url + private, headers={**owner, name: "DELETE"})
    assert httpx.get(mesh.stack.url + private, headers=owner).status_code == 200


def test_an_address_is_the_peers_whatever_is_claimed(mesh: Mesh) -> None:
    claimed = {
        "x-forwarded-for": "198.51.100.1",
        "x-real-ip": "198.51.100.1",
        "forwarded": "for=198.51.100.1",
        **FORGED,
    }
    denied = httpx.get(
        f"{mesh.stack.url}/api/v1/users", headers={**claimed, "authorization": f"Bearer {mesh.keys['viewer']}"}
    )
    assert denied.status_code == 403
    entries = mesh.made(
        "AuditService.ListAuditEntries", "operator", filter={"actor": f"users/{user('viewer')}"}, pageSize=1000
    )
    addresses = {entry.get("address") for entry in entries["auditEntries"]}
    assert "198.51.100.1" not in json.dumps(entries)
    assert addresses == {"127.0.0.1"}


def test_the_gateway_says_nothing_about_its_inside(mesh: Mesh) -> None:
    headers = {"authorization": f"Bearer {mesh.keys['member']}"}
    for path in ("/v1/models", "/api/v1/users/me", "/", "/nowhere", "/sdapi/v1/samplers"):
        answer = httpx.get(mesh.stack.url + path, headers=headers)
        inside = [name for name in answer.headers if name.startswith(("x-envoy", "x-parley", "grpc-status-details"))]
        assert inside == []
        assert answer.headers["server"] == "parley"


ODD = {
    "a name that gRPC cannot carry": "`2*|w: x",
    "another": "it's: x",
    "a binary header that is none": "made-up-bin: !!!",
    "one of gRPC's own": "grpc-trace-bin: !!!",
    "a text that is none": "x-text: \xff\xfe",
    "a time that is none": "grpc-timeout: soon",
    "a time without end": "grpc-timeout: 99999999999H",
    "an encoding that is none": "grpc-encoding: made-up",
    "what only a server says": "grpc-status: 16",
    "more": "grpc-message: x",
    "a retry that is none": "grpc-previous-rpc-attempts: x",
    "a push back that is none": "grpc-retry-pushback-ms: x",
    "a trace that is none": "traceparent: 00-zz-zz-zz",
    "as large as gRPC takes": f"x-large: {'a' * 9000}",
    "larger than gRPC takes": f"x-large: {'a' * 30000}",
    "no end of transfer": "te: gzip",
}
"""Headers that HTTP allows, or that look like gRPC's, and that gRPC servers answer with INTERNAL."""


@pytest.mark.parametrize("path", ["/api/v1/databases", "/v1/models", "/sdapi/v1/samplers"])
@pytest.mark.parametrize("what", ODD)
def test_no_header_breaks_a_call(mesh: Mesh, what: str, path: str) -> None:
    key = f"Authorization: Bearer {mesh.keys['member']}"
    sent = wire.request(f"GET {path} HTTP/1.1", key, ODD[what])
    answer = wire.ask(mesh.stack.address, sent)
    assert wire.statuses(answer) in ([200], [400])
    assert b"metadata" not in answer
