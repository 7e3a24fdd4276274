"""Who may import whom: services share the chassis and the contracts, and engines know no transport."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "__main__.py").exists())
# The edge of a service: what talks gRPC, and what puts the parts together.
EDGE = {
    *("servicer.py", "knowledge_servicer.py", "transcription_servicer.py", "openai.py", "riva.py"),
    # The identity service: one file for each of its services, what reads the contracts' options, who calls it.
    *("key_servicer.py", "token_servicer.py", "audit_servicer.py", "usage_servicer.py", "ext_authz.py"),
    *("access.py", "callers.py"),
    *("__main__.py", "converters.py", "tool_clients.py", "speech.py", "triton_models.py"),
    # The web UI's API, as openai.py is OpenAI's.
    "sdapi.py",
    # chat's client of the image service, as speech.py is of asr.
    "image_client.py",
}


def imports(path: pathlib.Path) -> set[str]:
    """Every module that a file imports, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_there_are_services_to_look_at() -> None:
    assert {"asr", "chat", "sql"} <= set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_no_other_service(service: str) -> None:
    for path in (ROOT / "services" / service).rglob("*.py"):
        others = {name for name in imports(path) if name.startswith("services.")}
        allowed = ("services.mesh", f"services.{service}")
        assert all(name.startswith(allowed) for name in others), f"{path}: {others}"


def test_the_chassis_imports_no_service() -> None:
    for path in (ROOT / "services" / "mesh").rglob("*.py"):
        names = {name for name in imports(path) if name.startswith("services.")}
        assert all(name.startswith("services.mesh") for name in names), f"{path}: {names}"


@pytest.mark.parametrize("service", SERVICES)
def test_the_domain_knows_no_transport(service: str) -> None:
    for path in (ROOT / "services" / service).rglob("*.py"):
        if path.name in EDGE:
            continue
        transport = {n for n in imports(path) if n.split(".")[0] in {"grpc", "parley", "google"} or "_pb2" in n}
        assert not transport, f"{path} imports {transport}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_composition_root_is_short(service: str) -> None:
    lines = (ROOT / "services" / service / "__main__.py").read_text().splitlines()
    assert len(lines) <= 60, f"services/{service}/__main__.py has {len(lines)} lines"
