"""The `parley` command as a real process, through a real Envoy, against a real identity service."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cli import credentials
from deploy.local import processes, state
from parley.identity.v1 import usage_pb2
from tests.identity.conftest import PASSWORD, Identity, Start
from tests.identity.test_envoy import BOTH, gateway

Run = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


def runs(state_folder: Path, url: str) -> None:
    """Makes a folder the state of a stack that runs, as this process, with its gateway there."""
    (state_folder / "run").mkdir(exist_ok=True)
    pid = os.getpid()
    state.write(state_folder, state.StackState(pid, processes.start_time(pid), url, []))


@pytest.fixture
async def stack(starting: Start, tmp_path: Path) -> AsyncIterator[tuple[Identity, Run]]:
    """An identity service behind Envoy, and the command, whose state folder has the first administrator's key."""
    identity = await starting(f"sqlite:///{tmp_path}/identity.db")
    with gateway(tmp_path, identity.address, BOTH[0]) as address:
        runs(tmp_path, f"http://{address}")

        async def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
            # `parley up` has the key written here; the fixture's service did so too.
            given = {"PARLEY_STATE": str(tmp_path), "PARLEY_GATEWAY": f"http://{address}", **environment}
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
            return await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "cli", *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                env=inherited | given,
                timeout=60,
            )

        yield identity, run


async def test_keys_are_made_used_rotated_and_revoked(stack: tuple[Identity, Run]) -> None:
    _identity, run = stack
    made = await run("keys", "create", "for CI", "--scope", "chat", "--scope", "keys", "--expires", "90d")
    secret = made.stdout.strip()
    assert secret.startswith("sk-parley-"), made.stderr
    listed = [line.split("\t") for line in (await run("keys", "list")).stdout.splitlines()]
    (row,) = [row for row in listed if row[2] == "for CI"]
    assert (row[1], row[3], row[4][:6]) == ("admin", "chat keys", "until ")
    assert secret not in json.dumps(listed)
    refused = await run("users", "list", PARLEY_API_KEY=secret)
    assert (refused.returncode, "users:admin" in refused.stderr) == (1, True)
    rotated = (await run("keys", "rotate", row[0], "--overlap", "0s")).stdout.strip()
    assert (await run("keys", "list", PARLEY_API_KEY=secret)).returncode == 1
    assert (await run("keys", "list", PARLEY_API_KEY=rotated)).returncode == 0
    identifier = rotated.split("-")[2]
    assert "--yes" in (await run("keys", "revoke", identifier)).stderr
    assert (await run("keys", "revoke", identifier, "--yes")).returncode == 0
    out = await run("keys", "list", PARLEY_API_KEY=rotated)
    assert (out.returncode, "parley login" in out.stderr) == (1, True)


async def test_a_user_logs_in_and_out(stack: tuple[Identity, Run], tmp_path: Path) -> None:
    _identity, run = stack
    added = await run("users", "create", "lan", "--name", "Lan", "--password", stdin=PASSWORD + "\n")
    assert added.returncode == 0, added.stderr
    assert "lan\tLan\tmember\tperson" in (await run("users", "list")).stdout
    wrong = await run("login", "lan", stdin="not the password\n")
    assert (wrong.returncode, "wrong" in wrong.stderr) == (1, True)
    logged_in = await run("login", "lan", stdin=PASSWORD + "\n")
    assert "Logged in as lan of default" in logged_in.stderr
    assert stat.S_IMODE((tmp_path / "logins.json").stat().st_mode) == 0o600
    assert "user\tlan" in (await run("users", "show")).stdout
    # As if a day had passed: the next command renews the login by itself.
    logins = json.loads((tmp_path / "logins.json").read_text())
    for kept in logins.values():
        kept["expires"] = 0
    (tmp_path / "logins.json").write_text(json.dumps(logins))
    assert "user\tlan" in (await run("users", "show")).stdout
    assert json.loads((tmp_path / "logins.json").read_text()) != logins
    assert "Logged out" in (await run("logout")).stderr
    assert "user\tadmin" in (await run("users", "show")).stdout, "the key of this machine's stack again"


async def test_the_key_of_this_machine_goes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-parley-mine\n")
    monkeypatch.setenv("PARLEY_STATE", str(tmp_path))
    monkeypatch.delenv("PARLEY_API_KEY", raising=False)
    assert credentials.headers("http://127.0.0.1:8080") == {}, "nobody knows who listens there"
    runs(tmp_path, "http://127.0.0.1:8080")
    for known in ("http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"):
        assert credentials.headers(known) == {"authorization": "Bearer sk-parley-mine"}
    for other in (
        "http://127.0.0.1:8081",
        "https://127.0.0.1:8080",
        "https://parley.example.com",
        "http://127.0.0.1.example.com:8080",
    ):
        assert credentials.headers(other) == {}, other
    left = state.read(tmp_path)
    assert left is not None
    state.write(tmp_path, dataclasses.replace(left, started=1))
    assert credentials.headers("http://127.0.0.1:8080") == {}, "what a killed stack left says nothing of who is there"


async def test_a_key_of_the_environment_goes_before_a_login_and_before_the_stacks_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:8080"
    (tmp_path / "key").write_text("sk-parley-mine\n")
    runs(tmp_path, url)
    monkeypatch.setenv("PARLEY_STATE", str(tmp_path))
    monkeypatch.delenv("PARLEY_API_KEY", raising=False)
    credentials.keep(url, {"accessToken": "a.b.c", "refreshToken": "r", "expiresIn": "86400s"})
    assert credentials.headers(url) == {"authorization": "Bearer a.b.c"}
    monkeypatch.setenv("PARLEY_API_KEY", "sk-parley-given")
    assert credentials.headers(url) == {"authorization": "Bearer sk-parley-given"}
    monkeypatch.delenv("PARLEY_API_KEY")
    assert credentials.forget(url) == "r"
    assert credentials.headers(url) == {"authorization": "Bearer sk-parley-mine"}


async def test_users_are_changed_and_deleted(stack: tuple[Identity, Run]) -> None:
    _identity, run = stack
    assert (await run("users", "create", "bot", "--service-account", "--role", "viewer")).returncode == 0
    assert (await run("users", "update", "bot", "--name", "A bot", "--disable")).returncode == 0
    assert "bot\tA bot\tviewer\tdisabled" in (await run("users", "list")).stdout
    assert (await run("users", "update", "bot")).returncode == 2
    assert (await run("users", "delete", "bot", "--yes")).returncode == 0
    gone = await run("users", "show", "bot")
    assert (gone.returncode, "parley users list" in gone.stderr) == (1, True)


async def test_the_audit_log_and_usage_are_shown(stack: tuple[Identity, Run], tmp_path: Path) -> None:
    identity, run = stack
    await run("users", "create", "lan")
    shown = (await run("audit", "--action", "users.create", "--user", "admin")).stdout.splitlines()
    assert [line.split("\t")[1:5] for line in shown] == [["admin", "users.create", "users/lan", "done"]]
    exported = tmp_path / "audit.jsonl"
    assert (await run("audit", "--export", str(exported))).returncode == 0
    assert [json.loads(line)["action"] for line in exported.read_text().splitlines()][:2] == ["users.create"] * 2
    record = usage_pb2.UsageRecord(
        subject="default/lan", service="chat", model="m", unit=usage_pb2.USAGE_UNIT_TOKENS, amount=1234
    )
    await identity.usage.RecordUsage(usage_pb2.RecordUsageRequest(records=[record], batch_id="b" * 16))
    assert (await run("usage", "--by", "user", "--by", "model")).stdout == "lan\tm\ttokens\t1,234\n"
