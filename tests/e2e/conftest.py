"""The whole stack, started once: real Envoy, real Triton, every service, a sample shop, and a spoken question."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from deploy.local import espeak, sample_shop, stack
from deploy.local.settings import StackSettings
from tests.conftest import ROOT, free_port

SPOKEN = "how many customers are there"
CANNED_MODEL = "canned"


@dataclass(frozen=True)
class MeshStack:
    """A running stack."""

    settings: StackSettings
    shop: Path
    """The sample shop's SQLite file, registered as databases/shop."""
    spoken_question: Path
    """A WAV file that says SPOKEN."""
    http: httpx.Client
    """Sends the first administrator's key along."""

    @property
    def address(self) -> str:
        """host:port of the gateway."""
        return f"127.0.0.1:{self.settings.port}"

    @property
    def url(self) -> str:
        """Base URL of the gateway."""
        return self.settings.url

    @property
    def key(self) -> str:
        """The first administrator's API key."""
        return self.settings.key_file.read_text().strip()

    def channel(self) -> grpc.Channel:
        """A gRPC channel that sends the key with every call, in plaintext, which gRPC allows on loopback."""
        key = grpc.access_token_call_credentials(self.key)
        return grpc.secure_channel(
            self.address, grpc.composite_channel_credentials(grpc.local_channel_credentials(), key)
        )

    def shop_row(self, sql: str) -> tuple[Any, ...]:
        """The first row that the shop itself answers a statement with."""
        connection = sqlite3.connect(self.shop)
        try:
            row: tuple[Any, ...] = connection.execute(sql).fetchone()
        finally:
            connection.close()
        return row

    def spoken_samples(self) -> tuple[int, bytes]:
        """Samples per second and 16-bit samples of the spoken question."""
        with wave.open(str(self.spoken_question), "rb") as file:
            return file.getframerate(), file.readframes(file.getnframes())


@contextmanager
def client(settings: StackSettings) -> Iterator[httpx.Client]:
    """A client of a running stack's gateway that sends the first administrator's key."""
    key = settings.key_file.read_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=settings.url, headers=headers, timeout=120, trust_env=False) as made:
        yield made


def register(http: httpx.Client, name: str, file: str) -> None:
    """Registers a SQLite file below the stack's databases/ folder, over REST."""
    answer = http.post(
        "/api/v1/databases",
        params={"database_id": name},
        json={"url": f"sqlite:///{file}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="session")
def canned_upstream() -> Iterator[str]:
    """Base URL of an OpenAI-compatible provider that answers everything with one fixed text."""
    process = subprocess.Popen([sys.executable, "-m", "bench.upstream"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="session")
def stack_settings(tmp_path_factory: pytest.TempPathFactory) -> StackSettings:
    """Settings with a state folder and ports of the test run's own."""
    return StackSettings(state=tmp_path_factory.mktemp("stack"), port=free_port(), admin_port=free_port())


@pytest.fixture(scope="session", name="stack")
def running_stack(
    stack_settings: StackSettings, canned_upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MeshStack]:
    """The running stack, with the shop registered."""
    providers = [{"name": "canned", "base_url": canned_upstream, "api_key": "x", "models": [CANNED_MODEL]}]
    shop = stack_settings.state / "databases" / "shop.db"
    shop.parent.mkdir(parents=True)
    sample_shop.build(shop)
    spoken = espeak.synthesise(SPOKEN, tmp_path_factory.mktemp("audio") / "question.wav")
    os.environ["PARLEY_CHAT_PROVIDERS"] = json.dumps(providers)
    try:
        stack.detach(stack_settings, lambda _event: None)
    finally:
        del os.environ["PARLEY_CHAT_PROVIDERS"]
    try:
        with client(stack_settings) as http:
            register(http, "shop", shop.name)
            yield MeshStack(stack_settings, shop, spoken, http)
    finally:
        stack.down(stack_settings.state)
