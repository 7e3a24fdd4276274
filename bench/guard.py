"""The identity service for benches that put Envoy before servers of their own: it asks about every request."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deploy.local import ports
from deploy.local.probes import grpc_serving
from gateway.config import Endpoint
from gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 60.0
GATEWAY = GatewaySettings(requests_per_second=1_000_000)
"""All load comes from one address here, which is what floods do."""


class Guard(NamedTuple):
    """A running identity service."""

    endpoint: Endpoint
    key: str
    """The first administrator's API key, which has no limits."""


@contextmanager
def identity(folder: Path) -> Iterator[Guard]:
    """An identity service with its storage in a folder, in a process of its own."""
    (port,) = ports.free(1)
    environment = {
        "PARLEY_IDENTITY_LISTEN": f"127.0.0.1:{port}",
        "PARLEY_IDENTITY_DATABASE_URL": f"sqlite:///{folder}/identity.db",
        "PARLEY_IDENTITY_ADMIN_KEY_FILE": f"{folder}/key",
        "PARLEY_IDENTITY_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "services.identity"]
    ready = grpc_serving(port, ["parley.identity.v1.IdentityService"])
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | environment) as process:
        try:
            give_up = time.monotonic() + SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > give_up:
                    raise SystemExit("the identity service does not start")
                time.sleep(0.1)
            yield Guard(Endpoint("127.0.0.1", port), (folder / "key").read_text().strip())
        finally:
            process.kill()
