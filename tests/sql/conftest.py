"""Fixtures of the sql tests: the sample shop, and the real server around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.server import running
from services.sql.application import MIGRATIONS, compose
from services.sql.introspect import read_schema
from services.sql.schema import Schema
from services.sql.settings import SqlSettings
from services.sql.target import Target

Serve = Callable[..., "AbstractAsyncContextManager[sql_pb2_grpc.SqlServiceAsyncStub]"]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample shop; read it only."""
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    sample_shop.build(path)
    return path


@pytest.fixture(scope="session")
def shop_schema(shop: Path) -> Schema:
    """Its schema."""
    return read_schema(target_of(shop))


def target_of(path: Path) -> Target:
    """A SQLite file as a target."""
    return Target(make_url(f"sqlite:///{path}"))


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Starts the real service on a storage of its own; keywords are settings. Yields a stub."""

    @asynccontextmanager
    async def start(**overrides: object) -> AsyncIterator[sql_pb2_grpc.SqlServiceAsyncStub]:
        values: dict[str, object] = {
            "database_url": f"sqlite:///{tmp_path / 'sql.db'}",
            "sqlite_root": tmp_path,
            "encryption_key": Fernet.generate_key().decode(),
            "drain_seconds": 0.2,
        }
        settings = SqlSettings.model_validate({**values, **overrides})
        database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
        providers = Providers(settings.providers)
        await database.migrate()
        try:
            async with (
                running(
                    settings, [compose(settings, database, providers)], dependencies={"storage": database.ping}
                ) as address,
                grpc.aio.insecure_channel(address) as channel,
            ):
                yield sql_pb2_grpc.SqlServiceStub(channel)
        finally:
            await providers.close()
            await database.close()

    return start


@pytest.fixture
async def stub(serve: Serve) -> AsyncIterator[sql_pb2_grpc.SqlServiceAsyncStub]:
    """A stub of the running service, without databases."""
    async with serve() as found:
        yield found


@pytest.fixture
async def shop_stub(
    stub: sql_pb2_grpc.SqlServiceAsyncStub, tmp_path: Path, register: Callable[..., Awaitable[sql_pb2.Database]]
) -> sql_pb2_grpc.SqlServiceAsyncStub:
    """A stub of the running service with the shop as databases/shop."""
    sample_shop.build(tmp_path / "shop.sqlite")
    await register(stub, "shop", "sqlite:///shop.sqlite")
    return stub


@pytest.fixture
def register() -> Callable[..., Awaitable[sql_pb2.Database]]:
    """Registers a database through a stub."""

    async def call(stub: sql_pb2_grpc.SqlServiceAsyncStub, identifier: str, url: str) -> sql_pb2.Database:
        request = sql_pb2.CreateDatabaseRequest(database_id=identifier, database=sql_pb2.Database(url=url))
        return (await stub.CreateDatabase(request)).database

    return call
