"""Real processes: two at once on one PostgreSQL, started together, stopped by SIGTERM."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from parley.identity.v1 import identity_pb2, identity_pb2_grpc, keys_pb2, keys_pb2_grpc
from tests.conftest import ROOT, free_port
from tests.identity.conftest import FERNET, bearer

ROLES = identity_pb2.ListRolesRequest()


def start(port: int, database: str, folder: Path) -> subprocess.Popen[str]:
    """Starts a service as an operator does: by its settings in the environment."""
    given = {
        "PARLEY_IDENTITY_LISTEN": f"127.0.0.1:{port}",
        "PARLEY_IDENTITY_DATABASE_URL": database,
        "PARLEY_IDENTITY_ENCRYPTION_KEY": FERNET,
        "PARLEY_IDENTITY_ADMIN_KEY_FILE": str(folder / "key"),
        "PARLEY_IDENTITY_TOKEN_ALGORITHM": "EdDSA",
        "PARLEY_IDENTITY_DRAIN_SECONDS": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "services.identity"],
        env=os.environ | given,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


async def lets_in(channel: grpc.aio.Channel, secret: str) -> bool:
    """Whether a key is let in."""
    stub: Any = identity_pb2_grpc.IdentityServiceStub(channel)
    try:
        await stub.ListRoles(ROLES, metadata=bearer(secret), wait_for_ready=True, timeout=60)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False
    return True


async def test_a_key_revoked_in_one_process_is_out_in_the_other(postgres: str, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    processes = [start(port, postgres, tmp_path) for port in ports]
    try:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as one,
            grpc.aio.insecure_channel(f"127.0.0.1:{ports[1]}") as two,
        ):
            await asyncio.gather(*(channel.channel_ready() for channel in (one, two)))
            key = (tmp_path / "key").read_text().strip()
            assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
            assert await lets_in(one, key)
            assert await lets_in(two, key)
            keys: Any = keys_pb2_grpc.ApiKeyServiceStub(one)
            made = await keys.CreateApiKey(keys_pb2.CreateApiKeyRequest(), metadata=bearer(key))
            assert await lets_in(two, made.secret)
            await keys.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=made.api_key.name), metadata=bearer(key))
            await asyncio.sleep(1.0)
            assert not await lets_in(two, made.secret)
            listed: Any = await identity_pb2_grpc.IdentityServiceStub(two).ListUsers(
                identity_pb2.ListUsersRequest(), metadata=bearer(key)
            )
            assert len(listed.users) == 1, "of two that start at once, one makes the first administrator"
        for process in processes:
            process.terminate()
        logs = [process.communicate(timeout=30)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], logs
        assert not any(secret in log for log in logs for secret in (key, made.secret))
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_settings_that_do_not_fit_are_said(tmp_path: Path) -> None:
    for name, value in (
        ("TIERS", '{"free": {"requests": "many"}}'),
        ("ENCRYPTION_KEY", "short"),
        ("DEFAULT_TIER", "x"),
    ):
        variable = f"PARLEY_IDENTITY_{name}"
        done = subprocess.run(
            [sys.executable, "-m", "services.identity"],
            env=os.environ | {variable: value, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert "PARLEY_IDENTITY_" in done.stderr or "IdentitySettings" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests do not count."""
    for name in [name for name in os.environ if name.startswith("PARLEY_IDENTITY_")]:
        monkeypatch.delenv(name)
