"""The compose file: what the chart says, for one machine. No Compose runs here; what it would read is looked at."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from deploy.docker import build, credentials
from scripts import compose
from scripts.settings_docs import settings_class
from services.mesh.settings import environment_name
from tests.deploy.rendering import environment, one, pod, rendered

FILE = build.HERE / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
CLOSED = "PARLEY_SQL_CLOSED_HOSTS"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of secrets, as the command makes it."""
    made = tmp_path_factory.mktemp("compose") / "secrets"
    credentials.make(made)
    return made


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_confined_and_watched(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in container["tmpfs"]  # noqa: S108 -- a path in a container
    assert "privileged" not in container
    assert container["healthcheck"]["test"][0] == "CMD"
    assert container["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", CONTAINERS)
def test_images_are_pinned_to_a_release_and_ours_are_built_here(name: str) -> None:
    image = CONTAINERS[name]["image"]
    assert not image.endswith(":latest")
    if "parley/" in image:
        assert image == f"${{PARLEY_REGISTRY:-ghcr.io}}/parley/{name}:${{PARLEY_TAG:-{build.version()}}}"
        assert name in build.IMAGES
    else:
        assert re.search(r":v?\d+[\d.]*(-\w+)?$", image), image


@pytest.mark.parametrize("service", build.SERVICES)
def test_a_service_is_told_what_the_chart_tells_it(service: str) -> None:
    """The same variables with the same values, but for addresses, and for what one machine has besides."""
    chart = environment(one(rendered(), "Deployment", f"parley-{service}")) | {"PARLEY_SECRETS_DIR": "/run/secrets"}
    said = {
        name: re.sub(r"^parley-(triton|\w+?)(-embedded)?-headless:", r"\1:", value) for name, value in chart.items()
    }
    ours = dict(CONTAINERS[service]["environment"])
    assert (ours.pop(CLOSED, None) is None) == (said.pop(CLOSED, None) is None)
    besides = {"PARLEY_IMAGE_PUBLIC_URL", "PARLEY_IDENTITY_ISSUER", "PARLEY_IDENTITY_ADMIN_KEY_FILE"}
    assert {name: value for name, value in ours.items() if name not in besides} == said


def test_no_database_of_anybodys_is_one_of_the_containers() -> None:
    assert set(CONTAINERS["sql"]["environment"][CLOSED].split(",")) == set(CONTAINERS)


@pytest.mark.parametrize("service", build.SERVICES)
def test_every_variable_and_secret_is_a_setting(service: str) -> None:
    kind = settings_class(service)
    known = {environment_name(kind, field) for field in kind.model_fields} | {"PARLEY_SECRETS_DIR", "MALLOC_ARENA_MAX"}
    container = CONTAINERS[service]
    assert set(container["environment"]) | set(container["secrets"]) <= known


@pytest.mark.parametrize("service", build.SERVICES)
def test_the_settings_of_a_service_are_taken(service: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables as Compose fills them in without an .env file, and the secrets' files."""
    for name, value in CONTAINERS[service]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value))
    settings = settings_class(service)(_secrets_dir=str(folder))  # type: ignore[call-arg]  # of every BaseSettings
    url = make_url(settings.database_url.get_secret_value())  # type: ignore[attr-defined]  # of each of them
    assert (url.host, url.database, url.username) == ("postgresql", service, service)
    assert url.password == (folder / f"{service}_database_password").read_text()


def test_triton_is_told_what_the_chart_tells_it() -> None:
    said = environment(one(rendered(), "Deployment", "parley-triton-embedded"))
    ours = CONTAINERS["triton"]["environment"]
    assert ours == said | {"PARLEY_TRITON_EXIT_SECONDS": ours["PARLEY_TRITON_EXIT_SECONDS"]}


def test_the_gateway_starts_as_in_the_chart() -> None:
    container = pod(one(rendered(), "Deployment", "parley-gateway"))["containers"][0]
    assert CONTAINERS["gateway"]["command"] == container["command"]
    (mount,) = CONTAINERS["gateway"]["volumes"]
    assert mount == "./gateway:/etc/parley/cluster:ro"


def test_the_gateways_addresses_are_the_charts_and_current() -> None:
    assert {path.name: path.read_text() for path in compose.TARGET.glob("*")} == compose.files(), (
        "run python scripts/compose.py"
    )


def test_the_gateway_finds_every_service_by_its_name() -> None:
    text = (compose.TARGET / "clusters.yaml").read_text()
    assert "headless" not in text
    for service in build.SERVICES:
        assert f"address: {service}, port_value: 50051" in text


def test_calls_in_flight_have_time_to_end() -> None:
    for service in build.SERVICES:
        container = CONTAINERS[service]
        seconds = float(container["environment"][f"PARLEY_{service.upper()}_DRAIN_SECONDS"])
        assert float(container["stop_grace_period"].removesuffix("s")) > seconds
    hook = CONTAINERS["gateway"]["pre_stop"][0]["command"]
    assert float(CONTAINERS["gateway"]["stop_grace_period"].removesuffix("s")) > float(hook[-1])


def test_no_password_is_in_the_file_and_none_has_a_default() -> None:
    """A secret is a file that the command makes: without it Compose refuses to start."""
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    for name, container in CONTAINERS.items():
        for variable, value in container.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN", variable) and "PLAINTEXT" not in variable:
                assert re.match(r"/(run/secrets|var/lib/parley)", value), f"{name}: {variable}"


def test_the_command_makes_every_secret_that_is_mounted(folder: Path) -> None:
    mounted = {secret for container in CONTAINERS.values() for secret in container.get("secrets", ())}
    assert mounted == set(COMPOSE["secrets"])
    assert {secret["file"] for secret in COMPOSE["secrets"].values()} == {
        f"secrets/{path.name}" for path in folder.iterdir()
    }


def test_secrets_are_the_owners_and_stay(folder: Path) -> None:
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert credentials.make(folder) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    passwords = [text for name, text in before.items() if name.endswith("_password")]
    assert len(set(passwords)) == len(passwords)
    assert all(len(text) >= 32 for text in passwords)
    Fernet(before["PARLEY_SQL_ENCRYPTION_KEY"])
    (folder / "redis_password").unlink()
    assert credentials.make(folder) == ["redis_password"]


def test_every_mounted_file_is_there() -> None:
    volumes = [volume for container in CONTAINERS.values() for volume in container.get("volumes", ())]
    for volume in volumes:
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (build.HERE / source).exists(), volume
        else:
            assert source in COMPOSE["volumes"], volume


def test_only_loopback_is_listened_on() -> None:
    for container in CONTAINERS.values():
        assert all(port.startswith("127.0.0.1:") for port in container.get("ports", ()))


def test_nothing_waits_for_what_there_is_not() -> None:
    for container in CONTAINERS.values():
        for other, what in container.get("depends_on", {}).items():
            assert what == {"condition": "service_healthy"}
            assert "healthcheck" in CONTAINERS[other]


def test_each_service_gets_a_database_of_its_own(postgres_server: str, folder: Path, tmp_path: Path) -> None:
    """The script that PostgreSQL's image runs once, with the real server: a role reaches its database and no other."""
    import psycopg2

    script = (build.HERE / "postgresql" / "databases.sh").read_text().replace("/run/secrets", str(folder))
    path = tmp_path / "databases.sh"
    path.write_text(script)
    url = make_url(postgres_server)
    told = {"POSTGRES_USER": "parley", "PGHOST": str(url.host), "PGPORT": str(url.port)}
    try:
        done = subprocess.run(
            ["sh", str(path)], env={**os.environ, **told}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        psycopg2.connect(f"postgresql://chat:x@{url.host}:{url.port}/chat").close()
        with pytest.raises(psycopg2.OperationalError, match="permission denied"):
            psycopg2.connect(f"postgresql://chat:x@{url.host}:{url.port}/sql")
    finally:
        connection = psycopg2.connect(f"{postgres_server}/postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            for service in build.SERVICES:
                cursor.execute(f'DROP DATABASE IF EXISTS "{service}"')
                cursor.execute(f'DROP ROLE IF EXISTS "{service}"')
        connection.close()


def test_compose_asks_each_service_what_kubelets_ask_it() -> None:
    for service in build.SERVICES:
        assert CONTAINERS[service]["healthcheck"]["test"][:4] == ["CMD", "python", "-m", "services.mesh.probe"]
        readiness = pod(one(rendered(), "Deployment", f"parley-{service}"))["containers"][0]["readinessProbe"]
        assert CONTAINERS[service]["healthcheck"]["test"][-1] == readiness["grpc"]["service"]
