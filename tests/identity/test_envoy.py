"""The real Envoy in front of the identity service: what it makes of the answers, over REST and gRPC."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from gateway import config
from parley.identity.v1 import identity_pb2, identity_pb2_grpc
from tests.conftest import ROOT, free_port, missing
from tests.identity.conftest import Identity, Start, bearer

FILTERS = "envoy.extensions.filters"
NAMES = ["IdentityService", "ApiKeyService", "TokenService", "AuditService", "UsageService"]
BOTH = ["before the transcoder", "after the transcoder"]


def typed(kind: str, **more: Any) -> dict[str, Any]:
    """A typed configuration."""
    return {"@type": f"type.googleapis.com/{FILTERS}.{kind}", **more}


def bootstrap(listen: int, upstream: int, place: str) -> dict[str, Any]:
    """A gateway before the identity service alone, which it asks about every request."""
    http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    address = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    ask = typed(
        "http.ext_authz.v3.ExtAuthz",
        grpc_service={"envoy_grpc": {"cluster_name": "identity"}, "timeout": "5s"},
        transport_api_version="V3",
        failure_mode_allow=False,
        status_on_error={"code": "ServiceUnavailable"},
    )
    transcode = typed(
        "http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=str(ROOT / "gateway" / "parley.binpb"),
        services=[f"parley.identity.v1.{name}" for name in NAMES],
        convert_grpc_status=True,
    )
    order = [("ask", ask), ("transcode", transcode)]
    manager = typed(
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gateway",
        normalize_path=True,
        merge_slashes=True,
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "identity"}}],
                }
            ]
        },
        http_filters=[
            *({"name": name, "typed_config": given} for name, given in (order if place == BOTH[0] else order[::-1])),
            {"name": "router", "typed_config": typed("http.router.v3.Router")},
        ],
    )
    cluster = {
        "name": "identity",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            http2: {
                "@type": f"type.googleapis.com/{http2}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "identity",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    listener = {
        "name": "gateway",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": listen}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@contextmanager
def gateway(folder: Path, upstream: str, place: str) -> Iterator[str]:
    """A running Envoy; its host:port."""
    try:
        executable = config.executable()
    except config.EnvoyMissingError:
        missing("Envoy")
    port = free_port()
    text = json.dumps(bootstrap(port, int(upstream.rpartition(":")[2]), place))
    command = [str(executable), "--config-yaml", text, "--concurrency", "1", "--disable-hot-restart"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen([*command, "--log-level", "warning"], stdout=log, stderr=log, cwd=folder)
        try:
            for _ in range(500):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.poll() is None, (folder / "envoy.log").read_text()[-2000:]
                time.sleep(0.02)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@pytest.fixture(params=BOTH)
async def fronted(
    request: pytest.FixtureRequest, starting: Start, tmp_path: Path
) -> AsyncIterator[tuple[Identity, str, str]]:
    """An identity service with Envoy before it: the service, Envoy's address, where Envoy asks."""
    tiers = {"free": {"requests": "30/hour"}, "enterprise": {}}
    identity = await starting(f"sqlite:///{tmp_path}/identity.db", tiers=tiers)
    with gateway(tmp_path, identity.address, request.param) as address:
        yield identity, address, request.param


async def test_requests_pass_or_are_refused_as_each_client_understands(fronted: tuple[Identity, str, str]) -> None:
    identity, address, _place = fronted
    await identity.user("lan")
    _name, lan = await identity.key_of("lan")
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
        nobody = await http.get("/api/v1/users/me")
        assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, 'Bearer realm="parley"')
        assert nobody.json()["details"][0]["reason"] == "ERROR_REASON_UNAUTHENTICATED"
        me = await http.get("/api/v1/users/me", headers={"authorization": f"Bearer {lan}"})
        assert (me.status_code, me.json()["user"]["name"]) == (200, "users/lan")
        basic = base64.b64encode(f"x:{lan}".encode()).decode()
        assert (await http.get("/api/v1/users/me", headers={"authorization": f"Basic {basic}"})).status_code == 200
        denied = await http.get("/api/v1/users", headers={"x-api-key": lan})
        assert (denied.status_code, denied.json()["details"][0]["metadata"]) == (403, {"permission": "users:admin"})
        jwks = await http.get("/.well-known/jwks.json")
        assert (jwks.status_code, len(jwks.json()["keys"])) == (200, 2)
        forged = {"x-parley-identity-user": "admin", "x-parley-identity-scopes": "users:admin"}
        assert (await http.get("/api/v1/users", headers=forged)).status_code == 401
        assert (await http.get("/api/v1/users", headers={**forged, "x-api-key": lan})).status_code == 403
        made = await http.post("/api/v1/apiKeys", json={"displayName": "by REST"}, headers={"x-api-key": lan})
        assert made.json()["secret"].startswith("sk-parley-")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1//users",
        "/api/v1/./users",
        "/api/v1/x/../users",
        "/api/v1/%75sers",
        "/api/v1/users/",
        "/api/v1/users%3Fx",
        "/api/v1/users%2Fme/../../users",
        "/api/v1/users;x",
        "/parley.identity.v1.IdentityService/ListUsers/",
        "//parley.identity.v1.IdentityService/ListUsers",
        "/api/v1/users/me%2f..",
        "/.well-known/jwks.json/../../api/v1/users",
        "/api/v1/tokens:login/../users",
    ],
)
async def test_no_spelling_of_a_path_leads_around_its_scope(fronted: tuple[Identity, str, str], path: str) -> None:
    identity, address, _place = fronted
    _name, weak = await identity.key_of("admin", "chat")
    host, _, port = address.partition(":")
    for verb in ("GET", "POST"):
        # By hand: clients tidy paths up.
        reader, writer = await asyncio.open_connection(host, int(port))
        fields = ["host: x", f"x-api-key: {weak}", "connection: close", "content-length: 0"]
        writer.write("\r\n".join([f"{verb} {path} HTTP/1.1", *fields, "", ""]).encode())
        answer = await reader.read()
        writer.close()
        status = int(answer.split()[1])
        assert status in {400, 403, 404, 405, 415}, answer[:300]
        assert b'"users":' not in answer


async def test_grpc_clients_get_a_status_with_details(fronted: tuple[Identity, str, str]) -> None:
    identity, address, _place = fronted
    await identity.user("lan", tier="free")
    _name, lan = await identity.key_of("lan")
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = identity_pb2_grpc.IdentityServiceStub(channel)
        roles = identity_pb2.ListRolesRequest()
        with pytest.raises(grpc.aio.AioRpcError) as nobody:
            await stub.ListRoles(roles)
        assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "credential" in (nobody.value.details() or "")
        with pytest.raises(grpc.aio.AioRpcError) as denied:
            await stub.ListUsers(identity_pb2.ListUsersRequest(), metadata=bearer(lan))
        assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
        said = rpc_status.from_call(denied.value)  # type: ignore[arg-type]  # typed for the synchronous API
        info = error_details_pb2.ErrorInfo()
        assert said is not None
        assert said.details[0].Unpack(info)
        assert (info.reason, info.metadata["permission"]) == ("ERROR_REASON_PERMISSION_DENIED", "users:admin")
        with pytest.raises(grpc.aio.AioRpcError) as limited:
            for _ in range(40):
                await stub.ListRoles(roles, metadata=bearer(lan))
        assert limited.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
        over = await http.get("/api/v1/users/me", headers={"x-api-key": lan})
        assert (over.status_code, over.headers["x-ratelimit-remaining-requests"]) == (429, "0")
        assert int(over.headers["retry-after"]) > 0
