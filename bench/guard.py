"""The identity service for benches that put Envoy before servers of their own: it asks about every request."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import yaml

from bench import key_store
from deploy.local import certificates, ports
from deploy.local.probes import Secured, grpc_serving
from gateway.config import Endpoint
from gateway.settings import GatewaySettings
from services.identity.settings import IdentitySettings
from services.mesh import telemetry

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 60.0
GATEWAY = GatewaySettings(requests_per_second=1_000_000)
"""All load comes from one address here, which is what floods do."""
FILTERS = {
    "envoy.filters.http.cors",
    "envoy.filters.http.local_ratelimit",
    "envoy.filters.http.jwt_authn",
    "parley.decisions",
    "envoy.filters.http.ext_authz",
    "envoy.filters.http.rbac",
}
"""Envoy's filters that decide about who calls and how often."""
NAMES = ("gateway", "chat", "identity")
"""Who has a certificate."""


class Guard(NamedTuple):
    """A running identity service."""

    endpoint: Endpoint
    key: str
    """The first administrator's API key, which has no limits."""
    keys: list[str]
    """More keys of that user."""
    certificates: Path | None = None
    """Folder of everybody's, where services talk by mutual TLS."""

    @property
    def gateway(self) -> GatewaySettings:
        """What the gateway is told."""
        if self.certificates is None:
            return GATEWAY
        own = certificates.files(self.certificates, "gateway")
        return replace(
            GATEWAY, mesh_certificate_file=own.certificate, mesh_key_file=own.key, mesh_ca_file=own.authority
        )

    def chat(self) -> dict[str, str]:
        """What the chat service is told besides: its certificate, and whom it reports usage to."""
        port = f"127.0.0.1:{self.endpoint.port}"
        target = port if self.certificates is None else f"identity@{port}"
        return {"PARLEY_CHAT_IDENTITY_TARGET": target, **transport("chat", self.certificates)}


def transport(name: str, folder: Path | None) -> dict[str, str]:
    """The environment of a service that has its certificate in a folder; none where that is None."""
    if folder is None:
        return {}
    own = certificates.files(folder, name)
    files = {"CERTIFICATE": own.certificate, "KEY": own.key, "CA": own.authority}
    return {f"PARLEY_{name.upper()}_TLS_{what}_FILE": str(file) for what, file in files.items()}


@contextmanager
def identity(
    folder: Path, *, keys: int = 0, in_use: int = 0, secured: bool = False, tiers: str = ""
) -> Iterator[Guard]:
    """An identity service with its storage in a folder, in a process of its own.

    Args:
        folder: Where its storage is; made if absent.
        keys: How many API keys it has besides the first.
        in_use: Of how many of them the secrets are given.
        secured: Whether services talk by mutual TLS.
        tiers: PARLEY_IDENTITY_TIERS, of which the organisation gets `free`; empty: it has no limits.
    """
    folder.mkdir(exist_ok=True)
    made = folder / "certificates" if secured else None
    if made is not None:
        certificates.ensure(made, NAMES)
    (port,) = ports.free(1)
    environment = {
        "PARLEY_IDENTITY_LISTEN": f"127.0.0.1:{port}",
        "PARLEY_IDENTITY_DATABASE_URL": f"sqlite:///{folder}/identity.db",
        "PARLEY_IDENTITY_ADMIN_KEY_FILE": f"{folder}/key",
        "PARLEY_IDENTITY_LOG_LEVEL": "error",
        **transport("identity", made),
    }
    if tiers:
        environment |= {"PARLEY_IDENTITY_TIERS": tiers, "PARLEY_IDENTITY_FIRST_TIER": "free"}
    secrets = asyncio.run(_prepare(environment, keys))[:in_use] if keys else []
    prober = None if made is None else Secured(certificates.client(certificates.files(made, "gateway")), "identity")
    ready = grpc_serving(port, ["parley.identity.v1.IdentityService"], prober)
    command = [sys.executable, "-m", "services.identity"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | environment) as process:
        try:
            give_up = time.monotonic() + SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > give_up:
                    raise SystemExit("the identity service does not start")
                time.sleep(0.1)
            yield Guard(Endpoint("127.0.0.1", port), (folder / "key").read_text().strip(), secrets, made)
        finally:
            process.kill()


def take_off(folder: Path) -> None:
    """Takes the filters that protect out of the listener of an Envoy that will run in a folder."""
    file = folder / "listener.yaml"
    listener = yaml.safe_load(file.read_text())
    [chain] = listener["resources"][0]["filter_chains"]
    counting, manager = chain["filters"]
    assert counting["name"] == "envoy.filters.network.wasm"
    filters = manager["typed_config"]["http_filters"]
    assert {one["name"] for one in filters} >= FILTERS
    filters[:] = [one for one in filters if one["name"] not in FILTERS]
    chain["filters"] = [manager]
    # JSON is YAML too.
    file.write_text(json.dumps(listener))


async def _prepare(environment: dict[str, str], keys: int) -> list[str]:
    """Fills the store before the service has it."""
    names = ("DATABASE_URL", "ADMIN_KEY_FILE", "LOG_LEVEL")
    given = {name.lower(): environment[f"PARLEY_IDENTITY_{name}"] for name in names}
    if "PARLEY_IDENTITY_FIRST_TIER" in environment:
        given["first_tier"] = "free"
    telemetry.configure_logs("bench", "error")
    return await key_store.prepare(IdentitySettings.model_validate(given), keys)
