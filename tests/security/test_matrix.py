"""Every RPC, called by everybody through the gateway, over gRPC and REST: who gets in is what its contract says."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import grpc
import httpx
import pytest

from services.identity.access import HTTP, bindings
from services.identity.scopes import ROLES as SCOPES
from tests.security.conftest import ROLES, Mesh
from tests.security.methods import METHODS, Method

VARIABLE = re.compile(r"\{[\w.]+(?:=([^}]*))?\}")
REFUSED = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}
BROKEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
EVERYBODY = ("nobody", *ROLES)
ODD_SIZE = {"width": 3}
CHEAP: dict[str, dict[str, Any]] = {
    "ImageService.Generate": {"settings": ODD_SIZE},
    "StableDiffusionService.TextToImage": {
        "body": {"contentType": "application/json", "data": base64.b64encode(json.dumps(ODD_SIZE).encode()).decode()}
    },
}
"""Requests of methods that would begin to draw if nothing were wrong with them."""
RULES = [
    (method, verb, VARIABLE.sub(lambda match: (match[1] or "*").replace("*", "x0"), template))
    for method in METHODS.values()
    for verb, template in bindings(method.descriptor.GetOptions().Extensions[HTTP])
]
"""Every way into every RPC by REST, with something in each variable's place."""


def expected(method: Method, who: str) -> grpc.StatusCode | None:
    """How somebody is refused; None where they are let in."""
    if method.access.public:
        return None
    if who == "nobody":
        return grpc.StatusCode.UNAUTHENTICATED
    if method.access.internal or (method.access.scope and method.access.scope not in SCOPES[who]):  # type: ignore[index]
        return grpc.StatusCode.PERMISSION_DENIED
    return None


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("name", METHODS)
def test_an_rpc_lets_in_whom_its_contract_names(mesh: Mesh, name: str, who: str) -> None:
    answer = mesh.call(name, who, **CHEAP.get(name, {}))
    refused = expected(METHODS[name], who)
    if refused is not None:
        assert answer.code == refused, answer.message
    else:
        assert answer.code not in {*REFUSED, *BROKEN}, answer.message


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(("method", "verb", "path"), RULES, ids=[f"{verb} {path}" for _, verb, path in RULES])
def test_a_rest_path_lets_in_whom_its_contract_names(
    mesh: Mesh, method: Method, verb: str, path: str, who: str
) -> None:
    headers = {} if who == "nobody" else {"authorization": f"Bearer {mesh.keys[who]}"}
    body = ODD_SIZE if path in {"/sdapi/v1/txt2img", "/api/v1/images:generate"} else None
    url = mesh.stack.url + path
    with httpx.stream(verb, url, headers=headers, json=body, trust_env=False, timeout=60) as answer:
        status = answer.status_code
    refused = expected(method, who)
    if refused is not None:
        assert status == REFUSED[refused]
    else:
        # Some look for themselves whose thing it is, which is no question of scopes.
        assert status not in ({401} if method.access.authenticated else {401, 403})
        assert status < 500 or status in {501, 503}


def test_every_rpc_says_who_may_call_it() -> None:
    assert [name for name, method in METHODS.items() if method.access.WhichOneof("rule") is None] == []
