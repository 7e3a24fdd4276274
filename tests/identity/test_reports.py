"""From a call at a service to what people read of it: usage, limits by native units, and the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.local import sample_shop
from parley.identity.v1 import audit_pb2, identity_pb2, usage_pb2
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh.context import IDENTITY_PREFIX
from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.server import running
from services.sql.application import MIGRATIONS, compose
from services.sql.settings import SqlSettings
from tests.identity.conftest import Identity, Start

SHOP = "databases/shop"
SQL = "parley.sql.v1.SqlService"


@asynccontextmanager
async def sql_service(identity: Identity, folder: Path) -> AsyncIterator[Any]:
    """The real sql service, which reports to the real identity service; yields a stub."""
    sample_shop.build(folder / "shop.sqlite")
    settings = SqlSettings.model_validate(
        {
            "database_url": f"sqlite:///{folder}/sql.db",
            "sqlite_root": folder,
            "identity_target": identity.address,
            "drain_seconds": 1,
        }
    )
    database, providers = Database(f"sqlite:///{folder}/sql.db", MIGRATIONS), Providers([])
    await database.migrate()
    try:
        async with (
            running(settings, compose(settings, database, providers)) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            yield sql_pb2_grpc.SqlServiceStub(channel)
    finally:
        await database.close()


async def let_through(identity: Identity, secret: str, method: str) -> tuple[tuple[str, str], ...]:
    """The metadata that the gateway passes on for a key's call of a method."""
    answer = await identity.check(f"/{SQL}/{method}", authorization=f"Bearer {secret}", x_request_id="r-1")
    assert answer.HasField("ok_response"), answer
    return tuple(
        (option.header.key, option.header.value)
        for option in answer.ok_response.headers
        if option.header.key.startswith(IDENTITY_PREFIX)
    )


async def rows(stub: Any, sql: str, metadata: Any) -> int:
    request = sql_pb2.ExecuteQueryRequest(database=SHOP, sql=sql)
    return sum([len(part.rows.rows) async for part in stub.ExecuteQuery(request, metadata=metadata)])


async def registered(stub: Any, metadata: Any) -> None:
    database = sql_pb2.Database(url="sqlite:///shop.sqlite")
    request = sql_pb2.CreateDatabaseRequest(database_id="shop", database=database)
    await stub.CreateDatabase(request, metadata=metadata)


async def entries(identity: Identity, **filters: Any) -> list[audit_pb2.AuditEntry]:
    request = audit_pb2.ListAuditEntriesRequest(filter=audit_pb2.AuditFilter(action=SQL, **filters))
    return list((await identity.audit.ListAuditEntries(request, metadata=identity.admin)).audit_entries)


async def test_rows_that_are_read_reach_usage_and_limits(starting: Start, tmp_path: Path) -> None:
    tiers = {"free": {"rows": "50/day"}, "enterprise": {}}
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", tiers=tiers)
    await identity.user("lan", identity_pb2.ROLE_ADMIN, tier="free")
    name, secret = await identity.key_of("lan")
    async with sql_service(identity, tmp_path) as stub:
        metadata = await let_through(identity, secret, "ExecuteQuery")
        await registered(stub, metadata)
        assert await rows(stub, "SELECT name FROM products LIMIT 30", metadata) == 30
        assert await rows(stub, "SELECT name FROM customers LIMIT 25", metadata) == 25
    # The service has ended: all of it was sent.
    wanted = usage_pb2.QueryUsageRequest(
        user="users/lan", group_by=[usage_pb2.USAGE_DIMENSION_API_KEY, usage_pb2.USAGE_DIMENSION_SERVICE]
    )
    (used,) = (await identity.usage.QueryUsage(wanted, metadata=identity.admin)).sums
    assert (used.api_key, used.service, used.unit, used.amount) == (name, "sql", usage_pb2.USAGE_UNIT_ROWS, 55)
    answer = await identity.check(f"/{SQL}/ExecuteQuery", authorization=f"Bearer {secret}")
    assert answer.denied_response.status.code == 429
    headers = {option.header.key: option.header.value for option in answer.denied_response.headers}
    assert headers["x-ratelimit-limit-rows"] == "50"
    assert int(headers["retry-after"]) > 0
    assert (await identity.check("/parley.chat.v1.ChatService/ListModels", authorization=f"Bearer {secret}")).HasField(
        "ok_response"
    ), "only what counts rows is refused"


async def test_what_was_done_is_in_the_audit_log_with_its_outcome(stored: Identity, tmp_path: Path) -> None:
    await stored.user("lan", identity_pb2.ROLE_ADMIN)
    name, secret = await stored.key_of("lan")
    async with sql_service(stored, tmp_path) as stub:
        metadata = await let_through(stored, secret, "CreateDatabase")
        metadata = (*metadata, ("x-request-id", "r-1"))
        await registered(stub, metadata)
        await rows(stub, "SELECT 'very secret' FROM customers", metadata)
        for sql in ("SELECT nothing FROM customers WHERE name = 'very secret'", "DROP TABLE customers"):
            with pytest.raises(grpc.aio.AioRpcError):
                await rows(stub, sql, metadata)
        denied = tuple(
            (key, '{"databases":{},"models":[]}' if key == f"{IDENTITY_PREFIX}grants" else value)
            for key, value in metadata
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name=SHOP), metadata=denied)
        stub.Ask(sql_pb2.AskRequest(database=SHOP, question="How very secret?"), metadata=metadata).cancel()
        await stub.ListDatabases(sql_pb2.ListDatabasesRequest(), metadata=metadata)
        await asyncio.sleep(0.1)
    found = [entry for entry in reversed(await entries(stored)) if not entry.action.endswith("Ask")]
    assert [(entry.action.rpartition("/")[2], entry.resource, entry.outcome, entry.detail) for entry in found] == [
        ("CreateDatabase", SHOP, audit_pb2.OUTCOME_DONE, ""),
        ("ExecuteQuery", SHOP, audit_pb2.OUTCOME_DONE, ""),
        ("ExecuteQuery", SHOP, audit_pb2.OUTCOME_FAILED, "FAILED_PRECONDITION"),
        ("ExecuteQuery", SHOP, audit_pb2.OUTCOME_FAILED, "INVALID_ARGUMENT"),
        ("DeleteDatabase", SHOP, audit_pb2.OUTCOME_DENIED, "PERMISSION_DENIED"),
    ]
    assert {(entry.actor, entry.api_key, entry.address, entry.request_id) for entry in found} == {
        ("users/lan", name, "192.0.2.7", "r-1")
    }
    assert "secret" not in str(found)
    assert [entry.outcome for entry in await entries(stored, outcome=audit_pb2.OUTCOME_FAILED)] != []


async def test_nobody_reports_through_the_gateway(stored: Identity) -> None:
    for method in ("UsageService/RecordUsage", "AuditService/RecordActs"):
        answer = await stored.check(f"/parley.identity.v1.{method}", authorization=f"Bearer {stored.key}")
        assert answer.HasField("denied_response")
        assert answer.status.code == grpc.StatusCode.PERMISSION_DENIED.value[0]


async def test_acts_that_come_again_are_written_once(stored: Identity) -> None:
    act = audit_pb2.Act(subject="default/admin", method=f"{SQL}/DeleteDatabase", resource=SHOP, code=14)
    for _ in range(3):
        await stored.audit.RecordActs(audit_pb2.RecordActsRequest(acts=[act], batch_id="the same batch id"))
    (entry,) = await entries(stored)
    assert (entry.actor, entry.outcome, entry.detail) == ("users/admin", audit_pb2.OUTCOME_FAILED, "UNAVAILABLE")
