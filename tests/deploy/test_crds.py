"""Custom resources against the definitions of their operators, which Kubernetes' own schemas do not have.

`@kubernetes-models` makes two things of every definition: a validator (what is needed, types, enumerations, patterns),
and a type, by which TypeScript refuses a field that the definition does not know, however deep.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import node
from tests.deploy.rendering import CASES, Object, rendered
from tests.deploy.test_judges import CUSTOM
from tests.deploy.test_kustomize import OVERLAYS, built

# The package that has a group's definitions.
PACKAGES = {
    "cert-manager.io": "cert-manager@6.0.0",
    "external-secrets.io": "external-secrets@2.0.0",
    "gateway.networking.k8s.io": "gateway-api@2.0.0",
    "keda.sh": "keda@2.0.0",
    "monitoring.coreos.com": "prometheus-operator@6.0.0",
    "postgresql.cnpg.io": "cloudnative-pg@2.0.0",
}
TYPESCRIPT = "typescript@5.9.3"
VALIDATE = """
import { readFileSync } from "node:fs";
for (const [path, kind, item] of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  try {
    new (await import(path))[kind](item).validate();
    console.log("");
  } catch (error) {
    console.log(error.message);
  }
}
"""


@pytest.fixture(scope="module")
def models() -> Path:
    """The folder with the packages."""
    names = [f"@kubernetes-models/{package}" for package in PACKAGES.values()]
    return node.packages(*names, TYPESCRIPT) / "node_modules"


def definition(models: Path, item: Object) -> Path:
    """The module of an object's kind."""
    group, version = item["apiVersion"].split("/")
    package = PACKAGES[group].partition("@")[0]
    return models.joinpath("@kubernetes-models", package, group, version, f"{item['kind']}.js")


def faults(models: Path, folder: Path, objects: list[Object]) -> list[str]:
    """What the definitions say against each object; empty where nothing.

    Args:
        models: The folder with the packages.
        folder: Where files may be written.
        objects: Custom resources.
    """
    paths = [str(definition(models, item)) for item in objects]
    (folder / "validate.mjs").write_text(VALIDATE)
    kinds = [item["kind"] for item in objects]
    (folder / "objects.json").write_text(json.dumps([*zip(paths, kinds, objects, strict=True)]))
    run = ["node", str(folder / "validate.mjs"), str(folder / "objects.json")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()
    assert len(found) == len(objects)
    # An object on each line: TypeScript says which line is wrong.
    lines = [
        f"export const object{index}: import({json.dumps(path)}).I{item['kind']} = {json.dumps(item)};"
        for index, (path, item) in enumerate(zip(paths, objects, strict=True))
    ]
    (folder / "objects.mts").write_text("\n".join(lines))
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--pretty", "false"]
    compiler = ["node", str(models / "typescript" / "lib" / "tsc.js"), *options, str(folder / "objects.mts")]
    done = subprocess.run(compiler, capture_output=True, text=True, check=False, cwd=folder)
    for line, message in re.findall(r"objects\.mts\((\d+),\d+\): error (.*)", done.stdout):
        found[int(line) - 1] = f"{found[int(line) - 1]} {message}".strip()
    assert bool(done.returncode) == ("error" in done.stdout), done.stdout + done.stderr
    assert done.returncode == 0 or any(found), done.stdout
    return found


def custom_resources() -> Iterator[Object]:
    """Every custom resource of every case and overlay, each once."""
    seen = set()
    for items in (*(rendered(values) for values in CASES.values()), *(built(name) for name in OVERLAYS)):
        for item in items:
            text = json.dumps(item, sort_keys=True)
            if item["apiVersion"].partition("/")[0] in CUSTOM and text not in seen:
                seen.add(text)
                yield item


def test_there_are_definitions_of_every_group_that_is_used() -> None:
    assert set(PACKAGES) == CUSTOM


def test_definitions_take_what_is_rendered(models: Path, tmp_path: Path) -> None:
    objects = [*custom_resources()]
    assert {item["apiVersion"].partition("/")[0] for item in objects} == CUSTOM
    found = faults(models, tmp_path, objects)
    wrong = [f"{i['kind']}/{i['metadata']['name']}: {text}" for i, text in zip(objects, found, strict=True) if text]
    assert not wrong


# What each kind must not have: a change of an object, and a word of what is said against it.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "Certificate": ({"privateKey": {"rotation": "Always"}}, "rotation"),
    "Issuer": ({"selfSigned": [], "ca": {"secret": "x"}}, "secret"),
    "ExternalSecret": ({"refreshInterval": 5}, "refreshInterval"),
    "HTTPRoute": ({"rules": [{"backendRefs": [{"name": "x", "ports": 1}]}]}, "ports"),
    "GRPCRoute": ({"parentRefs": [{"namespace": "x"}]}, "name"),
    "ScaledObject": ({"minReplicas": 1}, "minReplicas"),
    "ServiceMonitor": ({"endpoints": [{"port": "metrics", "intervall": "30s"}]}, "intervall"),
    "PodMonitor": ({"podMetricsEndpoints": [{"port": 9902}]}, "port"),
    "PrometheusRule": ({"groups": [{"name": "x", "rules": [{"alerts": "X", "expr": "up"}]}]}, "alerts"),
    "Cluster": ({"instances": "one"}, "instances"),
}


def test_a_wrong_field_is_refused(models: Path, tmp_path: Path) -> None:
    first = {item["kind"]: item for item in reversed([*custom_resources()])}
    assert set(WRONG) == set(first), "every kind"
    objects = [{**first[kind], "spec": {**first[kind]["spec"], **change}} for kind, (change, _) in WRONG.items()]
    for (kind, (_, word)), text in zip(WRONG.items(), faults(models, tmp_path, objects), strict=True):
        assert word in text, kind
