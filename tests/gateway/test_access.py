"""Who gets in: every request is asked about, whatever the protocol, and nobody says by a header who they are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import struct
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ext_authz.v3 import external_auth_pb2, external_auth_pb2_grpc
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.identity.v1 import identity_pb2, identity_pb2_grpc, keys_pb2, keys_pb2_grpc
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from tests.conftest import free_port
from tests.gateway.conftest import Gateway, Identity, answers, envoy, identity_service, scripted, wait_for

PASSWORD = "correct horse battery"
METADATA = "/api/v1/conversations/metadata"
FORGED = {
    "x-parley-identity-subject": "other/boss",
    "x-parley-identity-organisation": "other",
    "x-parley-identity-user": "boss",
    "x-parley-identity-roles": "operator",
    "x-parley-identity-scopes": "organisations:operator",
    "x-parley-identity-key": "forged",
    "x-parley-identity-grants": "{}",
    "x-parley-identity-address": "192.0.2.1",
    "x-parley-identity-more": "forged",
    "x-parley-method": "/parley.identity.v1.IdentityService/ListUsers",
    "x-parley-token-payload": "e30",
}


class Member:
    """A user of the administrator's organisation with a key."""

    def __init__(self, gateway: Gateway, *scopes: str) -> None:
        self.name = f"u{secrets.token_hex(4)}"
        self.subject = f"default/{self.name}"
        with gateway.channel() as channel:
            user = identity_pb2.User(roles=[identity_pb2.ROLE_MEMBER])
            identity_pb2_grpc.IdentityServiceStub(channel).CreateUser(
                identity_pb2.CreateUserRequest(user=user, user_id=self.name, password=PASSWORD)
            )
            wanted = keys_pb2.ApiKey(user=f"users/{self.name}", scopes=scopes)
            made = keys_pb2_grpc.ApiKeyServiceStub(channel).CreateApiKey(keys_pb2.CreateApiKeyRequest(api_key=wanted))
        self.key = made.secret

    @property
    def bearer(self) -> dict[str, str]:
        """The key as a header."""
        return {"authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="module")
def member(gateway: Gateway) -> Member:
    """Somebody whose key is for chat and nothing else."""
    return Member(gateway, "chat")


def seen(answer: httpx.Response) -> dict[str, str]:
    """What the service was told of the caller: identity headers without their prefix."""
    assert answer.status_code == 200, answer.text
    metadata = json.loads(answer.json()["conversation"]["title"])
    prefix = "x-parley-identity-"
    assert all(name.startswith(prefix) for name in metadata if name.startswith("x-parley-"))
    return {name.removeprefix(prefix): value for name, value in metadata.items() if name.startswith(prefix)}


def test_a_stranger_is_told_so_in_their_dialect(stranger: httpx.Client) -> None:
    native = stranger.get("/api/v1/models")
    assert (native.status_code, native.headers["www-authenticate"]) == (401, 'Bearer realm="parley"')
    assert native.headers["x-content-type-options"] == "nosniff"
    assert native.headers["server"] == "parley", "not which software, nor which version"
    assert native.headers["content-type"] == "application/json"
    assert native.json()["details"][0]["reason"] == "ERROR_REASON_UNAUTHENTICATED"
    facade = stranger.post("/v1/chat/completions", json={"model": "x"})
    assert facade.status_code == 401
    assert facade.json()["error"]["type"] == "authentication_error"
    assert "parley keys create" in facade.json()["error"]["message"]
    for path in ("/sdapi/v1/progress", "/controlnet/model_list"):
        web_ui = stranger.get(path)
        assert (web_ui.status_code, web_ui.headers["www-authenticate"]) == (401, 'Basic realm="parley"')
        assert "API key" in web_ui.json()["detail"]
    for path in ("/nothing", "/api/v1/nothing", "/v1/nothing"):
        assert stranger.get(path).status_code == 401, "a stranger does not learn what there is"


@pytest.mark.parametrize("way", ["bearer", "x-api-key", "basic"])
def test_a_key_is_taken_as_clients_send_it(stranger: httpx.Client, member: Member, way: str) -> None:
    basic = base64.b64encode(f"anybody:{member.key}".encode()).decode()
    headers = {
        "bearer": member.bearer,
        "x-api-key": {"x-api-key": member.key},
        "basic": {"authorization": f"Basic {basic}"},
    }[way]
    assert seen(stranger.get(METADATA, headers=headers))["subject"] == member.subject


def test_a_scope_that_is_lacking_is_named(stranger: httpx.Client, member: Member) -> None:
    native = stranger.get("/api/v1/databases/shop", headers=member.bearer)
    assert native.status_code == 403
    assert native.json()["details"][0]["metadata"] == {"permission": "sql:read"}
    facade = stranger.post("/v1/images/generations", headers=member.bearer, json={})
    assert (facade.status_code, facade.json()["error"]["type"]) == (403, "permission_error")
    assert "image" in facade.json()["error"]["message"]


def test_grpc_clients_get_a_status_with_details(gateway: Gateway, member: Member) -> None:
    request = sql_pb2.GetDatabaseRequest(name="databases/shop")
    with gateway.channel(member.key) as channel, pytest.raises(grpc.RpcError) as denied:
        sql_pb2_grpc.SqlServiceStub(channel).GetDatabase(request)
    assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
    said = rpc_status.from_call(denied.value)  # type: ignore[arg-type]  # a call that failed is its own error
    info = error_details_pb2.ErrorInfo()
    assert said is not None
    assert said.details[0].Unpack(info)
    assert info.metadata["permission"] == "sql:read"
    with gateway.channel("") as channel, pytest.raises(grpc.RpcError) as nobody:
        sql_pb2_grpc.SqlServiceStub(channel).GetDatabase(request)
    assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "credential" in (nobody.value.details() or "")


def web_frame(message: Message) -> bytes:
    """A message as gRPC-Web frames it."""
    data = message.SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


def test_grpc_web_clients_are_asked_about_too(stranger: httpx.Client, member: Member) -> None:
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    body = web_frame(sql_pb2.GetDatabaseRequest(name="databases/shop"))
    path = "/parley.sql.v1.SqlService/GetDatabase"
    nobody = stranger.post(path, content=body, headers=headers)
    denied = stranger.post(path, content=body, headers=headers | member.bearer)
    for answer, code in ((nobody, grpc.StatusCode.UNAUTHENTICATED), (denied, grpc.StatusCode.PERMISSION_DENIED)):
        assert f"grpc-status:{code.value[0]}".encode() in answer.content or answer.headers["grpc-status"] == str(
            code.value[0]
        )
        assert b"databases/shop" not in answer.content


def test_what_is_public_needs_no_credential_and_bears_a_wrong_one(stranger: httpx.Client, gateway: Gateway) -> None:
    stale = {"authorization": "Bearer eyJhbGciOiJFZERTQSJ9.e30.c2ln"}
    for headers in ({}, stale):
        for path in ("/", "/openapi.json", "/healthz", "/healthz/chat", "/api/v1/loginProviders"):
            assert stranger.get(path, headers=headers).status_code == 200, path
        keys = stranger.get("/.well-known/jwks.json", headers=headers)
        assert {key["alg"] for key in keys.json()["keys"]} == {"EdDSA"}
        refused = stranger.post("/api/v1/tokens:refresh", json={"refreshToken": "none"}, headers=headers)
        assert "refresh token" in refused.json()["message"], "identity's own answer"


@pytest.mark.parametrize("http2", [False, True])
def test_nobody_says_by_a_header_who_they_are(gateway: Gateway, member: Member, http2: bool) -> None:
    doubled = [(name.title(), value) for name, value in FORGED.items() for _ in range(2)]
    with httpx.Client(base_url=gateway.url, http1=not http2, http2=http2) as http:
        for forged in (list(FORGED.items()), doubled):
            told = seen(http.get(METADATA, headers=[*forged, *member.bearer.items()]))
            assert told["subject"] == member.subject
            assert set(told) == {"subject", "key", "grants", "address"}
            assert told["address"] == "127.0.0.1"
            assert http.get(METADATA, headers=forged).status_code == 401
        for name in ("x_parley_identity_user", "X-Parley_Identity-User"):
            try:
                assert http.get(METADATA, headers={name: "boss"} | member.bearer).status_code == 400, name
            except httpx.RemoteProtocolError as error:
                # Over HTTP/2 the stream is reset.
                assert http2, name
                assert "StreamReset" in str(error)


def test_nobody_says_by_metadata_who_they_are(gateway: Gateway, member: Member) -> None:
    request = chat_pb2.GetConversationRequest(name="conversations/metadata")
    metadata = (*FORGED.items(), *FORGED.items())
    with gateway.channel(member.key) as channel:
        answer = chat_pb2_grpc.ChatServiceStub(channel).GetConversation(request, metadata=metadata)
    told = json.loads(answer.conversation.title)
    assert told["x-parley-identity-subject"] == member.subject
    assert not {"forged", "boss", "other"} & set(told.values())
    assert not {"x-parley-identity-more", "x-parley-method", "x-parley-token-payload", "authorization"} & set(told)


def test_nobody_says_by_grpc_web_who_they_are(stranger: httpx.Client, member: Member) -> None:
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = stranger.post(
        "/parley.chat.v1.ChatService/GetConversation",
        content=web_frame(chat_pb2.GetConversationRequest(name="conversations/metadata")),
        headers=headers | FORGED | member.bearer,
    )
    assert f'"x-parley-identity-subject": "{member.subject}"'.encode() in answer.content
    assert b"boss" not in answer.content


def raw(gateway: Gateway, verb: str, path: str, *fields: str) -> bytes:
    """What comes back for a request of HTTP/1.1, written by hand: clients tidy paths up."""

    async def ask() -> bytes:
        host, _, port = gateway.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [f"{verb} {path} HTTP/1.1", "host: x", *fields, "connection: close", "content-length: 0", "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1//users",
        "/api/v1/./users",
        "/api/v1/x/../users",
        "/api/v1/%75sers",
        "/api/v1/users/",
        "/api/v1/users.",
        "/api/v1/users/.",
        "/api/v1/users%2F",
        "/api/v1/users%5C",
        "/api/v1/users%3Fx",
        "/api/v1/users%00",
        "/api/v1/users;x",
        "/api/v1/users#x",
        "/api/v1/conversations/%2e%2e/users",
        "/api/v1/conversations/..%2fusers",
        "/api/v1/conversations/..;/users",
        "/api/v1/conversations%2F..%2Fusers",
        "/api/v1/conversations/..%5cusers",
        "/api/v1/conversations/%252e%252e/users",
        "/.well-known/jwks.json/../../api/v1/users",
        "/api/v1/tokens:login/../users",
        "//parley.identity.v1.IdentityService/ListUsers",
        "/parley.identity.v1.IdentityService/ListUsers/",
        "/parley.chat.v1.ChatService/..%2f..%2fparley.identity.v1.IdentityService/ListUsers",
        "/openapi.json/../api/v1/users",
        "/healthz/../api/v1/users",
    ],
)
def test_no_spelling_of_a_path_leads_around_its_scope(gateway: Gateway, member: Member, path: str) -> None:
    for verb in ("GET", "POST"):
        answer = raw(gateway, verb, path, f"x-api-key: {member.key}")
        status = int(answer.split()[1])
        assert status in {307, 400, 403, 404, 405, 415}, answer[:300]
        assert b'"users":' not in answer
        nobody = raw(gateway, verb, path)
        assert int(nobody.split()[1]) in {307, 400, 401}, nobody[:300]


def test_an_encoded_slash_is_sent_round_by_its_plain_path(client: httpx.Client) -> None:
    answer = client.get("/v1/models/meta%2Fllama-3")
    assert (answer.status_code, answer.headers["location"]) == (307, "/v1/models/meta/llama-3")
    assert client.get("/v1/models/meta%2Fllama-3", follow_redirects=True).json() == {"id": "meta/llama-3"}


def test_what_a_path_takes_is_told(client: httpx.Client) -> None:
    answer = client.put("/api/v1/conversations/42")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PATCH")


@pytest.fixture
def deserted(tmp_path: Path, identity: Identity) -> Iterator[tuple[Gateway, int]]:
    """A gateway whose services are up, but for identity; and identity's port."""
    service, port = free_port(), free_port()
    with (
        scripted(service, tmp_path / "services.log"),
        envoy(tmp_path, service, identity._replace(port=port)) as own,
    ):
        wait_for(lambda: answers(f"{own.url}/healthz/chat"), 20, "chat")
        yield own, port


def test_without_identity_nobody_gets_in(deserted: tuple[Gateway, int], tmp_path: Path) -> None:
    gateway, port = deserted
    with httpx.Client(base_url=gateway.url, headers=gateway.bearer) as http:
        native = http.get("/api/v1/models")
        assert (native.status_code, native.headers["retry-after"]) == (503, "1")
        assert native.json()["details"][0]["reason"] == "ERROR_REASON_DEPENDENCY_UNAVAILABLE"
        facade = http.post("/v1/chat/completions", json={"model": "x"})
        assert (facade.status_code, facade.json()["error"]["code"]) == (503, "dependency_unavailable")
        for path in ("/", "/openapi.json", "/healthz", "/healthz/chat"):
            assert http.get(path).status_code == 200, path
        assert http.get("/healthz/identity").status_code == 503
        with gateway.channel() as channel, pytest.raises(grpc.RpcError) as caught:
            chat_pb2_grpc.ChatServiceStub(channel).ListModels(chat_pb2.ListModelsRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with identity_service(tmp_path, port) as back:
            bearer = {"authorization": f"Bearer {back.key}"}
            wait_for(lambda: http.get("/api/v1/models", headers=bearer).status_code == 200, 20, "recovery")


def login(http: httpx.Client, user: str) -> dict[str, Any]:
    """The tokens of a session."""
    answer = http.post("/api/v1/tokens:login", json={"userId": user, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()["tokens"]
    return tokens


def forged(token: str, **claims: object) -> str:
    """A token with other claims under its signature."""
    head, body, signature = token.split(".")
    changed = json.loads(base64.urlsafe_b64decode(body + "==")) | claims
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip('=')}.{signature}"


def test_tokens_are_checked_before_identity_is_asked(gateway: Gateway, stranger: httpx.Client, member: Member) -> None:
    token = login(stranger, member.name)["accessToken"]
    assert seen(stranger.get(METADATA, headers={"authorization": f"Bearer {token}"}))["subject"] == member.subject
    head, body, _ = token.split(".")
    for wrong in (forged(token, sub="default/admin"), f"{head}.{body}.", f"{head}.{body}.AAAA", "a.b.c"):
        native = stranger.get("/api/v1/models", headers={"authorization": f"Bearer {wrong}"})
        assert native.status_code == 401
        assert native.json()["details"][0]["reason"] == "ERROR_REASON_UNAUTHENTICATED"
        assert native.json()["message"].startswith("The token is not valid: Jwt")
        facade = stranger.get("/v1/models/x", headers={"authorization": f"Bearer {wrong}"})
        assert facade.json()["error"]["type"] == "authentication_error"
        with gateway.channel(wrong) as channel, pytest.raises(grpc.RpcError) as caught:
            chat_pb2_grpc.ChatServiceStub(channel).ListModels(chat_pb2.ListModelsRequest())
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    # Not in the form that Envoy looks for: identity sees to it.
    for spelled in (f"bearer {forged(token, sub='default/admin')}", f"BEARER {head}.{body}."):
        assert stranger.get("/api/v1/models", headers={"authorization": spelled}).status_code == 401


def test_a_token_ends_with_its_session(stranger: httpx.Client, member: Member) -> None:
    tokens = login(stranger, member.name)
    bearer = {"authorization": f"Bearer {tokens['accessToken']}"}
    assert stranger.get("/api/v1/models", headers=bearer).status_code == 200
    ended = stranger.post("/api/v1/tokens:logout", json={"refreshToken": tokens["refreshToken"]}, headers=bearer)
    assert ended.status_code == 200
    # What the gateway was told before holds for a moment.
    wait_for(lambda: stranger.get("/api/v1/models", headers=bearer).status_code == 401, 30, "the end of the session")
    answer = stranger.get("/api/v1/models", headers=bearer)
    assert (answer.status_code, answer.json()["message"]) == (
        401,
        "The session of this token has ended. Log in again.",
    )


def test_keys_may_rotate_without_anybody_noticing(client: httpx.Client, stranger: httpx.Client, member: Member) -> None:
    before = login(stranger, member.name)["accessToken"]
    for _ in range(2):
        assert client.post("/api/v1/signingKeys:rotate", json={}).status_code == 200
        after = login(stranger, member.name)["accessToken"]
        head = json.loads(base64.urlsafe_b64decode(after.split(".")[0] + "=="))
        assert head["kid"] != json.loads(base64.urlsafe_b64decode(before.split(".")[0] + "=="))["kid"]

        def accepted(token: str) -> bool:
            headers = {"authorization": f"Bearer {token}"}
            return stranger.get("/api/v1/models", headers=headers).status_code == 200

        # A key is published before it signs; one that came and signed within the cache's time takes as long.
        wait_for(lambda: accepted(after), 15, "the new key")  # noqa: B023 — called at once
        assert accepted(before), "what was signed before goes on"


def test_a_token_is_not_called_invalid_because_identity_is_away(tmp_path: Path) -> None:
    service = free_port()
    with (
        scripted(service, tmp_path / "services.log"),
        identity_service(tmp_path) as identity,
        envoy(tmp_path / "envoy", service, identity) as own,
        httpx.Client(base_url=own.url, timeout=10) as http,
    ):
        wait_for(lambda: answers(f"{own.url}/healthz/chat"), 20, "chat")
        bearer = {"authorization": f"Bearer {login(http, Member(own).name)['accessToken']}"}
        wait_for(lambda: http.get("/api/v1/models", headers=bearer).status_code == 200, 15, "the keys")
        identity.process.kill()
        identity.process.wait()
        # What identity said before holds for a moment.
        wait_for(lambda: http.get("/api/v1/models", headers=bearer).status_code == 503, 30, "nobody to ask")
        # Longer than Envoy keeps the key set.
        for _ in range(12):
            assert http.get("/api/v1/models", headers=bearer).status_code == 503
            time.sleep(1)


class OneMethod(external_auth_pb2_grpc.AuthorizationServicer):
    """Takes every request for one and the same method, as whoever misreads paths would."""

    def Check(self, request: external_auth_pb2.CheckRequest, context: object) -> external_auth_pb2.CheckResponse:
        """Lets it pass."""
        answer = external_auth_pb2.CheckResponse()
        named = external_auth_pb2.HeaderValue(key="x-parley-method", value="/parley.chat.v1.ChatService/ListModels")
        answer.ok_response.headers.add(header=named)
        return answer


def test_what_was_let_in_has_to_be_what_is_called(tmp_path: Path, identity: Identity) -> None:
    service = free_port()
    with futures.ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as stack:
        misreading = grpc.server(pool)
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(OneMethod(), misreading)
        port = misreading.add_insecure_port("127.0.0.1:0")
        misreading.start()
        stack.callback(lambda: misreading.stop(0).wait())
        stack.enter_context(scripted(service, tmp_path / "services.log"))
        own = stack.enter_context(envoy(tmp_path / "envoy", service, identity._replace(port=port)))
        wait_for(lambda: answers(f"{own.url}/healthz/chat"), 20, "chat")
        with httpx.Client(base_url=own.url) as http:
            assert http.get("/api/v1/models").status_code == 200
            for verb, path in (
                ("GET", "/api/v1/databases/shop"),
                ("GET", "/api/v1/conversations/42"),
                ("POST", "/v1/chat/completions"),
                ("GET", "/nothing"),
            ):
                assert http.request(verb, path, json={"model": "x"}).status_code == 403, path
            assert http.get("/").status_code == 200
        with own.channel() as channel, pytest.raises(grpc.RpcError) as caught:
            sql_pb2_grpc.SqlServiceStub(channel).GetDatabase(sql_pb2.GetDatabaseRequest(name="databases/shop"))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
