"""API keys: made, seen, revoked, rotated; and found nowhere in the clear."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import psycopg2
import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from parley.identity.v1 import identity_pb2, keys_pb2
from services.identity.keys import SECRET
from tests.identity.conftest import Identity, Metadata, Start, bearer, refused

ROLES = identity_pb2.ListRolesRequest()
OUT = grpc.StatusCode.UNAUTHENTICATED


def after(seconds: float) -> timestamp_pb2.Timestamp:
    """A moment from now."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return message


async def lets_in(identity: Identity, secret: str) -> bool:
    """Whether a key is let in."""
    try:
        await identity.identity.ListRoles(ROLES, metadata=bearer(secret))
    except grpc.aio.AioRpcError as error:
        assert error.code() is OUT
        return False
    return True


async def test_a_key_is_shown_once_and_recognised_by_its_prefix(stored: Identity) -> None:
    wanted = keys_pb2.ApiKey(display_name="laptop", scopes=["chat"])
    made = await stored.keys.CreateApiKey(keys_pb2.CreateApiKeyRequest(api_key=wanted), metadata=stored.admin)
    assert SECRET.fullmatch(made.secret)
    assert made.secret.startswith(made.api_key.prefix)
    found = await stored.keys.GetApiKey(keys_pb2.GetApiKeyRequest(name=made.api_key.name), metadata=stored.admin)
    assert found.api_key == made.api_key
    assert made.secret not in str(found)
    listed = await stored.keys.ListApiKeys(keys_pb2.ListApiKeysRequest(), metadata=stored.admin)
    assert [k.display_name for k in listed.api_keys] == ["laptop", "first start"]


async def test_no_secret_is_in_the_database(service: Identity, tmp_path: Path) -> None:
    _name, secret = await service.key_of("admin")
    with sqlite3.connect(tmp_path / "identity.db") as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert service.key.rpartition("-")[2] not in dump
    assert secret.rsplit("-", 1)[1] not in dump
    assert "BEGIN PRIVATE KEY" not in dump
    assert "Argon2" not in dump


async def test_a_revoked_key_is_out_at_once(stored: Identity) -> None:
    name, secret = await stored.key_of("admin")
    assert await lets_in(stored, secret)
    revoked = await stored.keys.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=name), metadata=stored.admin)
    assert revoked.api_key.HasField("revoke_time")
    assert not await lets_in(stored, secret)
    again = await stored.keys.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=name), metadata=stored.admin)
    assert again.api_key.revoke_time == revoked.api_key.revoke_time
    rotate = keys_pb2.RotateApiKeyRequest(name=name)
    error = await refused(stored.keys.RotateApiKey(rotate, metadata=stored.admin))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_key_revoked_in_one_process_is_out_in_another_within_a_second(starting: Start, postgres: str) -> None:
    one, two = await starting(postgres), await starting(postgres)
    await wait_until(two.application.invalidations.trusted)
    name, secret = await one.key_of("admin")
    assert await lets_in(two, secret)
    await one.keys.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=name), metadata=one.admin)
    # A second is what is promised to whoever revokes a key.
    await asyncio.sleep(1.0)
    assert not await lets_in(two, secret)
    assert two.application.invalidations.trusted(), "heard of by notification, not because the cache was distrusted"


async def test_a_listener_that_is_cut_off_costs_trust_and_no_revocation(starting: Start, postgres: str) -> None:
    one, two = await starting(postgres), await starting(postgres)
    await wait_until(two.application.invalidations.trusted)
    name, secret = await one.key_of("admin")
    assert await lets_in(two, secret)
    # Both listeners lose their connections, again and again, while the key is revoked: no notification arrives.
    killer = psycopg2.connect(postgres)
    killer.autocommit = True
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND (query LIKE 'LISTEN%' OR query = 'SELECT 1') AND pid <> pg_backend_pid()"
    )
    with killer.cursor() as cursor:
        cursor.execute(kill)
        await one.keys.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=name), metadata=one.admin)
        for _ in range(5):
            cursor.execute(kill)
            await asyncio.sleep(0.2)
        assert not await lets_in(two, secret)
    killer.close()
    await wait_until(two.application.invalidations.trusted)


async def wait_until(true: Callable[[], bool]) -> None:
    """Returns when a condition holds; fails after 10 seconds."""
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came true")


async def test_an_expired_key_is_out_although_it_is_in_the_cache(service: Identity) -> None:
    wanted = keys_pb2.ApiKey(expire_time=after(1))
    made = await service.keys.CreateApiKey(keys_pb2.CreateApiKeyRequest(api_key=wanted), metadata=service.admin)
    assert await lets_in(service, made.secret)
    await asyncio.sleep(1.1)
    assert not await lets_in(service, made.secret)
    past = keys_pb2.CreateApiKeyRequest(api_key=keys_pb2.ApiKey(expire_time=after(-1)))
    error = await refused(service.keys.CreateApiKey(past, metadata=service.admin))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_rotated_key_goes_on_for_the_overlap(stored: Identity) -> None:
    name, old = await stored.key_of("admin", "chat", "keys")
    rotated = await stored.keys.RotateApiKey(
        keys_pb2.RotateApiKeyRequest(name=name, overlap=duration_pb2.Duration(seconds=1)), metadata=stored.admin
    )
    assert list(rotated.api_key.scopes) == ["chat", "keys"]
    assert await lets_in(stored, old)
    assert await lets_in(stored, rotated.secret)
    await asyncio.sleep(1.1)
    assert not await lets_in(stored, old)
    assert await lets_in(stored, rotated.secret)


async def test_a_key_may_do_no_more_than_its_scopes_and_its_user(service: Identity) -> None:
    _name, chat = await service.key_of("admin", "chat")
    error = await refused(service.keys.ListApiKeys(keys_pb2.ListApiKeysRequest(), metadata=bearer(chat)))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    await service.user("lan")
    for scopes in (["users:admin"], ["everything"], ["internal"]):
        request = keys_pb2.CreateApiKeyRequest(api_key=keys_pb2.ApiKey(user="users/lan", scopes=scopes))
        error = await refused(service.keys.CreateApiKey(request, metadata=service.admin))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, scopes


async def test_members_see_their_own_keys_only(service: Identity) -> None:
    await service.user("lan")
    _name, secret = await service.key_of("lan")
    others, _ = await service.key_of("admin")
    lan = bearer(secret)
    listed = await service.keys.ListApiKeys(keys_pb2.ListApiKeysRequest(), metadata=lan)
    assert {k.user for k in listed.api_keys} == {"users/lan"}
    for call in (
        service.keys.GetApiKey(keys_pb2.GetApiKeyRequest(name=others), metadata=lan),
        service.keys.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=others), metadata=lan),
        service.keys.RotateApiKey(keys_pb2.RotateApiKeyRequest(name=others), metadata=lan),
    ):
        assert (await refused(call)).code() is grpc.StatusCode.NOT_FOUND
    listing = keys_pb2.ListApiKeysRequest(user="users/admin")
    error = await refused(service.keys.ListApiKeys(listing, metadata=lan))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_keys_are_paged(service: Identity) -> None:
    for _ in range(5):
        await service.key_of("admin")
    names: list[str] = []
    token = ""
    while True:
        request = keys_pb2.ListApiKeysRequest(page_size=2, page_token=token)
        page = await service.keys.ListApiKeys(request, metadata=service.admin)
        names += [k.name for k in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert len(names) == len(set(names)) == 6


async def test_the_last_use_is_noted(stored: Identity) -> None:
    name, secret = await stored.key_of("admin")
    assert await lets_in(stored, secret)
    for _ in range(500):
        found = await stored.keys.GetApiKey(keys_pb2.GetApiKeyRequest(name=name), metadata=stored.admin)
        if found.api_key.HasField("last_used_time"):
            break
        await asyncio.sleep(0.02)
    assert abs(found.api_key.last_used_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=10)


SENT: list[tuple[str, Metadata]] = [
    ("nothing", ()),
    ("an empty bearer", (("authorization", "Bearer "),)),
    ("another scheme", (("authorization", "Digest abc"),)),
    ("a key of another shape", bearer("sk-parley-x")),
    ("a key that was never made", bearer("sk-parley-0123456789ab-" + "A" * 43)),
    ("somebody else's key", bearer("sk-proj-" + "a" * 40)),
    ("a key with a tail", ()),
    ("much too much", bearer("sk-parley-" + "a" * 7000)),
    ("Basic that is no base64", (("authorization", "Basic !!!"),)),
    ("Basic with a password", (("authorization", "Basic YWRtaW46c2VjcmV0"),)),
    ("two that differ", (*bearer("sk-parley-0123456789ab-" + "A" * 43), ("x-api-key", "sk-parley-other"))),
]


@pytest.mark.parametrize(("what", "metadata"), SENT, ids=[what for what, _ in SENT])
async def test_what_is_no_valid_credential_is_refused(service: Identity, what: str, metadata: Metadata) -> None:
    if what == "a key with a tail":
        metadata = bearer(service.key + "x")
    error = await refused(service.identity.ListRoles(ROLES, metadata=metadata))
    assert error.code() is OUT
    assert service.key not in (error.details() or "")


async def test_a_key_comes_in_any_of_three_headers(service: Identity) -> None:
    import base64

    basic = base64.b64encode(f"anybody:{service.key}".encode()).decode()
    for metadata in (
        service.admin,
        (("x-api-key", service.key),),
        (("authorization", f"Basic {basic}"),),
        (*service.admin, ("x-api-key", service.key)),
    ):
        assert await service.identity.ListRoles(ROLES, metadata=metadata)
    twice = (*service.admin, *service.admin)
    assert (await refused(service.identity.ListRoles(ROLES, metadata=twice))).code() is OUT
