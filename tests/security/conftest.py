"""The whole mesh with two organisations on it: everybody's credentials, and what one of them made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format

from tests.e2e.conftest import MeshStack, canned_upstream, running_stack, stack_settings
from tests.security.methods import METHODS, Answer, Metadata

# The same stack as that of the tests from end to end, one of our own.
__all__ = ["canned_upstream", "running_stack", "stack_settings"]
ROLES = ("viewer", "member", "admin", "operator")


def user(role: str) -> str:
    """The id of the user who has a role."""
    return f"{role}-account"


def bearer(secret: str) -> Metadata:
    """Metadata with a credential."""
    return (("authorization", f"Bearer {secret}"),)


@dataclass
class Mesh:
    """A running mesh as clients see it."""

    stack: MeshStack
    channel: grpc.Channel
    """To the gateway."""
    operator: str
    """The API key of the organisation `default`'s first user, who is its administrator and operator."""
    keys: dict[str, str] = field(default_factory=dict)
    """API keys by role of the organisation `default`; `rival` is the administrator of another."""

    def call(self, method: str, who: str, **request: Any) -> Answer:
        """Calls a method by its short name, e.g. `SqlService.Ask`, as one of `keys`, or as `nobody`."""
        metadata = () if who == "nobody" else bearer(self.keys[who])
        return METHODS[method].call(self.channel, metadata, request)

    def answers(self, method: str, who: str, **request: Any) -> list[dict[str, Any]]:
        """The same for a call that has to succeed: all its answers as JSON."""
        return [
            json_format.MessageToDict(one)
            for one in METHODS[method].answers(self.channel, bearer(self.keys[who]), request)
        ]

    def upload(self, who: str) -> str:
        """Uploads the spoken question as a recording; its name."""
        headers = {"authorization": f"Bearer {self.keys[who]}", "content-type": "audio/wav"}
        data = self.stack.spoken_question.read_bytes()
        answer = httpx.post(f"{self.stack.url}/api/v1/recordings", content=data, headers=headers, timeout=60)
        name: str = answer.raise_for_status().json()["recording"]
        return name

    def made(self, method: str, who: str, **request: Any) -> dict[str, Any]:
        """The same for a call that has to succeed: its first answer as JSON."""
        answer = self.call(method, who, **request)
        assert answer.first is not None, f"{method}: {answer.code} {answer.message}"
        said: dict[str, Any] = json_format.MessageToDict(answer.first)
        return said


@pytest.fixture(scope="session")
def mesh(stack: MeshStack) -> Iterator[Mesh]:
    """The running mesh, with a user of each role, and a second organisation."""
    operator = (stack.settings.state / "key").read_text().strip()
    with grpc.insecure_channel(stack.address) as channel:
        mesh = Mesh(stack, channel, operator, {"operator": operator})
        for role in ROLES[:3]:
            account = {"roles": [f"ROLE_{role.upper()}"], "kind": "USER_KIND_SERVICE_ACCOUNT"}
            mesh.made("IdentityService.CreateUser", "operator", user=account, userId=user(role))
            made = mesh.made("ApiKeyService.CreateApiKey", "operator", apiKey={"user": f"users/{user(role)}"})
            mesh.keys[role] = made["secret"]
        organisation = {"tier": "enterprise"}
        founded = mesh.made(
            "IdentityService.CreateOrganisation",
            "operator",
            organisation=organisation,
            organisationId="rivals",
            adminId="boss",
        )
        mesh.keys["rival"] = founded["secret"]
        yield mesh
