"""Credentials that are none: at the real gateway, by every way in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx
import pytest
from joserfc.jwk import RSAKey

from tests.identity.forgery import CLAIMED, FORGED, Forger, Signer
from tests.security.conftest import Mesh, bearer
from tests.security.methods import METHODS

PASSWORD = "a password of the tests alone"
WAYS: dict[str, tuple[str, str]] = {
    "REST": ("GET", "/api/v1/users/me"),
    "OpenAI": ("GET", "/v1/models"),
    "web UI": ("GET", "/sdapi/v1/samplers"),
}
"""A call of each dialect that every user may make."""


@pytest.fixture(scope="module")
def person(mesh: Mesh) -> dict[str, Any]:
    """A member who logged in: their tokens."""
    user = {"roles": ["ROLE_MEMBER"]}
    mesh.made("IdentityService.CreateUser", "operator", user=user, userId="lan", password=PASSWORD)
    tokens: dict[str, Any] = mesh.made("TokenService.Login", "nobody", userId="lan", password=PASSWORD)["tokens"]
    return tokens


@pytest.fixture(scope="module")
def forger(mesh: Mesh, person: dict[str, Any]) -> Forger:
    """Forges tokens like that person's."""
    return Forger(person["accessToken"], httpx.get(f"{mesh.stack.url}/.well-known/jwks.json").json()["keys"])


@pytest.fixture(scope="module")
def signer(mesh: Mesh, person: dict[str, Any]) -> Signer:
    """Signs with the deployment's own key."""
    state = mesh.stack.settings.state
    secret = (state / "secrets" / "identity_encryption_key").read_text().strip()
    return Signer(person["accessToken"], state / "data" / "identity.db", secret)


@pytest.fixture(scope="module")
def http(mesh: Mesh) -> Iterator[httpx.Client]:
    """A client of the gateway."""
    with httpx.Client(base_url=mesh.stack.url, trust_env=False, timeout=60) as client:
        yield client


def ways_in(mesh: Mesh, http: httpx.Client, authorization: str) -> set[str]:
    """The ways by which an Authorization header is let in."""
    headers = {"authorization": authorization}
    open_ = {way for way, (verb, path) in WAYS.items() if http.request(verb, path, headers=headers).status_code == 200}
    code = METHODS["ImageService.ListSamplers"].call(mesh.channel, tuple(headers.items()), {}).code
    return open_ | ({"gRPC"} if code == grpc.StatusCode.OK else set())


def test_a_token_is_let_in_everywhere(mesh: Mesh, http: httpx.Client, person: dict[str, Any], signer: Signer) -> None:
    """What the refusals below differ from."""
    everywhere = {*WAYS, "gRPC"}
    assert ways_in(mesh, http, f"Bearer {person['accessToken']}") == everywhere
    assert ways_in(mesh, http, f"Bearer {signer.signed({'jti': 'another'})}") == everywhere


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_token_gets_nowhere(mesh: Mesh, http: httpx.Client, forger: Forger, what: str) -> None:
    assert ways_in(mesh, http, f"Bearer {FORGED[what](forger)}") == set()


@pytest.mark.parametrize("what", CLAIMED)
def test_a_token_of_ours_that_is_not_for_this_gets_nowhere(
    mesh: Mesh, http: httpx.Client, signer: Signer, what: str
) -> None:
    assert ways_in(mesh, http, f"Bearer {signer.signed(CLAIMED[what])}") == set()


ODD: dict[str, Callable[[str], str]] = {
    "no scheme": lambda key: key,
    "another scheme": lambda key: f"Digest {key}",
    "a key that is cut off": lambda key: f"Bearer {key[:-1]}",
    "a key with one letter changed": lambda key: f"Bearer {key[:-1]}{'A' if key[-1] != 'A' else 'B'}",
    "its recognisable beginning": lambda key: f"Bearer {key.rpartition('-')[0]}",
    "two keys": lambda key: f"Bearer {key} {key}",
    "a key and a comma": lambda key: f"Bearer {key},Bearer {key}",
    "a wildcard": lambda _key: "Bearer sk-parley-%",
    "nothing": lambda _key: "Bearer",
    "the user's name": lambda _key: "Bearer admin",
    "Basic without a key": lambda _key: "Basic YWRtaW46YWRtaW4=",
    "Basic that is no base64": lambda _key: "Basic !!!!",
}


@pytest.mark.parametrize("what", ODD)
def test_what_only_looks_like_a_key_gets_nowhere(mesh: Mesh, http: httpx.Client, what: str) -> None:
    assert ways_in(mesh, http, f"Bearer {mesh.keys['member']}"), "the key itself is good"
    assert ways_in(mesh, http, ODD[what](mesh.keys["member"])) == set()


def test_a_key_anywhere_but_in_a_header_is_none(mesh: Mesh, http: httpx.Client) -> None:
    key = mesh.keys["admin"]
    for name in ("key", "api_key", "access_token", "authorization", "x-api-key"):
        assert http.get("/v1/models", params={name: key}).status_code == 401
        assert http.get("/v1/models", headers={"cookie": f"{name}={key}"}).status_code == 401
    assert http.get(f"{mesh.stack.url.replace('://', f'://{key}@')}/v1/models", auth=None).status_code in {200, 401}


def test_two_different_credentials_are_refused(mesh: Mesh, http: httpx.Client) -> None:
    both = {"authorization": f"Bearer {mesh.keys['member']}", "x-api-key": mesh.keys["admin"]}
    assert http.get("/v1/models", headers=both).status_code == 401
    twice = [("authorization", f"Bearer {mesh.keys['member']}"), ("authorization", f"Bearer {mesh.keys['admin']}")]
    assert http.get("/v1/models", headers=twice).status_code in {400, 401}


def test_each_dialect_is_told_in_its_own_words(http: httpx.Client) -> None:
    native, openai, webui = (http.request(verb, path) for verb, path in WAYS.values())
    assert native.json()["code"] == 16
    assert native.json()["details"][0]["reason"] == "ERROR_REASON_UNAUTHENTICATED"
    assert openai.json()["error"]["type"] == "authentication_error"
    assert "credential" in webui.json()["detail"]
    for answer in (native, openai, webui):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith(("Bearer", "Basic"))


def refused_within(seconds: float, http: httpx.Client, key: str) -> bool:
    """Whether a key is refused before so many seconds have passed, and ever after."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if http.get("/v1/models", headers={"x-api-key": key}).status_code == 401:
            return True
        time.sleep(0.02)
    return False


def test_a_revoked_key_is_out_in_spite_of_the_cache(mesh: Mesh, http: httpx.Client) -> None:
    made = mesh.made("ApiKeyService.CreateApiKey", "member")
    for _ in range(3):
        assert http.get("/v1/models", headers={"x-api-key": made["secret"]}).status_code == 200
    mesh.made("ApiKeyService.RevokeApiKey", "member", name=made["apiKey"]["name"])
    # A cache that nobody tells would let it in for five minutes.
    assert refused_within(30, http, made["secret"])


def test_an_expired_key_is_out(mesh: Mesh, http: httpx.Client) -> None:
    end = (datetime.now(UTC) + timedelta(seconds=4)).isoformat().replace("+00:00", "Z")
    made = mesh.made("ApiKeyService.CreateApiKey", "member", apiKey={"expireTime": end})
    assert http.get("/v1/models", headers={"x-api-key": made["secret"]}).status_code == 200
    assert refused_within(60, http, made["secret"])


def test_a_locked_user_is_out_with_every_credential(mesh: Mesh, http: httpx.Client) -> None:
    user = {"roles": ["ROLE_MEMBER"]}
    mesh.made("IdentityService.CreateUser", "operator", user=user, userId="leaving", password=PASSWORD)
    key = mesh.made("ApiKeyService.CreateApiKey", "operator", apiKey={"user": "users/leaving"})["secret"]
    login = {"userId": "leaving", "password": PASSWORD}
    token = mesh.made("TokenService.Login", "nobody", **login)["tokens"]["accessToken"]
    assert ways_in(mesh, http, f"Bearer {token}") == ways_in(mesh, http, f"Bearer {key}") == {*WAYS, "gRPC"}
    mesh.made("IdentityService.UpdateUser", "operator", user={"name": "users/leaving", "disabled": True})
    assert refused_within(30, http, key)
    # The gateway has answers that are half a second old.
    time.sleep(0.6)
    assert ways_in(mesh, http, f"Bearer {token}") == ways_in(mesh, http, f"Bearer {key}") == set()
    assert mesh.call("TokenService.Login", "nobody", **login).code == grpc.StatusCode.UNAUTHENTICATED


def test_an_oversized_credential_is_refused_before_it_is_read(mesh: Mesh, http: httpx.Client) -> None:
    for size, status in ((5_000, 401), (60_000, 431)):
        assert http.get("/v1/models", headers={"authorization": "Bearer " + "A" * size}).status_code == status
    assert METHODS["ImageService.ListSamplers"].call(mesh.channel, bearer("A" * 5_000), {}).code == (
        grpc.StatusCode.UNAUTHENTICATED
    )


def test_nobody_is_told_the_signing_key(forger: Forger) -> None:
    assert isinstance(RSAKey.import_key(forger.public), RSAKey)
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(forger.public)
