"""Who may talk to whom: nobody without a key comes in, and nobody without a certificate gets behind the gateway."""

from __future__ import annotations

import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local import stack as local
from deploy.local.components import HEALTH, TRITON
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from services.mesh import channels
from services.mesh.certificates import Certificates
from services.mesh.context import IDENTITY_PREFIX, SUBJECT
from tests.cli.conftest import environment
from tests.conftest import ROOT
from tests.e2e.conftest import MeshStack

BEHIND = (*HEALTH, TRITON)
LISTED = "/api/v1/conversations"


@pytest.fixture
def member(stack: MeshStack) -> Iterator[httpx.Client]:
    """Somebody else of the organisation, with a key of their own."""
    stack.http.post("/api/v1/users", json={"userId": "lan", "user": {"roles": ["ROLE_MEMBER"]}}).raise_for_status()
    made = stack.http.post("/api/v1/apiKeys", json={"user": "users/lan", "displayName": "of lan"})
    assert made.status_code == 200, made.text
    headers = {"authorization": f"Bearer {made.json()['secret']}"}
    try:
        with httpx.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client:
            yield client
    finally:
        stack.http.delete("/api/v1/users/lan").raise_for_status()


def port_of(stack: MeshStack, name: str) -> int:
    """The port of a component."""
    (found,) = [component.port for component in local.status(stack.settings.state).components if component.name == name]
    return found


def refusal(channel: grpc.Channel) -> Any:
    """How the simplest of all calls ends, by somebody who claims to be the administrator."""
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=5, metadata=((SUBJECT, "default/admin"),)
        )
    return caught.value.code()


def test_without_a_key_nobody_comes_in(stack: MeshStack) -> None:
    with httpx.Client(base_url=stack.url, trust_env=False) as stranger:
        for path in ("/v1/models", "/api/v1/databases", "/sdapi/v1/options", LISTED):
            answer = stranger.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"]
        assert stranger.get("/healthz").status_code == 200
    with grpc.insecure_channel(stack.address) as channel, pytest.raises(grpc.RpcError) as caught:
        chat_pb2_grpc.ChatServiceStub(channel).ListModels(chat_pb2.ListModelsRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_command_says_what_to_do_without_a_key(stack: MeshStack) -> None:
    command = [sys.executable, "-m", "cli", "models"]
    told = {**environment(stack.url), "PARLEY_STATE": str(stack.settings.state / "run")}
    done = subprocess.run(command, env=told, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "parley login" in done.stderr
    assert "PARLEY_API_KEY" in done.stderr


def test_the_administrators_key_is_nobody_elses_to_read(stack: MeshStack) -> None:
    assert stat.S_IMODE(stack.settings.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stack.settings.state.stat().st_mode) & 0o077 == 0


def test_who_calls_is_not_what_headers_say(stack: MeshStack, member: httpx.Client) -> None:
    mine = stack.http.post(LISTED, json={"title": "of the administrator"}).json()["conversation"]["name"]
    assert mine in stack.http.get(LISTED).text
    claims = {
        f"{IDENTITY_PREFIX}{name}": value
        for name, value in (
            ("subject", "default/admin"),
            ("organisation", "default"),
            ("user", "admin"),
            ("roles", "admin,operator"),
        )
    }
    assert member.get(LISTED, headers=claims).json().get("conversations", []) == []
    assert member.get(f"/api/v1/{mine}", headers=claims).status_code == 404
    assert member.get("/api/v1/users", headers=claims).status_code == 403
    assert stack.http.get(f"/api/v1/{mine}").status_code == 200


@pytest.mark.parametrize("name", BEHIND)
def test_nobody_gets_behind_the_gateway_without_a_certificate(stack: MeshStack, name: str) -> None:
    address = f"127.0.0.1:{port_of(stack, name)}"
    authority = stack.settings.certificate("gateway").authority.read_bytes()
    named = [("grpc.ssl_target_name_override", name)]
    with (
        grpc.insecure_channel(address) as plaintext,
        grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), named) as without_certificate,
    ):
        assert refusal(plaintext) is grpc.StatusCode.UNAVAILABLE
        assert refusal(without_certificate) is grpc.StatusCode.UNAVAILABLE
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=5)


@pytest.mark.parametrize("name", BEHIND)
async def test_with_the_gateways_certificate_each_answers_to_its_own_name(stack: MeshStack, name: str) -> None:
    address = f"127.0.0.1:{port_of(stack, name)}"
    own = Certificates(*stack.settings.certificate("gateway"))
    request = health_pb2.HealthCheckRequest()
    async with channels.channel(f"{name}@{address}", own) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    async with channels.channel(f"somebody@{address}", own) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
