"""What the gateway is answered: identity headers for who may pass, and a refusal that each client understands."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2
from sqlalchemy import Engine

from ext_authz.v3 import external_auth_pb2 as envoy
from parley.identity.v1 import identity_pb2
from tests.identity.conftest import Identity, Start

ROLES = "/parley.identity.v1.IdentityService/ListRoles"
USERS = "/parley.identity.v1.IdentityService/ListUsers"
PREFIX = "x-parley-identity-"


def headers(options: object) -> dict[str, str]:
    """Headers by name; each replaces what was there."""
    found = {}
    for option in options:  # type: ignore[attr-defined]  # a repeated field
        assert option.append_action == envoy.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        found[option.header.key] = option.header.value
    return found


async def test_who_may_pass_gets_identity_headers(stored: Identity) -> None:
    await stored.user("lan")
    name, secret = await stored.key_of("lan", "chat", "keys")
    answer = await stored.check(authorization=f"Bearer {secret}")
    assert answer.status.code == 0
    given = headers(answer.ok_response.headers)
    assert given.pop("x-parley-method") == ROLES
    assert given.pop(f"{PREFIX}grants") == '{"databases":{"*":{}},"models":["*"]}'
    assert given == {
        f"{PREFIX}subject": "default/lan",
        f"{PREFIX}key": name.removeprefix("apiKeys/"),
        f"{PREFIX}address": "192.0.2.7",
    }


async def test_forged_identity_headers_are_taken_off_or_replaced(service: Identity) -> None:
    forged = {f"{PREFIX}user": "admin", f"{PREFIX}key": "k", f"{PREFIX}scopes": "everything", f"{PREFIX}else": "x"}
    answer = await service.check(authorization=f"Bearer {service.key}", **forged)
    after = dict(forged)
    for name in answer.ok_response.headers_to_remove:
        after.pop(name, None)
    after |= headers(answer.ok_response.headers)
    assert {name: after[name] for name in after if name in forged} == {f"{PREFIX}key": after[f"{PREFIX}key"]}
    assert after[f"{PREFIX}key"] != "k"
    login = "/parley.identity.v1.TokenService/Login"
    public = await service.check(login, **forged)
    assert public.status.code == 0
    assert set(public.ok_response.headers_to_remove) == set(forged)


async def test_a_credential_goes_to_no_service_but_this_one(service: Identity) -> None:
    own = await service.check(authorization=f"Bearer {service.key}")
    assert list(own.ok_response.headers_to_remove) == []
    other = await service.check(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", authorization=f"Bearer {service.key}"
    )
    assert list(other.ok_response.headers_to_remove) == ["authorization"]


async def test_public_methods_need_nothing_and_unknown_ones_pass_nobody(service: Identity) -> None:
    for verb, path in (
        ("POST", "/parley.identity.v1.TokenService/Login"),
        ("POST", "/api/v1/tokens:login"),
        ("GET", "/.well-known/jwks.json"),
        ("POST", "/grpc.health.v1.Health/Check"),
        ("GET", "/"),
        ("GET", "/openapi.json"),
    ):
        assert (await service.check(path, verb=verb)).status.code == 0, path
    for path in ("/parley.nothing.v1.No/Thing", "/etc/passwd", "/api/v1/users/../..", "", "*", "/api//v1/users"):
        assert (await service.check(path)).denied_response.status.code == 401, path
        known = await service.check(path, authorization=f"Bearer {service.key}")
        assert known.denied_response.status.code == 404, path


async def test_the_rest_path_of_a_method_needs_the_same_scope(service: Identity) -> None:
    await service.user("lan")
    _name, secret = await service.key_of("lan")
    lan = f"Bearer {secret}"
    for verb, path in (
        ("GET", "/api/v1/users"),
        ("GET", "/api/v1/users?pageSize=3"),
        ("PATCH", "/api/v1/users/lan"),
        ("DELETE", "/api/v1/users/admin"),
        ("POST", "/api/v1/organisations"),
        ("POST", "/api/v1/signingKeys:rotate"),
        ("GET", "/api/v1/auditEntries:export"),
        ("POST", USERS),
        ("POST", "/parley.identity.v1.UsageService/RecordUsage"),
    ):
        assert (await service.check(path, verb=verb, authorization=lan)).denied_response.status.code == 403, path
    assert (await service.check("/api/v1/users/me", verb="GET", authorization=lan)).status.code == 0
    assert (await service.check("/api/v1/apiKeys/x:revoke", authorization=lan)).status.code == 0


async def test_internal_methods_pass_not_even_an_operator(service: Identity) -> None:
    answer = await service.check("/parley.identity.v1.UsageService/RecordUsage", authorization=f"Bearer {service.key}")
    assert answer.denied_response.status.code == 403


async def test_a_refusal_is_in_the_dialect_of_the_client(service: Identity) -> None:
    rest = (await service.check("/api/v1/users", verb="GET")).denied_response
    assert (rest.status.code, headers(rest.headers)["www-authenticate"]) == (401, 'Bearer realm="parley"')
    assert json.loads(rest.body)["details"][0]["reason"] == "ERROR_REASON_UNAUTHENTICATED"
    openai = (await service.check("/v1/chat/completions", authorization="Bearer sk-parley-no")).denied_response
    assert json.loads(openai.body)["error"] | {"message": ""} == {
        "message": "",
        "type": "authentication_error",
        "param": None,
        "code": "unauthenticated",
    }
    assert headers(openai.headers)["www-authenticate"] == 'Bearer realm="parley", error="invalid_token"'
    transcoded = await service.check(
        "/parley.openai.v1.ChatCompletionsService/CreateChatCompletion",
        content_type="application/grpc",
        x_envoy_original_path="/v1/chat/completions",
    )
    assert "error" in json.loads(transcoded.denied_response.body), "by the path that the client called"
    web_ui = (await service.check("/sdapi/v1/txt2img")).denied_response
    assert headers(web_ui.headers)["www-authenticate"] == 'Basic realm="parley"'
    assert "API key" in json.loads(web_ui.body)["detail"]
    native = (await service.check(USERS, content_type="application/grpc")).denied_response
    assert headers(native.headers)["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
    packed = headers(native.headers)["grpc-status-details-bin"]
    said = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert said.details[0].Unpack(info)
    assert info.reason == "ERROR_REASON_UNAUTHENTICATED"


async def test_a_tiers_calls_are_counted_and_run_out(starting: Start, tmp_path: object) -> None:
    tiers = {"free": {"requests": "3/hour"}, "enterprise": {}}
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", tiers=tiers, first_tier="free")
    _name, other = await identity.key_of("admin")
    left = []
    for secret in (identity.key, other, identity.key):
        answer = await identity.check(authorization=f"Bearer {secret}")
        given = headers(answer.ok_response.response_headers_to_add)
        assert given["x-ratelimit-limit-requests"] == "3"
        left.append(given["x-ratelimit-remaining-requests"])
    assert left == ["2", "1", "0"], "all keys of a user count together"
    over = (await identity.check(authorization=f"Bearer {other}")).denied_response
    assert over.status.code == 429
    assert 0 < int(headers(over.headers)["retry-after"]) <= 3600
    assert headers(over.headers)["x-ratelimit-remaining-requests"] == "0"
    await identity.identity.ListRoles(identity_pb2.ListRolesRequest(), metadata=identity.admin)


async def test_an_unlimited_tier_has_no_limit_headers(service: Identity) -> None:
    for _ in range(150):
        answer = await service.check(authorization=f"Bearer {service.key}")
        assert answer.status.code == 0
    assert not answer.ok_response.response_headers_to_add


def replace_by_a_folder(file: Path, engine: Engine) -> None:
    """Takes a SQLite database away."""
    engine.dispose()
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    file.mkdir()


async def test_the_storage_away_lets_nobody_pass_who_is_not_known(starting: Start, tmp_path: Path) -> None:
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", cache_seconds=0)
    replace_by_a_folder(tmp_path / "identity.db", identity.application.database.engine)
    answer = await identity.check(authorization=f"Bearer {identity.key}")
    assert answer.denied_response.status.code == 503
    assert headers(answer.denied_response.headers)["retry-after"] == "1"


async def test_grants_travel_with_the_identity(stored: Identity) -> None:
    await stored.user("lan")
    _name, secret = await stored.key_of("lan")

    async def grants(credential: str = secret) -> object:
        answer = await stored.check(authorization=f"Bearer {credential}")
        return json.loads(headers(answer.ok_response.headers)[f"{PREFIX}grants"])

    async def grant(subject: str, resource: str, role: str = "", **settings: str) -> identity_pb2.Grant:
        wanted = identity_pb2.Grant(subject=subject, resource=resource, database_role=role)
        for name, value in settings.items():
            wanted.session_settings.add(name=name.replace("_", "."), value=value)
        made = await stored.identity.CreateGrant(identity_pb2.CreateGrantRequest(grant=wanted), metadata=stored.admin)
        result: identity_pb2.Grant = made.grant
        return result

    assert await grants() == {"databases": {"*": {}}, "models": ["*"]}
    await grant("everyone", "databases/shop", "reader")
    mine = await grant("users/lan", "databases/shop", "lan", app_tenant="7")
    await grant("roles/member", "models/gpt-x")
    assert await grants() == {
        "databases": {"*": {}, "shop": {"role": "lan", "settings": {"app.tenant": "7"}}},
        "models": ["*", "gpt-x"],
    }
    restricted = identity_pb2.Organisation(name="organisations/default", restrict_databases=True, restrict_models=True)
    await stored.identity.UpdateOrganisation(
        identity_pb2.UpdateOrganisationRequest(organisation=restricted), metadata=stored.admin
    )
    await stored.identity.DeleteGrant(identity_pb2.DeleteGrantRequest(name=mine.name), metadata=stored.admin)
    assert await grants() == {"databases": {"shop": {"role": "reader"}}, "models": ["gpt-x"]}
    assert await grants(stored.key) == {"databases": {"*": {}, "shop": {"role": "reader"}}, "models": ["*"]}


async def test_grants_are_listed_unique_and_bounded(service: Identity) -> None:
    async def grant(subject: str, resource: str, role: str = "") -> grpc.StatusCode:
        wanted = identity_pb2.Grant(subject=subject, resource=resource, database_role=role)
        try:
            await service.identity.CreateGrant(identity_pb2.CreateGrantRequest(grant=wanted), metadata=service.admin)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    assert await grant("everyone", "databases/shop") is grpc.StatusCode.OK
    assert await grant("everyone", "databases/shop") is grpc.StatusCode.ALREADY_EXISTS
    assert await grant("users/nobody", "databases/shop") is grpc.StatusCode.NOT_FOUND
    assert await grant("everyone", "models/x", "role") is grpc.StatusCode.INVALID_ARGUMENT
    assert await grant("someone", "databases/shop") is grpc.StatusCode.INVALID_ARGUMENT
    codes = [await grant("everyone", "models/" + "m" * 190 + str(n)) for n in range(40)]
    assert grpc.StatusCode.FAILED_PRECONDITION in codes, "more than a header holds"
    listed = await service.identity.ListGrants(identity_pb2.ListGrantsRequest(page_size=1000), metadata=service.admin)
    assert len(listed.grants) == 1 + codes.count(grpc.StatusCode.OK)
