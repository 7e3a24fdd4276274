"""The identity service hanging or gone: the gateway lets nobody in, says so in every dialect, and recovers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import httpx
import pytest

from deploy.local import stack as local
from tests.security.conftest import Mesh, bearer
from tests.security.methods import METHODS

PATHS = ("/api/v1/users/me", "/v1/models", "/sdapi/v1/samplers", "/api/v1/databases", "/nowhere")


def identity_pid(mesh: Mesh) -> int:
    """The identity service's process."""
    (found,) = [one for one in local.status(mesh.stack.settings.state).components if one.name == "identity"]
    return found.pid


def recover(mesh: Mesh) -> None:
    """Returns when credentials are looked at again."""
    for _ in range(600):
        if METHODS["ImageService.ListSamplers"].call(mesh.channel, bearer(mesh.keys["member"]), {}).code == (
            grpc.StatusCode.OK
        ):
            return
        time.sleep(0.1)
    pytest.fail("the gateway lets nobody in after the identity service is back")


@contextmanager
def hanging(mesh: Mesh) -> Iterator[None]:
    """The identity service takes connections and answers nothing."""
    pid = identity_pid(mesh)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        recover(mesh)


def test_while_it_hangs_nobody_gets_in(mesh: Mesh) -> None:
    headers = {"authorization": f"Bearer {mesh.keys['operator']}"}
    with hanging(mesh), httpx.Client(base_url=mesh.stack.url, headers=headers, timeout=60) as http:
        answers = {path: http.get(path) for path in PATHS}
        assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(PATHS, 503)
        assert answers["/v1/models"].json()["error"]["type"] == "server_error"
        assert answers["/api/v1/users/me"].json()["code"] == 14
        assert "detail" in answers["/sdapi/v1/samplers"].json()
        code = METHODS["ChatService.ListConversations"].call(mesh.channel, bearer(mesh.keys["operator"]), {}).code
        assert code == grpc.StatusCode.UNAVAILABLE
        # What is public needs nobody's leave.
        assert http.get("/openapi.json").status_code == 200


def test_when_it_is_killed_nobody_gets_in_and_it_comes_back(mesh: Mesh) -> None:
    before = identity_pid(mesh)
    os.kill(before, signal.SIGKILL)
    answers = set()
    for _ in range(600):
        answers.add(httpx.get(f"{mesh.stack.url}/v1/models", timeout=60).status_code)
        if identity_pid(mesh) not in (0, before) and 401 in answers:
            break
        time.sleep(0.05)
    # Never anything but a refusal, for whoever has no credential.
    assert answers <= {401, 503}
    recover(mesh)
