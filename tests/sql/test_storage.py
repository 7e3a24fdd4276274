"""The service's own storage when it is full, and what its work leaves in a trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import text

from deploy.local import sample_shop
from deploy.local.tracing import Receiver, Root
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh import telemetry
from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.server import running
from services.sql.application import MIGRATIONS, compose
from services.sql.settings import SqlSettings

Register = Callable[..., Awaitable[sql_pb2.Database]]
NO_LIMIT = 0xFFFFFFFE


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Database]:
    """The service's storage, where a test can reach it."""
    database = Database(f"sqlite:///{tmp_path / 'sql.db'}", MIGRATIONS)
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
async def stored_stub(storage: Database, tmp_path: Path) -> AsyncIterator[Any]:
    """A stub of the real service on that storage."""
    settings = SqlSettings.model_validate({"sqlite_root": tmp_path, "drain_seconds": 0.2})
    async with (
        running(settings, compose(settings, storage, Providers(()))) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield sql_pb2_grpc.SqlServiceStub(channel)


async def limit_pages(storage: Database, count: int) -> None:
    """SQLite reports a database at its page limit exactly as it reports a full disk."""
    await storage.run(lambda session: session.execute(text(f"PRAGMA max_page_count = {count}")))


async def test_a_full_disk_registers_nothing(
    storage: Database, stored_stub: Any, register: Register, tmp_path: Path
) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    await limit_pages(storage, 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await register(stored_stub, "shop", "sqlite:///shop.sqlite")
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # its stubs know the synchronous call only
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    assert (caught.value.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_STORAGE_UNAVAILABLE")
    assert "full" in status.message
    assert not (await stored_stub.ListDatabases(sql_pb2.ListDatabasesRequest())).databases
    await limit_pages(storage, NO_LIMIT)
    assert (await register(stored_stub, "shop", "sqlite:///shop.sqlite")).name == "databases/shop"


async def test_a_full_disk_keeps_the_old_schema(
    storage: Database, stored_stub: Any, register: Register, tmp_path: Path
) -> None:
    (tmp_path / "shop.sqlite").touch()
    await register(stored_stub, "shop", "sqlite:///shop.sqlite")
    sample_shop.build(tmp_path / "shop.sqlite")
    await limit_pages(storage, 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stored_stub.RefreshSchema(sql_pb2.RefreshSchemaRequest(name="databases/shop"))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    schema = (await stored_stub.GetSchema(sql_pb2.GetSchemaRequest(name="databases/shop"))).schema
    assert not schema.tables


async def test_a_trace_shows_the_statement_in_the_users_database(shop_stub: Any) -> None:
    root = Root.new()
    with Receiver() as receiver:
        telemetry.configure_traces("sql", receiver.endpoint)
        try:
            request = sql_pb2.AskRequest(database="databases/shop", question="how many customers are there")
            async for _part in shop_stub.Ask(request, metadata=(("traceparent", root.traceparent),)):
                pass
        finally:
            await asyncio.to_thread(telemetry.shutdown)
        spans = {span.name: span for span in await asyncio.to_thread(receiver.trace, root)}
    step, call = spans["database.execute"], spans["parley.sql.v1.SqlService/Ask"]
    assert step.parent_id == call.span_id
    assert step.attributes["db.system"] == "sqlite"
