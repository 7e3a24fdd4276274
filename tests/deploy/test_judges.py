"""Judges from outside: Helm's linter, strict YAML parsers, Kubernetes' schemas, kustomize, checkov."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Hashable
from typing import Any

import helm_python as helm
import kubernetes_validate.utils as schemas
import pytest
import yaml

from tests.conftest import ROOT, missing
from tests.deploy.rendering import CASES, CHART, NAMESPACE, RELEASE, containers, rendered, texts, workloads
from tests.deploy.test_kustomize import OVERLAYS, build, built

VERSIONS = ("1.31", "1.34", "1.37")
# Groups of custom resources, whose schemas Kubernetes does not have: test_crds.py judges them.
CUSTOM = {
    "cert-manager.io",
    "external-secrets.io",
    "gateway.networking.k8s.io",
    "keda.sh",
    "monitoring.coreos.com",
    "postgresql.cnpg.io",
}
DIGEST = "sha256:" + "0123456789abcdef" * 4
# A schema is read from its file for every object otherwise.
_read = functools.cache(schemas.schema_contents)


@pytest.fixture(autouse=True)
def _cached_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "schema_contents", _read)


@functools.cache
def faults(text: str, version: str) -> str:
    """What Kubernetes of that version says of an object in JSON; empty when nothing."""
    item = json.loads(text)
    try:
        schemas.validate(item, version, True)
    except schemas.SchemaNotFoundError as error:
        group = item["apiVersion"].partition("/")[0]
        return "" if group in CUSTOM else error.message
    except schemas.ValidationError as error:
        return f"{item['kind']}/{item['metadata']['name']}: {'.'.join(map(str, error.path))}: {error.message}"
    return ""


def check_schemas(objects: list[dict[str, Any]], version: str) -> None:
    """Fails when Kubernetes would refuse a field, or not know a kind."""
    assert objects
    found = [fault for item in objects if (fault := faults(json.dumps(item, sort_keys=True), version))]
    assert not found


def dumped(objects: list[dict[str, Any]]) -> str:
    """Objects as a file of YAML."""
    return str(yaml.dump_all(objects, Dumper=yaml.CSafeDumper))


class StrictLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """Refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping. Raises yaml.YAMLError for a key that is there twice."""
        keys = [self.construct_object(key) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError(f"a key is there twice: {keys}")
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return made


@pytest.mark.parametrize("case", CASES)
def test_helm_lints_without_a_warning(case: str) -> None:
    report = helm.lint(CHART, dict(CASES[case]), strict=True)
    assert report["total_charts_linted"] == 1
    assert [message for message in report["messages"] if message["severity"] >= 2] == []
    assert report["errors"] == []


@pytest.mark.parametrize("case", CASES)
def test_yaml_is_strict(case: str) -> None:
    """Two parsers: ours that refuses double keys, and libyaml."""
    for path, text in texts(CASES[case]).items():
        if path.endswith(".yaml"):
            # Most of what a template renders is the same in many cases.
            for document in re.split(r"^---$", text, flags=re.MULTILINE):
                check_yaml(document)


@functools.cache
def check_yaml(text: str) -> None:
    """Fails when a parser refuses a text, or reads it as the other does not."""
    assert list(yaml.load_all(text, StrictLoader)) == list(yaml.load_all(text, yaml.CSafeLoader)), text
    assert "\t" not in text, text


@pytest.mark.parametrize("case", CASES)
def test_kustomize_takes_the_render_and_finds_nothing_twice(case: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "all.yaml").write_text(dumped(rendered(CASES[case])))
    (tmp_path / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    assert len(build(tmp_path)) == len(rendered(CASES[case]))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_the_chart(case: str, version: str) -> None:
    """Image volumes came with 1.31's schema; 1.33 is what the chart asks for with them."""
    check_schemas(rendered(CASES[case]), version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_the_overlays(overlay: str, version: str) -> None:
    check_schemas(built(overlay), version)


def test_the_judge_sees_a_wrong_field() -> None:
    item = next(item for item in rendered() if item["kind"] == "Deployment")
    item["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
    assert "imagePolicy" in faults(json.dumps(item), "1.34")
    assert "no-such" in faults(json.dumps({**item, "apiVersion": "no-such/v1"}), "1.34")


def checkov() -> str:
    """Checkov's executable: its dependencies do not go together with ours, so it has an environment of its own."""
    own = ROOT / ".venv-checkov" / "bin" / "checkov"
    found = str(own) if own.exists() else shutil.which("checkov")
    if found is None:
        missing("checkov (make checkov)")
    assert found is not None
    return found


def with_digests(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects with every image pinned, as a release that is deployed has them."""
    for workload in workloads(objects):
        for container in containers(workload):
            container["image"] = re.sub(r"(@.*)?$", f"@{DIGEST}", container["image"], count=1)
    return objects


def test_checkov_finds_nothing(tmp_path: pathlib.Path) -> None:
    """One run over every case and overlay: starting it takes longer than what it does."""
    everything = {
        name: rendered(values, name=RELEASE, namespace=f"{NAMESPACE}-{name}") for name, values in CASES.items()
    }
    everything |= {f"overlay-{name}": [*built(name)] for name in OVERLAYS}
    del everything["minimal"]  # It shows what can be turned off, network policies among it.
    count = 0
    for name, objects in everything.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "all.yaml").write_text(dumped(with_digests(json.loads(json.dumps(objects)))))
        count += len([item for item in objects if item["apiVersion"].partition("/")[0] not in CUSTOM])
    words = [
        checkov(),
        "--directory",
        str(tmp_path),
        "--framework",
        "kubernetes",
        "--output",
        "json",
        "--quiet",
        "--compact",
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "BC_SKIP_MAPPING": "TRUE"}
    )
    report = json.loads(done.stdout)
    failed = report["results"]["failed_checks"]
    assert {(item["check_id"], item["check_name"], item["resource"]) for item in failed} == set()
    assert report["summary"]["skipped"] == 0
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] >= count, "it passes over what it cannot read without a word"
