"""What identity answered a moment ago holds for the same request of the same caller, and for nothing else."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest

from parley.identity.v1 import identity_pb2, identity_pb2_grpc, keys_pb2, keys_pb2_grpc
from tests.conftest import free_port
from tests.gateway.conftest import Gateway, envoy, identity_service, scripted, wait_for
from tests.gateway.test_access import FORGED, METADATA, Member, seen


def asked(gateway: Gateway) -> int:
    """How often identity has been asked."""
    stats = httpx.get(f"http://{gateway.admin}/stats?filter=ext_authz.*\\.(ok|denied|error)$").text
    return sum(int(count) for count in re.findall(r": (\d+)$", stats, re.MULTILINE))


@pytest.fixture(scope="module")
def member(gateway: Gateway) -> Member:
    """A member without limits: the first organisation's tier has none."""
    return Member(gateway, "chat")


def test_many_of_the_same_are_asked_about_a_few_times(gateway: Gateway, stranger: httpx.Client, member: Member) -> None:
    first = seen(stranger.get(METADATA, headers=member.bearer))
    before = asked(gateway)
    answers = [stranger.get(METADATA, headers=member.bearer) for _ in range(200)]
    assert asked(gateway) - before < len(answers) / 2
    assert [seen(answer) for answer in answers] == [first] * len(answers)
    metadata = [json.loads(answer.json()["conversation"]["title"]) for answer in answers]
    assert not any({"authorization", "x-api-key"} & set(one) for one in metadata), "the key reaches no service"


def test_nobody_gets_what_was_said_of_another(stranger: httpx.Client, gateway: Gateway, member: Member) -> None:
    other = Member(gateway, "chat")
    ways: dict[str, Callable[[], httpx.Response]] = {
        "lan": lambda: stranger.get(METADATA, headers=member.bearer),
        "binh": lambda: stranger.get(METADATA, headers={"x-api-key": other.key}),
        "nobody": lambda: stranger.get(METADATA),
        "both": lambda: stranger.get(METADATA, headers={**member.bearer, "x-api-key": other.key}),
        "almost": lambda: stranger.get(METADATA, headers={"authorization": f"Bearer {member.key}x"}),
        "forged": lambda: stranger.get(METADATA, headers={**FORGED, **member.bearer}),
        "elsewhere": lambda: stranger.get("/api/v1/databases/shop", headers=member.bearer),
        "otherwise": lambda: stranger.delete(METADATA.replace("metadata", "x"), headers={"x-api-key": "none"}),
    }
    for _ in range(30):
        answers = {way: ask() for way, ask in ways.items()}
        assert seen(answers["lan"])["subject"] == seen(answers["forged"])["subject"] == member.subject
        assert seen(answers["binh"])["subject"] == other.subject
        refused = {way: answer.status_code for way, answer in answers.items() if answer.status_code != 200}
        assert refused == {"nobody": 401, "both": 401, "almost": 401, "elsewhere": 403, "otherwise": 401}


def test_by_grpc_too(gateway: Gateway, member: Member) -> None:
    with grpc.insecure_channel(gateway.address) as channel:
        roles = identity_pb2_grpc.IdentityServiceStub(channel).ListRoles
        for _ in range(20):
            assert roles(identity_pb2.ListRolesRequest(), metadata=(("authorization", f"Bearer {member.key}"),)).roles
            with pytest.raises(grpc.RpcError) as refused:
                roles(identity_pb2.ListRolesRequest())
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_calls_that_are_limited_are_all_counted(gateway: Gateway, stranger: httpx.Client) -> None:
    with gateway.channel() as channel:
        request = identity_pb2.CreateOrganisationRequest(
            organisation=identity_pb2.Organisation(tier="pro"), organisation_id="counted", admin_id="boss"
        )
        key = identity_pb2_grpc.IdentityServiceStub(channel).CreateOrganisation(request).secret
    answers = [stranger.get(METADATA, headers={"x-api-key": key}) for _ in range(20)]
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    # The window may end in between.
    assert sum(after == before - 1 for before, after in itertools.pairwise(left)) >= len(left) - 2


@pytest.mark.parametrize("what", ["the key is revoked", "the user is locked"])
def test_what_is_taken_back_is_out_however_often_it_is_used(
    gateway: Gateway, stranger: httpx.Client, what: str
) -> None:
    leaving = Member(gateway, "chat")
    for _ in range(20):
        assert stranger.get(METADATA, headers=leaving.bearer).status_code == 200
    with gateway.channel() as channel:
        if what == "the key is revoked":
            name = f"apiKeys/{leaving.key.split('-')[2]}"
            keys_pb2_grpc.ApiKeyServiceStub(channel).RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=name))
        else:
            user = identity_pb2.User(name=f"users/{leaving.name}", disabled=True)
            identity_pb2_grpc.IdentityServiceStub(channel).UpdateUser(identity_pb2.UpdateUserRequest(user=user))
    wait_for(lambda: stranger.get(METADATA, headers=leaving.bearer).status_code == 401, 30, what)
    assert {stranger.get(METADATA, headers=leaving.bearer).status_code for _ in range(20)} == {401}


def test_an_identity_that_hangs_is_not_forgotten(tmp_path: Path) -> None:
    port = free_port()
    with (
        scripted(port, tmp_path / "services.log"),
        identity_service(tmp_path) as identity,
        envoy(tmp_path, port, identity) as gateway,
        httpx.Client(base_url=gateway.url, headers=gateway.bearer, timeout=60) as http,
    ):
        wait_for(lambda: http.get(METADATA).status_code == 200, 30, "the services")
        os.kill(identity.process.pid, signal.SIGSTOP)
        try:
            # What was said before holds for a moment, and then nobody passes.
            assert until(lambda: http.get(METADATA).status_code == 503)
            assert http.get(METADATA).status_code == 503
        finally:
            os.kill(identity.process.pid, signal.SIGCONT)
        assert until(lambda: http.get(METADATA).status_code == 200)


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    port = free_port()
    with (
        scripted(port, tmp_path / "services.log"),
        identity_service(tmp_path, more={"decision_seconds": "0"}) as identity,
        envoy(tmp_path, port, identity) as gateway,
        httpx.Client(base_url=gateway.url, headers=gateway.bearer, timeout=60) as http,
    ):
        wait_for(lambda: http.get(METADATA).status_code == 200, 30, "the services")
        before = asked(gateway)
        for _ in range(50):
            assert http.get(METADATA).status_code == 200
        assert asked(gateway) - before == 50


def until(condition: Callable[[], bool]) -> bool:
    """Whether a condition holds at last."""
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.1)
    return False
