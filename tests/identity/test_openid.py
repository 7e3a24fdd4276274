"""Logging in at an OpenID provider: a real one (the certified oidc-provider), in a process of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import pytest
from google.protobuf import field_mask_pb2

from parley.identity.v1 import identity_pb2, tokens_pb2
from tests import node
from tests.conftest import free_port
from tests.identity.conftest import Identity, Start, bearer, refused

RELEASE = "oidc-provider@8.8.1"
CALLBACK = "http://127.0.0.1:7777/callback"
GROUPS = {"staff": "member", "chiefs": "admin"}


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder that the provider's packages are in; they are fetched once for a checkout."""
    return node.packages(RELEASE)


@pytest.fixture(scope="session")
def provider(modules: Path) -> Iterator[str]:
    """A running provider: its issuer."""
    port = free_port()
    script = Path(__file__).parent / "openid_provider.mjs"
    process = subprocess.Popen(
        ["node", str(script), str(modules), str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == "ready"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def settings(issuer: str, **more: Any) -> dict[str, Any]:
    """A provider's settings."""
    given = {"id": "corp", "display_name": "Corp", "issuer": issuer, "client_id": "parley-cli", "roles": GROUPS}
    return given | more


@pytest.fixture
async def identity(starting: Start, tmp_path: Path, provider: str) -> Identity:
    """An identity service with the provider in its settings."""
    confidential = settings(provider, id="web", client_id="parley", client_secret="provider-secret-of-parley")
    guests = settings(provider, id="guests", default_roles=["viewer"])
    return await starting(
        f"sqlite:///{tmp_path}/identity.db", oidc_providers=[settings(provider), confidential, guests]
    )


async def begin(identity: Identity, provider: str = "corp") -> tokens_pb2.BeginOidcLoginResponse:
    """Begins a login."""
    request = tokens_pb2.BeginOidcLoginRequest(provider=provider, redirect_uri=CALLBACK)
    begun: tokens_pb2.BeginOidcLoginResponse = await identity.tokens.BeginOidcLogin(request)
    return begun


async def browse(uri: str, login: str) -> dict[str, str]:
    """What a person does at the provider: logs in, consents, and is sent back; the parameters they come back with."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(uri)
        for _ in range(12):
            if answer.is_redirect:
                location = str(answer.headers["location"])
                if location.startswith(CALLBACK):
                    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
                answer = await browser.get(str(answer.url.join(location)))
            else:
                (action,) = re.findall(r'action="([^"]+)"', answer.text)[:1]
                prompt = "login" if 'name="login"' in answer.text else "consent"
                form = {"prompt": prompt, **({"login": login, "password": "x"} if prompt == "login" else {})}
                answer = await browser.post(str(answer.url.join(action)), data=form)
    raise AssertionError(f"the provider never sent the person back: {answer.status_code} {answer.text[:300]}")


def completion(back: dict[str, str], **more: str) -> tokens_pb2.CompleteOidcLoginRequest:
    """The request that ends a login."""
    given = {"state": back["state"], "code": back["code"], "issuer": back.get("iss", "")} | more
    return tokens_pb2.CompleteOidcLoginRequest(**given)


async def log_in(identity: Identity, login: str, provider: str = "corp") -> tokens_pb2.Tokens:
    """Logs in at the provider, from beginning to end."""
    begun = await begin(identity, provider)
    back = await browse(begun.authorization_uri, login)
    assert back["state"] == begun.state
    answer = await identity.tokens.CompleteOidcLogin(completion(back))
    tokens: tokens_pb2.Tokens = answer.tokens
    return tokens


async def me(identity: Identity, tokens: tokens_pb2.Tokens) -> identity_pb2.User:
    """Who the tokens are."""
    request = identity_pb2.GetUserRequest(name="users/me")
    answer = await identity.identity.GetUser(request, metadata=bearer(tokens.access_token))
    user: identity_pb2.User = answer.user
    return user


@pytest.mark.parametrize("provider_id", ["corp", "web"])
async def test_a_person_of_the_provider_comes_in_with_the_roles_of_their_groups(
    identity: Identity, provider_id: str
) -> None:
    user = await me(identity, await log_in(identity, "lan+staff+others", provider_id))
    assert (user.name, user.email, list(user.roles)) == ("users/lan", "lan@example.com", [identity_pb2.ROLE_MEMBER])
    promoted = await me(identity, await log_in(identity, "lan+staff+chiefs", provider_id))
    assert promoted.name == user.name, "the account is known by its subject"
    assert list(promoted.roles) == [identity_pb2.ROLE_MEMBER, identity_pb2.ROLE_ADMIN]


async def test_pkce_and_a_nonce_are_in_the_request(identity: Identity) -> None:
    query = parse_qs(urlsplit((await begin(identity)).authorization_uri).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["response_type"] == ["code"]
    assert len(query["nonce"][0]) >= 32
    assert len(query["state"][0]) >= 32


async def test_who_has_no_group_comes_in_only_where_there_is_a_default(identity: Identity) -> None:
    error = await refused(log_in(identity, "stranger+others"))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert list((await me(identity, await log_in(identity, "stranger", "guests"))).roles) == [identity_pb2.ROLE_VIEWER]


async def test_a_name_that_is_taken_is_not_taken_over(identity: Identity) -> None:
    user = await me(identity, await log_in(identity, "admin+staff"))
    assert user.name == "users/admin-2"
    assert list(user.roles) == [identity_pb2.ROLE_MEMBER]


async def test_a_disabled_user_stays_out(identity: Identity) -> None:
    tokens = await log_in(identity, "lan+staff")
    disabled = identity_pb2.UpdateUserRequest(
        user=identity_pb2.User(name="users/lan", disabled=True),
        update_mask=field_mask_pb2.FieldMask(paths=["disabled"]),
    )
    await identity.identity.UpdateUser(disabled, metadata=identity.admin)
    assert (await refused(me(identity, tokens))).code() is grpc.StatusCode.UNAUTHENTICATED
    assert (await refused(log_in(identity, "lan+staff"))).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_login_is_completed_once_by_its_own_answer(identity: Identity) -> None:
    out = grpc.StatusCode.UNAUTHENTICATED
    back = await browse((await begin(identity)).authorization_uri, "lan+staff")
    unknown = completion(back, state="never begun")
    assert (await refused(identity.tokens.CompleteOidcLogin(unknown))).code() is out
    await identity.tokens.CompleteOidcLogin(completion(back))
    assert (await refused(identity.tokens.CompleteOidcLogin(completion(back)))).code() is out
    for wrong in ({"code": "not this"}, {"issuer": "https://evil.example"}, {"issuer": ""}):
        fresh = await browse((await begin(identity)).authorization_uri, "lan+staff")
        assert (await refused(identity.tokens.CompleteOidcLogin(completion(fresh, **wrong)))).code() is out, wrong


async def test_a_code_of_another_login_is_of_no_use(identity: Identity) -> None:
    mine = await browse((await begin(identity)).authorization_uri, "lan+staff")
    theirs = await browse((await begin(identity)).authorization_uri, "mallory+chiefs")
    injected = completion(mine, code=theirs["code"])
    error = await refused(identity.tokens.CompleteOidcLogin(injected))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED, "PKCE binds a code to the login that it was asked for"


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/callback",
        "http://127.0.0.1:7777/other",
        "http://127.0.0.1:7777/callback?next=x",
        "http://127.0.0.1@evil.example:80/callback",
        "http://localhost.evil.example:1/callback",
        "http://127.0.0.1/callback",
        "javascript:alert(1)",
        "http://[::1/callback",
    ],
)
async def test_people_are_sent_nowhere_else(identity: Identity, uri: str) -> None:
    request = tokens_pb2.BeginOidcLoginRequest(provider="corp", redirect_uri=uri)
    error = await refused(identity.tokens.BeginOidcLogin(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_providers_are_listed_and_others_do_not_exist(identity: Identity) -> None:
    listed = await identity.tokens.ListLoginProviders(tokens_pb2.ListLoginProvidersRequest())
    assert [p.display_name for p in listed.login_providers] == ["Corp", "Corp", "Corp"]
    assert (await refused(begin(identity, "other"))).code() is grpc.StatusCode.NOT_FOUND


async def test_a_provider_that_is_away_or_another_is_said(starting: Start, tmp_path: Path, provider: str) -> None:
    away = settings(f"http://127.0.0.1:{free_port()}", id="away")
    other = settings(provider + "/", id="other")
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", oidc_providers=[away, other])
    for name in ("away", "other"):
        assert (await refused(begin(identity, name))).code() is grpc.StatusCode.UNAVAILABLE
