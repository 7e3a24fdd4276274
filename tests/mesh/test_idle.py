"""What a service that nobody has asked anything yet has loaded: nothing that only some calls, or settings, need."""

from __future__ import annotations

import asyncio
import os
import pathlib
import subprocess
import sys

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh import channels
from tests.conftest import ROOT, free_port

SPARED = {
    "alembic": "a start with nothing to migrate, or one that had another process do it",
    "mako": "as Alembic, which brings it",
    "rich.console": "a console's logs",
    "pygments": "a console's logs",
    "aiohttp": "providers and recordings from URLs",
    "av": "recordings",
    "authlib": "OpenID providers",
    "clickhouse_connect": "databases of that kind",
    "cv2": "pictures that ControlNets follow",
    "docx": "transcripts as documents",
    "duckdb": "databases of that kind, uploads",
    "httpx2": "OpenID providers",
    "openpyxl": "workbooks",
    "opentelemetry": "traces",
    "pymongo": "databases of that kind",
    "redis": "limits that processes share",
    "s3fs": "object stores",
    "torch": "models, which are Triton's",
}
"""Modules, and what they are for."""
SERVICES = ("asr", "chat", "identity", "image", "sql")


@pytest.mark.parametrize("service", SERVICES)
async def test_an_idle_service_holds_only_what_every_call_needs(service: str, tmp_path: pathlib.Path) -> None:
    """The real process, its database new: every module that it loads until it listens."""
    address, said = f"127.0.0.1:{free_port()}", tmp_path / "imports"
    prefix = f"PARLEY_{service.upper()}_"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PARLEY_", "COV_"))}
    environment |= {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        f"{prefix}LISTEN": address,
        f"{prefix}DATABASE_URL": f"sqlite:///{tmp_path}/own.db",
        f"{prefix}ENCRYPTION_KEY": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=",
    }
    with said.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "importtime", "-m", f"services.{service}"),
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        async with channels.channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60)
    finally:
        process.terminate()
        await process.wait()
    lines = [line for line in said.read_text().splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert {"grpc", "sqlalchemy", "structlog"} <= loaded
    assert {name: SPARED[name] for name in loaded & set(SPARED)} == {}
    assert (tmp_path / "own.db").exists()
