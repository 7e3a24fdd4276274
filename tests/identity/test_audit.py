"""The audit log: what is in it, what never is, and that nobody changes it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf import timestamp_pb2
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from parley.identity.v1 import audit_pb2, identity_pb2, keys_pb2, tokens_pb2
from tests.identity.conftest import PASSWORD, Identity, Metadata, refused

LIST = "/parley.identity.v1.IdentityService/ListUsers"


async def entries(identity: Identity, metadata: Metadata = (), **wanted: object) -> list[audit_pb2.AuditEntry]:
    """The entries that a filter lets through, the newest first."""
    request = audit_pb2.ListAuditEntriesRequest(filter=audit_pb2.AuditFilter(**wanted))  # type: ignore[arg-type]  # by name
    answer = await identity.audit.ListAuditEntries(request, metadata=metadata or identity.admin)
    return list(answer.audit_entries)


async def test_what_is_changed_is_written_with_who_and_from_where(stored: Identity) -> None:
    await stored.user("lan")
    metadata = (*stored.admin, ("x-request-id", "r-17"))
    change = identity_pb2.UpdateUserRequest(user=identity_pb2.User(name="users/lan", display_name="Lan"))
    await stored.identity.UpdateUser(change, metadata=metadata)
    newest, created, *_ = await entries(stored, action="users.")
    assert (newest.actor, newest.action, newest.resource) == ("users/admin", "users.update", "users/lan")
    assert (newest.outcome, newest.detail, newest.request_id) == (audit_pb2.OUTCOME_DONE, "display_name", "r-17")
    assert newest.address == "127.0.0.1"
    assert newest.api_key
    assert (created.action, created.detail) == ("users.create", "member")
    assert abs(newest.time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'nobody'",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE number = 1",
        "TRUNCATE audit_entries",
    ],
)
async def test_the_database_refuses_to_change_it(stored: Identity, statement: str) -> None:
    before = await entries(stored)
    engine = stored.application.database.engine

    def attempt() -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    with pytest.raises(DBAPIError):
        await asyncio.to_thread(attempt)
    assert await entries(stored) == before


async def test_refusals_and_failed_logins_are_in_it(stored: Identity) -> None:
    await stored.user("lan")
    name, secret = await stored.key_of("lan")
    await stored.check(LIST, authorization=f"Bearer {secret}", x_request_id="r-9")
    (denied,) = await entries(stored, outcome=audit_pb2.OUTCOME_DENIED)
    assert (denied.actor, denied.api_key, denied.action) == ("users/lan", name, LIST[1:])
    assert (denied.detail, denied.address, denied.request_id) == ("PERMISSION_DENIED", "192.0.2.7", "r-9")
    await refused(stored.tokens.Login(tokens_pb2.LoginRequest(user_id="lan", password="wrong password")))
    failed, *_ = await entries(stored, action="tokens.login")
    assert (failed.actor, failed.outcome) == ("users/lan", audit_pb2.OUTCOME_DENIED)
    await stored.tokens.Login(tokens_pb2.LoginRequest(user_id="lan", password=PASSWORD))
    done, *_ = await entries(stored, action="tokens.login", actor="users/lan")
    assert (done.outcome, done.detail) == (audit_pb2.OUTCOME_DONE, "password")


async def test_calls_to_methods_that_want_it_are_in_it(service: Identity) -> None:
    path = "/api/v1/auditEntries:export"
    await service.check(path, verb="GET", authorization=f"Bearer {service.key}")
    (allowed,) = await entries(service, outcome=audit_pb2.OUTCOME_ALLOWED)
    assert (allowed.action, allowed.resource) == ("parley.identity.v1.AuditService/ExportAuditEntries", path)


async def test_it_is_filtered_and_paged(stored: Identity) -> None:
    for number in range(5):
        await stored.key_of("admin")
        if number == 1:
            middle = timestamp_pb2.Timestamp()
            middle.FromDatetime(datetime.now(UTC))
    assert len(await entries(stored, action="apiKeys.create")) == 5
    assert len(await entries(stored, action="apiKeys.create", start_time=middle)) == 3
    assert len(await entries(stored, action="apiKeys.create", end_time=middle)) == 2
    assert await entries(stored, actor="users/nobody") == []
    assert await entries(stored, action="%") == [], "what databases take for a pattern is a text here"
    assert len(await entries(stored, resource="apiKeys/")) == 5
    request = audit_pb2.ListAuditEntriesRequest(page_size=2)
    numbers = []
    while True:
        page = await stored.audit.ListAuditEntries(request, metadata=stored.admin)
        numbers += [entry.number for entry in page.audit_entries]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) == 6


async def test_it_is_exported_as_lines_of_json(stored: Identity) -> None:
    await stored.user("lan")
    call = stored.audit.ExportAuditEntries(audit_pb2.ExportAuditEntriesRequest(), metadata=stored.admin)
    parts = [part.body async for part in call]
    assert {part.content_type for part in parts} == {"application/x-ndjson"}
    lines = [json.loads(line) for line in b"".join(part.data for part in parts).decode().splitlines()]
    assert [line["action"] for line in lines] == ["users.create", "users.create"]
    assert lines[1]["resource"] == "users/lan"


async def test_only_administrators_read_it(service: Identity) -> None:
    await service.user("lan")
    _name, secret = await service.key_of("lan")
    error = await refused(entries(service, (("authorization", f"Bearer {secret}"),)))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_no_secret_is_in_the_log_in_answers_to_others_or_in_the_audit_log(
    service: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything that is secret is used once, rightly and wrongly, and then looked for."""
    await service.user("lan")
    name, key = await service.key_of("lan")
    rotated = await service.keys.RotateApiKey(keys_pb2.RotateApiKeyRequest(name=name), metadata=service.admin)
    tokens = (await service.tokens.Login(tokens_pb2.LoginRequest(user_id="lan", password=PASSWORD))).tokens
    answer = await service.tokens.RefreshToken(tokens_pb2.RefreshTokenRequest(refresh_token=tokens.refresh_token))
    wrong = "a wrong pass phrase"
    await refused(service.tokens.Login(tokens_pb2.LoginRequest(user_id="lan", password=wrong)))
    for credential in (key, tokens.access_token, tokens.access_token + "x", "sk-parley-" + "z" * 56):
        await service.check(LIST, authorization=f"Bearer {credential}")
        await service.check(LIST, x_api_key=credential)
    await refused(service.tokens.RefreshToken(tokens_pb2.RefreshTokenRequest(refresh_token=tokens.refresh_token)))
    secrets = [service.key, key, rotated.secret, PASSWORD, wrong, tokens.access_token, tokens.refresh_token]
    secrets += [answer.tokens.access_token, answer.tokens.refresh_token, "z" * 56]
    log = capsys.readouterr()
    audit = "\n".join(map(str, await entries(service)))
    assert len(audit) > 500
    for secret in secrets:
        assert secret not in log.err + log.out + audit
