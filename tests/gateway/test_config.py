"""The gateway's files: the same everywhere but for addresses; what is generated is up to date."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from google.protobuf import descriptor_pb2
from openapi_spec_validator import validate

from gateway import config, openapi
from gateway.config import HERE, Endpoint
from services.identity.access import Contracts
from tests.conftest import ROOT, missing

LAPTOP = {name: [Endpoint("127.0.0.1", 5000 + i)] for i, name in enumerate(config.SERVICES)}
CLUSTER = {name: [Endpoint("10.0.0.1", 50051), Endpoint("10.0.0.2", 50051)] for name in config.SERVICES}


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_deployments_differ_in_their_endpoints_only(tmp_path: Path) -> None:
    config.write(tmp_path / "laptop", LAPTOP)
    config.write(tmp_path / "cluster", CLUSTER)
    laptop, cluster = files(tmp_path / "laptop"), files(tmp_path / "cluster")
    assert set(laptop) == set(cluster)
    differing = {name for name in laptop if laptop[name] != cluster[name]}
    assert differing == {f"eds/{service}.yaml" for service in config.SERVICES}
    assert laptop["listener.yaml"] == (HERE / "listener.yaml").read_bytes()


@pytest.mark.parametrize("name", ["listener.yaml", "bootstrap.yaml"])
def test_binding_changes_the_address_line_and_nothing_else(name: str) -> None:
    before = (HERE / name).read_text()
    after = config.bind(before, Endpoint("127.0.0.1", 12345))
    changes = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert [line[0] for line in changes] == ["-", "+"]
    assert changes[1].endswith("socket_address: { address: 127.0.0.1, port_value: 12345 }")
    with pytest.raises(ValueError, match="found 0"):
        config.bind("", Endpoint("127.0.0.1", 1))


def test_the_admin_interface_is_on_loopback_only() -> None:
    assert "address: 127.0.0.1, port_value: 9901" in (HERE / "bootstrap.yaml").read_text()


def test_a_service_without_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="asr"):
        config.write(tmp_path, {"chat": [], "sql": []})


def test_the_descriptor_set_is_up_to_date(tmp_path: Path) -> None:
    buf = Path(sys.executable).parent / "buf"
    if not buf.exists():
        missing("buf (pip install buf-bin)")
    made = tmp_path / "parley.binpb"
    subprocess.run([buf, "build", "--as-file-descriptor-set", "-o", made], cwd=ROOT, check=True)
    assert made.read_bytes() == (HERE / "parley.binpb").read_bytes(), "run `make generate`"


def test_the_openapi_document_is_up_to_date() -> None:
    assert openapi.render() == openapi.TARGET.read_text(), "run `make generate`"


def test_every_service_is_served_or_known_not_to_be() -> None:
    contracts = descriptor_pb2.FileDescriptorSet.FromString((HERE / "parley.binpb").read_bytes()).file
    known = {f"{file.package}.{service.name}" for file in contracts for service in file.service}
    assert set(config.transcoded()) == {name for name in known if name.startswith("parley.")}


def test_the_openapi_document_is_valid_and_complete() -> None:
    document = json.loads(openapi.TARGET.read_text())
    validate(document)
    assert document["openapi"] == "3.1.0"
    described = json.dumps(document, ensure_ascii=False)
    assert "/v1/chat/completions" not in document["paths"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= 21
    assert all(operation["description"] for operation in operations)
    schemas = document["components"]["schemas"]
    assert all(schema["description"] for name, schema in schemas.items() if name.startswith("parley."))
    assert "buf:lint" not in described
    # What everybody may be answered, and whom it asks for no credential.
    for operation in operations:
        assert {"200", *openapi.REFUSALS} == set(operation["responses"])
    for path, item in document["paths"].items():
        parameters = re.findall(r"{(\w+)}", path)
        assert len(parameters) == len(set(parameters)), path
        for operation in item.values():
            assert [one["name"] for one in operation["parameters"] if one["in"] == "path"] == parameters
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey", "basic"}
    assert document["security"] == [{"bearer": []}, {"apiKey": []}, {"basic": []}]
    public = {path for path, item in document["paths"].items() for one in item.values() if one.get("security") == []}
    contracts = Contracts()
    told = {path for path in public if not path.startswith("/api/v1/tokens:")}
    # What a link opens, its signature has decided.
    assert told == {"/api/v1/loginProviders", "/api/v1/images/{image}:view"}
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            access = contracts.find(verb.upper(), path)
            assert access is not None, path
            assert access.public == (path in public)
            assert not access.scope or f"Needs the scope `{access.scope}`." in operation["description"]
    # What is ours to say, as proto3's JSON mapping says it.
    assert schemas["parley.sql.v1.Database"]["properties"]["url"]["writeOnly"]
    assert schemas["parley.chat.v1.Conversation"]["properties"]["createTime"]["readOnly"]
    assert schemas["parley.sql.v1.ResultSummary"]["properties"]["rowCount"]["type"] == "string"
    send = document["paths"]["/api/v1/conversations/{conversation}/messages:send"]["post"]
    assert send["responses"]["200"]["description"] == "JSON objects, one a line."
    assert "conversation" not in send["requestBody"]["content"]["application/json"]["schema"]["properties"]


def test_the_gateway_serves_its_page_and_its_document(stranger: httpx.Client) -> None:
    page = stranger.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == (HERE / "index.html").read_text()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    for external in ("src=", "@import", "https://"):
        assert external not in page.text
    document = stranger.get("/openapi.json")
    assert document.headers["content-type"] == "application/json"
    assert document.text == openapi.TARGET.read_text()


@pytest.mark.parametrize("path", ["/healthz", *(f"/healthz/{service}" for service in config.SERVICES)])
def test_health_is_told(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 200
