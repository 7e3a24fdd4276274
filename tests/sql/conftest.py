"""Fixtures of the sql tests: the sample shop, and the real server around it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pymysql
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from deploy.local import sample_shop
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.server import running
from services.sql.application import MIGRATIONS, compose, connections
from services.sql.hosts import Hosts
from services.sql.schema import Schema
from services.sql.schemas.introspect import read_schema
from services.sql.settings import SqlSettings
from services.sql.target import Target
from tests.conftest import ROOT, free_port, missing
from tests.sql.scripted import Script

LOCAL = ("*", "localhost")
"""Hosts that databases of tests are at."""
LOCAL_HOSTS = Hosts(LOCAL)
Connect = Callable[..., "AbstractAsyncContextManager[grpc.aio.Channel]"]
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
def serve(connect: Connect) -> Serve:
    """Starts the real service on a storage of its own; keywords are settings. Yields a stub."""

    @asynccontextmanager
    async def start(**overrides: object) -> AsyncIterator[sql_pb2_grpc.SqlServiceAsyncStub]:
        async with connect(**overrides) as channel:
            yield sql_pb2_grpc.SqlServiceStub(channel)

    return start


@pytest.fixture
def connect(tmp_path: Path) -> Connect:
    """Starts the real service on a storage of its own; keywords are settings. Yields a channel."""

    @asynccontextmanager
    async def start(**overrides: object) -> AsyncIterator[grpc.aio.Channel]:
        values: dict[str, object] = {
            "database_url": f"sqlite:///{tmp_path / 'sql.db'}",
            "sqlite_root": tmp_path,
            "upload_root": tmp_path / "uploads",
            "encryption_key": Fernet.generate_key().decode(),
            "drain_seconds": 0.2,
            # The servers that tests start; test_hosts.py has what is refused without.
            "hosts": LOCAL,
        }
        settings = SqlSettings.model_validate({**values, **overrides})
        database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
        providers = Providers(settings.providers)
        pools = connections(settings)
        await database.migrate()
        try:
            async with (
                running(
                    settings, compose(settings, database, providers, pools), dependencies={"storage": database.ping}
                ) as address,
                grpc.aio.insecure_channel(address) as channel,
            ):
                yield channel
        finally:
            await providers.close()
            await pools.aclose()
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


@pytest.fixture(scope="session")
def scripted_server() -> Iterator[int]:
    """The port of a language model that says what it is told to, in a process of its own."""
    command = [sys.executable, "-m", "tests.sql.scripted_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


@pytest.fixture
def script(scripted_server: int) -> Script:
    """Its script, empty."""
    return Script(scripted_server)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """URL of a real MariaDB server of this test run's own, on a free port, without a database name."""
    install = shutil.which("mariadb-install-db")
    program = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    if install is None or program is None:
        missing("MariaDB (apt-get install mariadb-server)")
    assert install is not None
    assert program is not None
    # Like PostgreSQL it refuses to run as root.
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    folder = Path(tempfile.mkdtemp(prefix="parley-mariadb-"))
    os.chown(folder, user, -1)
    port = free_port()
    quiet: dict[str, Any] = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    data = ["--no-defaults", f"--datadir={folder}/data"]
    subprocess.run([install, *data, "--auth-root-authentication-method=normal"], check=True, **quiet)
    listen = [f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--port={port}", "--bind-address=127.0.0.1"]
    server = subprocess.Popen([program, *data, *listen, "--skip-name-resolve"], **quiet)
    try:
        for _attempt in range(400):
            try:
                pymysql.connect(host="127.0.0.1", port=port, user="root").close()
                break
            except pymysql.err.OperationalError:
                assert server.poll() is None, "mariadbd ended while starting"
                time.sleep(0.05)
        yield f"mysql://root@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mariadb(mariadb_server: str) -> str:
    """URL of an empty MariaDB database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with mariadb_connection(mariadb_server) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return f"{mariadb_server}/{name}"


def mariadb_connection(url: str) -> pymysql.Connection[Any]:
    """A connection that may write."""
    found = make_url(url)
    return pymysql.connect(
        host=found.host, port=found.port or 0, user=found.username, database=found.database, autocommit=True
    )
