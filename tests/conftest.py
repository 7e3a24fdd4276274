"""Fixtures that every test may use: real PostgreSQL, and what to do when a tool is missing."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator

import httpx
import psycopg2
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from deploy.local import ports

ROOT = pathlib.Path(__file__).resolve().parent.parent


def missing(what: str) -> None:
    """Skips a test for want of a tool; fails it where PARLEY_TEST_REQUIRE says that everything has to be there."""
    if os.environ.get("PARLEY_TEST_REQUIRE"):
        pytest.fail(f"{what} is required here and missing")
    pytest.skip(f"{what} is missing on this machine")


class Folders(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Keeps the tests of a folder together, in one process and in their order: they share servers."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("/")[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Folders:
    """How `pytest -n` shares the tests out, whatever `--dist` says."""
    return Folders(config, log)


def free_port() -> int:
    """A TCP port that is free now."""
    return ports.free(1)[0]


def _postgres_binaries() -> pathlib.Path | None:
    """The folder with PostgreSQL's server programs: on PATH, or where Debian puts them."""
    found = shutil.which("initdb")
    if found:
        return pathlib.Path(found).parent
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A server that speaks S3, empty and without credentials of its own; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            for _attempt in range(600):
                with contextlib.suppress(httpx.HTTPError):
                    httpx.get(url)
                    break
                assert server.poll() is None
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a real PostgreSQL server of this test run's own, on a free port, without a database name."""
    binaries = _postgres_binaries()
    if binaries is None:
        missing("PostgreSQL (apt-get install postgresql)")
    assert binaries is not None
    # PostgreSQL refuses to run as root: there the server runs as nobody, who needs a folder of its own.
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-postgres-"))
    os.chown(folder, user, -1)
    port = free_port()

    def start(*command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    data = folder / "data"
    initdb = start(str(binaries / "initdb"), "-D", str(data), "-U", "parley", "-A", "trust", "--no-sync")
    assert initdb.wait() == 0, "initdb failed"
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    server = start(str(binaries / "postgres"), "-D", str(data), *options)
    url = f"postgresql://parley@127.0.0.1:{port}"
    try:
        for _attempt in range(200):
            try:
                psycopg2.connect(f"{url}/postgres").close()
                break
            except psycopg2.OperationalError:
                assert server.poll() is None, "postgres ended while starting"
                time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_postgres(postgres_server: str) -> Callable[[], str]:
    """Makes an empty PostgreSQL database and gives its SQLAlchemy URL."""

    def make() -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        connection = psycopg2.connect(f"{postgres_server}/postgres")
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{name}"')
        finally:
            connection.close()
        return f"{postgres_server}/{name}"

    return make


@pytest.fixture
def postgres(make_postgres: Callable[[], str]) -> str:
    """SQLAlchemy URL of an empty PostgreSQL database."""
    return make_postgres()


@contextlib.contextmanager
def redis_on(port: int, folder: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real Redis, empty, on a port of this machine, once it answers."""
    executable = shutil.which("redis-server")
    if executable is None:
        missing("Redis (apt-get install redis-server)")
    assert executable is not None
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = shutil.which("redis-cli")
    try:
        for _attempt in range(200):
            if client and subprocess.run([client, "-p", str(port), "ping"], capture_output=True).stdout == b"PONG\n":
                break
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def redis_server(tmp_path: pathlib.Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real Redis on a free port: its URL and process."""
    port = free_port()
    with redis_on(port, tmp_path) as process:
        yield f"redis://127.0.0.1:{port}/0", process
