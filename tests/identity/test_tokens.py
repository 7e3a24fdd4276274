"""Logging in by password: tokens that hold, and everything that looks like one and must not."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from parley.identity.v1 import identity_pb2, tokens_pb2
from services.identity.settings import IdentitySettings
from services.identity.tokens import AUDIENCE
from services.mesh.errors import FailedPrecondition
from tests.identity.conftest import FERNET, PASSWORD, Identity, Start, bearer, refused
from tests.identity.forgery import CLAIMED, FORGED, Forger, Signer, kid

ROLES = identity_pb2.ListRolesRequest()
OUT = grpc.StatusCode.UNAUTHENTICATED
ISSUER = IdentitySettings.model_fields["issuer"].default


async def log_in(identity: Identity, user: str = "lan", password: str = PASSWORD) -> tokens_pb2.Tokens:
    """Logs in."""
    answer = await identity.tokens.Login(tokens_pb2.LoginRequest(user_id=user, password=password))
    tokens: tokens_pb2.Tokens = answer.tokens
    return tokens


async def lets_in(identity: Identity, token: str) -> bool:
    """Whether an access token is let in."""
    try:
        await identity.identity.ListRoles(ROLES, metadata=bearer(token))
    except grpc.aio.AioRpcError as error:
        assert error.code() is OUT
        return False
    return True


async def jwks(identity: Identity) -> list[dict[str, Any]]:
    """The published keys."""
    answer = await identity.tokens.GetJwks(tokens_pb2.GetJwksRequest())
    assert answer.body.content_type == "application/jwk-set+json"
    keys: list[dict[str, Any]] = json.loads(answer.body.data)["keys"]
    return keys


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
async def test_a_password_gives_a_token_that_the_published_keys_verify(
    starting: Start, database_url: str, algorithm: str
) -> None:
    identity = await starting(database_url, token_algorithm=algorithm)
    await identity.user("lan")
    tokens = await log_in(identity)
    assert await lets_in(identity, tokens.access_token)
    assert (tokens.user, tokens.organisation) == ("users/lan", "organisations/default")
    assert tokens.expires_in.seconds == 86400
    header = json.loads(base64.urlsafe_b64decode(tokens.access_token.split(".")[0] + "=="))
    (key,) = [key for key in await jwks(identity) if key["kid"] == header["kid"]]
    assert (header["alg"], key["alg"], key["use"]) == (algorithm, algorithm, "sig")
    assert "d" not in key
    claims = json.loads(base64.urlsafe_b64decode(tokens.access_token.split(".")[1] + "=="))
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, AUDIENCE, "default/lan")
    if algorithm == "RS256":
        # As a resource server would: with nothing but the published key.
        verified = jwt.decode(tokens.access_token, RSAKey.import_key(key), algorithms=["RS256"])
        assert verified.claims == claims


async def test_a_wrong_password_an_unknown_user_and_a_disabled_one_are_told_apart_by_nobody(service: Identity) -> None:
    await service.user("lan")
    await service.user("bot", kind=identity_pb2.USER_KIND_SERVICE_ACCOUNT)
    disabled = identity_pb2.UpdateUserRequest(user=identity_pb2.User(name="users/lan", disabled=True))
    answers = {(await refused(log_in(service, "lan", "wrong password"))).details()}
    await service.identity.UpdateUser(disabled, metadata=service.admin)
    for user, password in (("lan", PASSWORD), ("nobody", PASSWORD), ("bot", PASSWORD), ("admin", PASSWORD)):
        error = await refused(log_in(service, user, password))
        assert error.code() is OUT
        answers.add(error.details())
    assert len(answers) == 1


async def test_guessing_a_password_ends(starting: Start, tmp_path: object) -> None:
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", login_limit="3/5 minutes")
    await identity.user("lan")
    for _ in range(3):
        assert (await refused(log_in(identity, "lan", "wrong password"))).code() is OUT
    error = await refused(log_in(identity, "lan", PASSWORD))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, "the right one does not help either"


async def test_a_refresh_token_works_once_and_its_theft_ends_the_session(stored: Identity) -> None:
    await stored.user("lan")
    first = await log_in(stored)
    second = await refresh(stored, first.refresh_token)
    assert await lets_in(stored, first.access_token)
    assert await lets_in(stored, second.access_token)
    assert (await refused(refresh(stored, first.refresh_token))).code() is OUT
    # Whoever had it twice: neither the newer refresh token nor any access token of the session goes on.
    assert (await refused(refresh(stored, second.refresh_token))).code() is OUT
    assert not await lets_in(stored, first.access_token)
    assert not await lets_in(stored, second.access_token)
    assert await lets_in(stored, (await log_in(stored)).access_token), "other sessions do"


async def test_logging_out_ends_the_access_token_too(stored: Identity) -> None:
    await stored.user("lan")
    tokens = await log_in(stored)
    assert await lets_in(stored, tokens.access_token)
    await stored.tokens.Logout(tokens_pb2.LogoutRequest(refresh_token=tokens.refresh_token))
    assert not await lets_in(stored, tokens.access_token)
    assert (await refused(refresh(stored, tokens.refresh_token))).code() is OUT
    await stored.tokens.Logout(tokens_pb2.LogoutRequest(refresh_token="never made"))


async def test_a_new_password_ends_all_sessions(service: Identity) -> None:
    await service.user("lan")
    tokens = await log_in(service)
    request = identity_pb2.SetPasswordRequest(
        name="users/me", current_password=PASSWORD, new_password="another long one"
    )
    await service.identity.SetPassword(request, metadata=bearer(tokens.access_token))
    assert not await lets_in(service, tokens.access_token)
    assert (await refused(refresh(service, tokens.refresh_token))).code() is OUT
    assert await log_in(service, password="another long one")


async def refresh(identity: Identity, refresh_token: str) -> tokens_pb2.Tokens:
    """The next tokens."""
    answer = await identity.tokens.RefreshToken(tokens_pb2.RefreshTokenRequest(refresh_token=refresh_token))
    tokens: tokens_pb2.Tokens = answer.tokens
    return tokens


async def test_signing_keys_rotate_and_older_tokens_go_on(starting: Start, database_url: str) -> None:
    one = await starting(database_url)
    await one.user("lan")
    before, old = await jwks(one), (await log_in(one)).access_token
    answer = await one.tokens.RotateSigningKeys(tokens_pb2.RotateSigningKeysRequest(), metadata=one.admin)
    after = await jwks(one)
    assert answer.current in {key["kid"] for key in before}, "the next key was published before it signs"
    assert {key["kid"] for key in after} == {key["kid"] for key in before} | {answer.next}
    new = (await log_in(one)).access_token
    assert kid(old) != kid(new) == answer.current
    assert await lets_in(one, old)
    # Another process, which had read the keys before they were rotated or after, takes both.
    two = await starting(database_url)
    assert await lets_in(two, old)
    assert await lets_in(two, new)


async def test_a_key_that_another_process_made_is_found(starting: Start, database_url: str) -> None:
    one, two = await starting(database_url), await starting(database_url)
    await one.user("lan")
    for _ in range(2):
        await one.tokens.RotateSigningKeys(tokens_pb2.RotateSigningKeysRequest(), metadata=one.admin)
    token = (await log_in(one)).access_token
    for _ in range(100):
        if await lets_in(two, token):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the second process never read the keys again")


async def test_what_only_looks_like_a_token_is_refused(starting: Start, tmp_path: object) -> None:
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", token_algorithm="RS256")
    await identity.user("lan")
    token = (await log_in(identity)).access_token
    forger = Forger(token, await jwks(identity))
    assert {what for what, forge in FORGED.items() if await lets_in(identity, forge(forger))} == set()
    assert await lets_in(identity, token)


async def test_a_token_that_is_signed_by_us_but_not_for_this_is_refused(starting: Start, tmp_path: Path) -> None:
    """Our own key signs here, as it lies in the database, so that nothing but the claims can refuse them."""
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", token_algorithm="RS256")
    await identity.user("lan")
    token = (await log_in(identity)).access_token
    signed = Signer(token, tmp_path / "identity.db", FERNET).signed
    assert await lets_in(identity, signed({"jti": "another"})), "each of the others differs from this in one claim"
    assert {what for what, claims in CLAIMED.items() if await lets_in(identity, signed(claims))} == set()
    assert not await lets_in(identity, signed({}, typ="JWT")), "an id token is no access token"


async def test_a_changed_encryption_key_is_said_and_an_added_one_opens_the_old(starting: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/identity.db"
    await starting(url)
    other = base64.urlsafe_b64encode(b"another key of 32 bytes, exactly").decode()
    with pytest.raises(FailedPrecondition, match="PARLEY_IDENTITY_ENCRYPTION_KEY"):
        await starting(url, encryption_key=other)
    identity = await starting(url, encryption_key=f"{other},{FERNET}")
    await identity.user("lan")
    assert await lets_in(identity, (await log_in(identity)).access_token)
