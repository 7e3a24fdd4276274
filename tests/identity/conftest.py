"""Identity services as they run: on SQLite and on PostgreSQL, called by their stubs with real credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from ext_authz.v3 import external_auth_pb2 as envoy
from ext_authz.v3 import external_auth_pb2_grpc
from parley.identity.v1 import (
    audit_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    tokens_pb2_grpc,
    usage_pb2_grpc,
)
from services.identity.application import Application
from services.identity.settings import IdentitySettings
from services.mesh import server

PASSWORD = "correct horse battery"
FERNET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
Metadata = tuple[tuple[str, str], ...]


def bearer(secret: str) -> Metadata:
    """Metadata with a credential."""
    return (("authorization", f"Bearer {secret}"),)


@dataclass
class Identity:
    """A running identity service, its stubs, and the first administrator's key."""

    application: Application
    address: str
    key: str
    identity: Any
    keys: Any
    tokens: Any
    audit: Any
    usage: Any
    envoy: Any

    @property
    def admin(self) -> Metadata:
        """The first administrator's credential."""
        return bearer(self.key)

    async def user(self, user_id: str, *roles: identity_pb2.Role, **more: Any) -> identity_pb2.User:
        """Adds a user to the administrator's organisation; a member where no role is said."""
        wanted = identity_pb2.User(roles=roles or (identity_pb2.ROLE_MEMBER,), **more)
        password = "" if more.get("kind") == identity_pb2.USER_KIND_SERVICE_ACCOUNT else PASSWORD
        request = identity_pb2.CreateUserRequest(user=wanted, user_id=user_id, password=password)
        made: identity_pb2.CreateUserResponse = await self.identity.CreateUser(request, metadata=self.admin)
        return made.user

    async def key_of(self, user_id: str, *scopes: str, by: Metadata = ()) -> tuple[str, str]:
        """Makes a key for a user; its name and secret."""
        wanted = keys_pb2.ApiKey(user=f"users/{user_id}", scopes=scopes)
        made = await self.keys.CreateApiKey(keys_pb2.CreateApiKeyRequest(api_key=wanted), metadata=by or self.admin)
        return made.api_key.name, made.secret

    async def tenant(self, organisation: str, admin: str = "boss") -> Metadata:
        """Founds another organisation; its administrator's credential."""
        request = identity_pb2.CreateOrganisationRequest(
            organisation=identity_pb2.Organisation(), organisation_id=organisation, admin_id=admin
        )
        made = await self.identity.CreateOrganisation(request, metadata=self.admin)
        return bearer(made.secret)

    async def check(
        self,
        method: str = "/parley.identity.v1.IdentityService/ListRoles",
        *,
        verb: str = "POST",
        address: str = "192.0.2.7",
        **headers: str,
    ) -> envoy.CheckResponse:
        """What the gateway is answered about a request; underscores of header names stand for hyphens."""
        request = envoy.CheckRequest()
        request.attributes.source.address.socket_address.address = address
        http = request.attributes.request.http
        http.method, http.path = verb, method
        for name, value in headers.items():
            http.headers[name.replace("_", "-")] = value
        answer: envoy.CheckResponse = await self.envoy.Check(request)
        return answer


Start = Callable[..., Awaitable[Identity]]


@pytest.fixture
async def starting(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts identity services on a database; several share the key file in tmp_path."""
    async with AsyncExitStack() as stack:

        async def start(database_url: str, **more: Any) -> Identity:
            key_file = tmp_path / "key"
            given = {
                "database_url": database_url,
                "encryption_key": FERNET,
                "admin_key_file": key_file,
                "drain_seconds": 0,
                "batch_seconds": 0.05,
                # Made in a millisecond, where RSA takes a second on a busy machine.
                "token_algorithm": "EdDSA",
                **more,
            }
            application = Application(IdentitySettings.model_validate(given))
            await application.start()
            stack.push_async_callback(application.close)
            address = await stack.enter_async_context(
                server.running(
                    IdentitySettings(drain_seconds=0), application.bound, dependencies=application.dependencies
                )
            )
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            return Identity(
                application,
                address,
                key_file.read_text().strip(),
                identity_pb2_grpc.IdentityServiceStub(channel),
                keys_pb2_grpc.ApiKeyServiceStub(channel),
                tokens_pb2_grpc.TokenServiceStub(channel),
                audit_pb2_grpc.AuditServiceStub(channel),
                usage_pb2_grpc.UsageServiceStub(channel),
                external_auth_pb2_grpc.AuthorizationStub(channel),
            )

        yield start


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLAlchemy URL of an empty database: each kind in its turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/identity.db"
    url: str = request.getfixturevalue("postgres")
    return url


@pytest.fixture
async def stored(starting: Start, database_url: str) -> Identity:
    """An identity service on SQLite, then one on PostgreSQL."""
    return await starting(database_url)


@pytest.fixture
async def service(starting: Start, tmp_path: Path) -> Identity:
    """An identity service on SQLite."""
    return await starting(f"sqlite:///{tmp_path}/identity.db")


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
