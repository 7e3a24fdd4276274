"""Real builds: the images of a service and of the gateway, with Buildah, run with Podman as the chart's pods are run.

Needs root, debootstrap and the registries that are configured on this machine; no registry of images. The builds begin
with the folder's first test (conftest.py); what is here comes last.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pyrage
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.docker import build
from gateway import config
from tests.conftest import free_port, missing
from tests.deploy.container_engine import DEBIAN, DISTROLESS, SERVICE, ContainerEngine, Images, absent
from tests.deploy.rendering import CHART, one, pod, rendered
from tests.deploy.test_compose import COMPOSE

LOOK = """
import importlib.metadata, json, os, pathlib, shutil, sys
application = pathlib.Path("/opt/parley/application")
def writable(path):
    try:
        pathlib.Path(path, "x").write_text("x")
    except OSError:
        return False
    return True
print(json.dumps({
    "uid": os.getuid(),
    "pip": [name for name in ("pip", "setuptools", "ensurepip") if __import__("importlib.util").util.find_spec(name)],
    "tools": [name for name in ("sh", "bash", "apt-get", "dpkg", "gcc", "cc", "ld", "make", "perl", "pip", "pip3")
              if shutil.which(name, path="/opt/parley/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")],
    "services": sorted(path.name for path in (application / "services").iterdir() if path.is_dir()),
    "distributions": sorted(one.metadata["Name"].lower() for one in importlib.metadata.distributions()),
    "compiled": any((application / "services" / "mesh" / "__pycache__").glob("server.*.pyc")),
    "left": [
        name
        for name in ("/etc/pip.conf", "/source", "/tool", os.path.expanduser("~root/.cache"), "/var/cache/pip")
        if os.path.exists(name)
    ],
    "writable": [path for path in ("/", "/opt/parley", "/etc", "/tmp", "/var/lib/parley") if writable(path)],
}))
"""


@pytest.fixture(scope="module")
def engine(images: Images | None) -> Iterator[ContainerEngine]:
    """Buildah and Podman with Debian's base, and one like the distroless one. Skips where a tool or root is missing."""
    if images is None:
        missing(absent())
    assert images is not None
    with contextlib.closing(images):
        yield images.engine()


@pytest.fixture(scope="module")
def service(engine: ContainerEngine, images: Images) -> str:
    """The image of a service."""
    return images.image(SERVICE)


@pytest.fixture(scope="module")
def seen(engine: ContainerEngine, service: str) -> dict[str, Any]:
    """What a process in the container finds there."""
    options = ["--volume", "seen:/var/lib/parley"]
    found: dict[str, Any] = json.loads(engine.call(*engine.run(service, "python", "-c", LOOK, options=options)))
    return found


def eventually(ask: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Asks until an answer is true. Raises AssertionError when the container ends before, or a minute passed."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, "the container ended"
        try:
            if ask():
                return
        except (grpc.RpcError, OSError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_image_says_how_it_runs(engine: ContainerEngine, service: str) -> None:
    found = engine.configuration(service)
    assert found["User"] == "65532:65532"
    assert found["Cmd"] == ["serve"]
    assert not found.get("Entrypoint")
    assert set(found["ExposedPorts"]) == {"50051/tcp", "9090/tcp"}
    labels = found["Labels"]
    assert labels["org.opencontainers.image.title"] == f"parley/{SERVICE}"
    assert labels["org.opencontainers.image.version"] == "test"
    assert labels["org.opencontainers.image.base.name"] == DISTROLESS
    assert labels.items() >= build.labels("test").items()


def test_nothing_that_builds_is_left_in_it(seen: dict[str, Any]) -> None:
    assert seen["uid"] == 65532
    assert not seen["pip"]
    assert not seen["tools"]
    assert not seen["left"]


def test_one_service_is_in_it_with_what_scanners_read(seen: dict[str, Any]) -> None:
    assert [name for name in seen["services"] if name != "__pycache__"] == [SERVICE, "mesh"]
    assert {"parley", "grpcio", "argon2-cffi", "sqlalchemy"} <= set(seen["distributions"])
    assert not {"sqlglot", "numpy", "pytest"} & set(seen["distributions"]), "what other services need"
    assert seen["compiled"], "a read-only image compiles nothing while it runs"


def test_only_the_volumes_can_be_written(seen: dict[str, Any]) -> None:
    assert seen["writable"] == ["/tmp", "/var/lib/parley"]  # noqa: S108 -- the container's


def test_what_the_build_was_told_about_registries_is_not_in_it(engine: ContainerEngine, service: str) -> None:
    history = engine.call(*engine.podman, "history", "--no-trunc", service)
    told = (engine.folder / "pip.conf").read_text()
    for line in told.splitlines()[1:]:
        for word in line.partition("=")[2].split():
            if "/" in word and "certificates" not in word:
                assert word not in history


def test_it_serves_read_only_and_ends_when_it_is_told_to(engine: ContainerEngine, service: str) -> None:
    """Until its health answers SERVING; then the chart's own test of a release agrees, and SIGTERM ends it with 0."""
    address, name = f"127.0.0.1:{free_port()}", "parley-serves"
    told = {"LISTEN": address, "DATABASE_URL": "sqlite:////var/lib/parley/identity.db"}
    options = [word for key, value in told.items() for word in ("--env", f"PARLEY_{SERVICE.upper()}_{key}={value}")]
    with engine.running(service, name, [*options, "--volume", "serves:/var/lib/parley"]) as process:
        readiness = pod(one(rendered(), "Deployment", f"parley-{SERVICE}"))["containers"][0]["readinessProbe"]["grpc"]
        request = health_pb2.HealthCheckRequest(service=readiness["service"])
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            eventually(
                lambda: health.Check(request, timeout=5).status == health_pb2.HealthCheckResponse.SERVING, process
            )
        script = (CHART / "files" / "test_release.py").read_text()
        asked = engine.run(service, "python", "-c", script, f"{SERVICE}={address}={readiness['service']}")
        assert "is ready" in engine.call(*asked)
        engine.call(*engine.podman, "exec", name, "python", "-m", "services.mesh.probe", address)
        engine.signal(name, "TERM")
        assert process.wait(60) == 0


def test_the_charts_migration_job_runs_in_it(engine: ContainerEngine, service: str, tmp_path: Path) -> None:
    secret = f"PARLEY_{SERVICE.upper()}_DATABASE_URL"
    (tmp_path / secret).write_text("sqlite:////var/lib/parley/identity.db")
    tmp_path.chmod(0o755)
    job = pod(one(rendered(), "Job", f"parley-{SERVICE}-migrate"))["containers"][0]
    options = ["--volume", f"{tmp_path}:/run/secrets/parley:ro", "--volume", "migrates:/var/lib/parley"]
    for _time in range(2):
        engine.call(*engine.run(service, *job["command"], *job["args"], options=options))


def test_the_backups_image_makes_dumps_and_restores_them(
    engine: ContainerEngine, images: Images, make_postgres: Callable[[], str], tmp_path: Path
) -> None:
    """The chart's commands, with a folder for a store."""
    image = images.image("backup")
    identity = pyrage.x25519.Identity.generate()
    recipients = [str(identity.to_public())]
    restore = {"service": SERVICE, "identitySecret": "key"}
    backup = {"enabled": True, "store": {"url": "s3://store"}, "recipients": recipients, "restore": restore}
    objects = rendered({"backup": backup})
    folders = {
        "store": "/store",
        "parley": "/run/secrets/parley",
        "backup": "/etc/parley/backup",
        "key": "/run/secrets/identity",
    }
    for name in folders:
        (tmp_path / name).mkdir()
    (tmp_path / "store").chmod(0o777)
    (tmp_path / "backup" / "recipients").write_text("\n".join(recipients))
    (tmp_path / "key" / "identity").write_text(str(identity))
    options = [word for name, path in folders.items() for word in ("--volume", f"{tmp_path / name}:{path}")]
    tmp_path.chmod(0o755)
    url, fresh = make_postgres(), make_postgres()
    for kind, workload, database in (
        ("CronJob", "parley-backup", url),
        ("Job", f"parley-backup-restore-{SERVICE}", fresh),
    ):
        (tmp_path / "parley" / f"PARLEY_{SERVICE.upper()}_DATABASE_URL").write_text(database)
        (item,) = [each for each in pod(one(objects, kind, workload))["containers"] if each["name"] == SERVICE]
        told = [word for each in item["env"] for word in ("--env", f"{each['name']}={each['value']}")]
        arguments = [argument.replace("s3://store", "/store") for argument in item["args"]]
        done = engine.call(*engine.run(image, *item["command"], *arguments, options=[*options, *told]))
        assert re.fullmatch(rf"{SERVICE}-\w+\.dump\.age", done.strip())
    found = engine.configuration(image)
    assert (found["User"], found.get("Entrypoint")) == ("65532:65532", None)
    look = (
        "import importlib.util as u; print([name for name in ('pip', 's3fs', 'gcsfs', 'adlfs') if u.find_spec(name)])"
    )
    assert engine.call(*engine.run(image, "python", "-c", look)).strip() == "['s3fs', 'gcsfs', 'adlfs']"


def test_the_gateways_image_takes_the_charts_configuration(engine: ContainerEngine, tmp_path: Path) -> None:
    """On a base that has Envoy where its own image has it; started with the chart's command and files."""
    try:
        envoy = config.executable()
    except config.EnvoyMissingError as error:
        pytest.skip(str(error))
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(envoy, context / "envoy")
    (context / "Dockerfile").write_text(f"FROM {DEBIAN}\nCOPY envoy /usr/local/bin/envoy\n")
    engine.call("buildah", *engine.store, "build", "--isolation", "chroot", "--tag", "localhost/envoy", str(context))
    image = engine.build("gateway", BASE_IMAGE="localhost/envoy")
    files = tmp_path / "cluster"
    files.mkdir()
    for file, text in one(rendered(), "ConfigMap", "parley-gateway")["data"].items():
        (files / file).write_text(text)
    container = pod(one(rendered(), "Deployment", "parley-gateway"))["containers"][0]
    # A network of its own, with nobody else: the ports are the real ones.
    options = ["--network=none", "--volume", f"{files}:/etc/parley/cluster:ro", "--workdir", container["workingDir"]]
    with engine.running(image, "parley-gateway", options, *container["command"]) as process:
        inside = [*engine.podman, "exec", "parley-gateway"]
        healthy = [*inside, *COMPOSE["services"]["gateway"]["healthcheck"]["test"][1:]]
        eventually(lambda: subprocess.run(healthy, capture_output=True, check=False).returncode == 0, process)
        # The drain hook is a script of Bash.
        engine.call(*inside, "bash", "/etc/parley/cluster/drain.sh", "0", "5")
        engine.signal("parley-gateway", "TERM")
        assert process.wait(60) == 0
