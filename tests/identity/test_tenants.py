"""Tenants do not see each other: every RPC of the service, every field that takes a name, asked by another tenant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory

from parley.identity.v1 import audit_pb2, identity_pb2, keys_pb2, usage_pb2
from services.mesh import contracts
from tests.identity.conftest import Identity, Metadata, bearer

SERVICES = ("IdentityService", "ApiKeyService", "TokenService", "AuditService", "UsageService")
# Fields that hold a name or id of something that belongs to a tenant, and by what it is filled.
NAMES = {"name": "", "user": "users", "actor": "users", "api_key": "apiKeys", "subject": "users", "resource": ""}
# What a request needs besides the name to come as far as its tenant.
REST_OF: dict[str, dict[str, Any]] = {
    "SetPassword": {"newPassword": "a long new password"},
    "UpdateUser": {"user": {"displayName": "taken over"}},
    "UpdateOrganisation": {"organisation": {"displayName": "taken over"}},
    "CreateGrant": {"grant": {"resource": "databases/shop", "subject": "everyone"}},
    "CreateUser": {"userId": "another"},
    "QueryUsage": {"groupBy": ["USAGE_DIMENSION_USER", "USAGE_DIMENSION_API_KEY"]},
}
# What is made gets a name of its own: the one in the request is ignored.
IGNORED = {("CreateUser", "name"), ("CreateApiKey", "name"), ("CreateGrant", "name")}
COLLECTION = {"UpdateUser": "users", "UpdateOrganisation": "organisations"}


def methods() -> Iterator[Any]:
    """The RPCs that somebody may call with a credential."""
    for service in SERVICES:
        for method in descriptor_pool.Default().FindServiceByName(f"parley.identity.v1.{service}").methods:
            option = method.GetOptions().Extensions[contracts.ACCESS]
            if option.scope or option.authenticated:
                yield method


def fields(message: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of the fields that take a name."""
    for field in message.fields:
        if field.message_type is not None and field.message_type.full_name.startswith("parley."):
            if not field.is_repeated:
                yield from fields(field.message_type, (*path, field.name))
        elif field.name in NAMES and field.type == field.TYPE_STRING:
            yield (*path, field.name)


CASES = [(method, path) for method in methods() for path in fields(method.input_type)]


def collection(method: str, field: str) -> str:
    """The collection whose names a field takes."""
    if field == "name":
        return COLLECTION.get(method) or next(
            (
                found
                for part, found in (("Key", "apiKeys"), ("Grant", "grants"), ("Organisation", "organisations"))
                if part in method
            ),
            "users",
        )
    return NAMES[field] or "users"


async def call(identity: Identity, method: Any, request: dict[str, Any], metadata: Metadata) -> str:
    """What a call is answered: its messages as JSON, or its status code's name."""
    service = method.containing_service
    message = json_format.ParseDict(request, message_factory.GetMessageClass(method.input_type)())
    reply = message_factory.GetMessageClass(method.output_type)
    async with grpc.aio.insecure_channel(identity.address) as channel:
        kind: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
        made: Any = kind(
            f"/{service.full_name}/{method.name}",
            request_serializer=lambda value: value.SerializeToString(),
            response_deserializer=reply.FromString,
        )(message, metadata=metadata)
        try:
            parts = [part async for part in made] if method.server_streaming else [await made]
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "\n".join(json_format.MessageToJson(part) for part in parts)


@pytest.fixture
async def tenants(service: Identity) -> tuple[Identity, Metadata, dict[str, str], str]:
    """A tenant with one of everything, and the administrator of another; names by collection, and all as JSON."""
    boss = await service.tenant("acme")
    program = identity_pb2.USER_KIND_SERVICE_ACCOUNT
    victim = await service.user("victim", display_name="Victim Of Default", kind=program)
    name, _secret = await service.key_of("victim")
    grant = await service.identity.CreateGrant(
        identity_pb2.CreateGrantRequest(
            grant=identity_pb2.Grant(subject="users/victim", resource="databases/secretdb")
        ),
        metadata=service.admin,
    )
    used = usage_pb2.UsageRecord(
        subject="default/victim",
        api_key=name.partition("/")[2],
        service="chat",
        unit=usage_pb2.USAGE_UNIT_TOKENS,
        amount=77777,
    )
    await service.usage.RecordUsage(usage_pb2.RecordUsageRequest(records=[used], batch_id="b" * 16))
    names = {
        "users": victim.name,
        "apiKeys": name,
        "grants": grant.grant.name,
        "organisations": "organisations/default",
    }
    return service, boss, names, await everything(service)


async def everything(service: Identity) -> str:
    """All that the first tenant has, but for the audit log, which grows, and for times of use."""
    admin = service.admin
    users = await service.identity.ListUsers(identity_pb2.ListUsersRequest(), metadata=admin)
    keys = await service.keys.ListApiKeys(keys_pb2.ListApiKeysRequest(), metadata=admin)
    for key in keys.api_keys:
        key.ClearField("last_used_time")
    grants = await service.identity.ListGrants(identity_pb2.ListGrantsRequest(), metadata=admin)
    organisation = await service.identity.GetOrganisation(
        identity_pb2.GetOrganisationRequest(name="organisations/default"), metadata=admin
    )
    return json.dumps([json_format.MessageToJson(part) for part in (users, keys, grants, organisation)])


@pytest.mark.parametrize(("method", "path"), CASES, ids=[f"{m.name}-{'.'.join(p)}" for m, p in CASES])
async def test_a_name_of_another_tenant_is_nobodys(
    tenants: tuple[Identity, Metadata, dict[str, str], str], method: Any, path: tuple[str, ...]
) -> None:
    service, boss, names, before = tenants
    request: dict[str, Any] = json.loads(json.dumps(REST_OF.get(method.name, {})))
    inner = request
    for name in path[:-1]:
        inner = inner.setdefault(json_name(name), {})
    inner[json_name(path[-1])] = names[collection(method.name, path[-1])]
    answer = await call(service, method, request, boss)
    for theirs in ("Victim Of Default", "secretdb", "77777", names["apiKeys"], names["grants"], 'victim"'):
        assert theirs not in answer, f"{method.name} shows {theirs}"
    refusals = {"NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED"}
    filters = method.name.startswith(("List", "Query", "Export"))
    assert filters or (method.name, path[-1]) in IGNORED or answer in refusals, f"{method.name} is answered {answer}"
    assert await everything(service) == before


def json_name(name: str) -> str:
    """A field's name in JSON."""
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))


def test_the_matrix_is_not_empty() -> None:
    assert {("GetUser", "name"), ("RevokeApiKey", "name"), ("ListAuditEntries", "actor")} <= {
        (method.name, path[-1]) for method, path in CASES
    }


LISTS = [method for method in methods() if method.name.startswith(("List", "Query", "Export"))]


@pytest.mark.parametrize("method", LISTS, ids=lambda method: method.name)
async def test_nothing_of_another_tenant_is_in_any_list(
    tenants: tuple[Identity, Metadata, dict[str, str], str], method: Any
) -> None:
    service, boss, names, _before = tenants
    answer = await call(service, method, REST_OF.get(method.name, {}), boss)
    for theirs in ("Victim", "secretdb", "77777", names["apiKeys"], names["grants"]):
        assert theirs not in answer


async def test_two_tenants_may_have_users_of_one_name(service: Identity) -> None:
    boss = await service.tenant("acme", admin="admin")
    mine = await service.identity.GetUser(identity_pb2.GetUserRequest(name="users/admin"), metadata=boss)
    assert mine.user.organisation == "organisations/acme"
    request = identity_pb2.DeleteUserRequest(name="users/admin")
    await service.user("second", identity_pb2.ROLE_ADMIN)
    _name, second = await service.key_of("second")
    with pytest.raises(grpc.aio.AioRpcError):
        await service.identity.DeleteUser(request, metadata=bearer(second))
    assert await service.audit.ListAuditEntries(audit_pb2.ListAuditEntriesRequest(), metadata=boss)
