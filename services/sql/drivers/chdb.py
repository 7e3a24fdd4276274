"""chDB folders: ClickHouse inside a process of its own, one for each folder, asked like a server.

A process of its own, because chDB opens one folder in a process, takes hundreds of megabytes, and must not take the
service with it when a statement exhausts the memory.
"""

from __future__ import annotations

import atexit
import importlib.util
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from services.sql.drivers.clickhouse import ClickhouseSession
from services.sql.errors import DatabaseUnreachable
from services.sql.hosts import Hosts
from services.sql.target import Target

if importlib.util.find_spec("chdb") is None:
    raise ModuleNotFoundError("chdb is not installed", name="chdb")

# How long a server may take to open its folder, in seconds.
_START_SECONDS = 30.0


@dataclass
class _Server:
    """A running server."""

    process: subprocess.Popen[str]
    port: int
    token: str


_servers: dict[Path, _Server] = {}
_lock = threading.Lock()


def connect(target: Target, _hosts: Hosts) -> ClickhouseSession:
    """A session with the server of a folder, which is at no host; it is started where none runs.

    Raises DatabaseUnreachable.
    """
    with _lock:
        server = _servers.get(target.path)
        if server is None or server.process.poll() is not None:
            server = _servers[target.path] = _start(target.path)
    database = str(target.url.query.get("database", "default"))
    url = URL.create("clickhouse", "parley", server.token, "127.0.0.1", server.port, database)
    return ClickhouseSession(Target(url), ["127.0.0.1"])


def _start(path: Path) -> _Server:
    token = secrets.token_urlsafe(24)
    process = subprocess.Popen(
        [sys.executable, "-m", "services.sql.drivers.chdb_server", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    # The token goes through the pipe, not the command line, which others can read. The server ends when the pipe does.
    process.stdin.write(token + "\n")
    process.stdin.flush()
    alarm = threading.Timer(_START_SECONDS, process.kill)
    alarm.start()
    line = process.stdout.readline()
    alarm.cancel()
    if not line.strip().isdigit():
        process.kill()
        process.wait()
        raise DatabaseUnreachable("The folder cannot be opened: it is no chDB folder, or open elsewhere.")
    return _Server(process, int(line), token)


@atexit.register
def close() -> None:
    """Ends all servers."""
    with _lock:
        found = list(_servers.values())
        _servers.clear()
    for server in found:
        server.process.terminate()
        server.process.wait()
        for pipe in (server.process.stdin, server.process.stdout):
            if pipe is not None:
                pipe.close()
