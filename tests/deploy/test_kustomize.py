"""The kustomize tree gives what the chart gives, alone and in combinations."""

from __future__ import annotations

import copy
import functools
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from scripts import kustomize
from scripts.kustomize import CLOUDS, DEFAULT, EXCLUSIVE, FEATURES, OFF, TREE, configured, merge
from tests.conftest import ROOT, missing
from tests.deploy.rendering import CHART, rendered

OVERLAYS = [*CLOUDS, "dev"]
# Each alone, pairs that touch the same objects, and everything together.
COMBINATIONS: list[tuple[str, ...]] = [
    (),
    *((*feature.on, name) for name, feature in FEATURES.items()),
    DEFAULT,
    ("network-policies", "autoscaling-keda"),
    ("network-policies", "mtls"),
    ("autoscaling-hpa", "mtls"),
    ("external-secrets", "mtls"),
    ("monitoring", "mtls"),
    ("gateway-api", "mtls"),
    tuple(name for name in FEATURES if name != "autoscaling-keda"),
    tuple(name for name in FEATURES if name != "autoscaling-hpa"),
]


def build(folder: pathlib.Path) -> list[dict[str, Any]]:
    """What kustomize makes of a folder, without a word on standard error."""
    if shutil.which("kubectl") is None:
        missing("kubectl 1.27 or newer")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns of what it will not take some day"
    return [item for item in yaml.load_all(done.stdout, yaml.CSafeLoader) if item]


@functools.cache
def built(overlay: str) -> list[dict[str, Any]]:
    """What kustomize makes of an overlay."""
    return build(TREE / "overlays" / overlay)


def sorted_names(value: Any) -> Any:
    """The same with lists of named things in the order of their names: no order is meant there."""
    if isinstance(value, dict):
        return {key: sorted_names(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [sorted_names(item) for item in value]
        return sorted(items, key=lambda item: str(item["name"])) if kustomize.named(items) else items
    return value


def normalised(objects: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """Objects by kind and name, without namespaces and the Namespace itself."""
    kept = [copy.deepcopy(item) for item in objects if item["kind"] != "Namespace"]
    for item in kept:
        item["metadata"].pop("namespace", None)
    return {(item["kind"], item["metadata"]["name"]): sorted_names(item) for item in kept}


def same(made: list[dict[str, Any]], wanted: dict[tuple[str, str], Any]) -> None:
    """Fails where the two differ, and says in which objects."""
    found, wanted = normalised(made), {key: sorted_names(item) for key, item in wanted.items()}
    assert set(found) == set(wanted)
    different = [key for key in wanted if found[key] != wanted[key]]
    assert not different, [(key, list(kustomize.difference(found[key], wanted[key]))) for key in different]


def combine(folder: pathlib.Path, features: tuple[str, ...], *, gpu: bool) -> pathlib.Path:
    """A folder with the base and these components."""
    folder.mkdir()
    here = pathlib.Path(os.path.relpath(TREE, folder))
    components = [str(here / "components" / "gpu")] if gpu else []
    components += [str(here / "components" / name / ("gpu" if gpu else "")) for name in FEATURES if name in features]
    tree = {"kind": "Kustomization", "resources": [str(here / "base")], "components": components}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(tree))
    return folder


@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("features", COMBINATIONS, ids="+".join)
def test_components_give_what_the_chart_gives(features: tuple[str, ...], gpu: bool, tmp_path: pathlib.Path) -> None:
    made = build(combine(tmp_path / "tree", features, gpu=gpu))
    same(made, kustomize.render(configured(features, gpu=gpu)))


def test_base_and_its_two_defaults_are_the_charts_default(tmp_path: pathlib.Path) -> None:
    """Not `configured`, which this tree is written by, but the chart as it is installed with no values at all."""
    made = build(combine(tmp_path / "tree", DEFAULT, gpu=False))
    wanted = [item for item in rendered() if "helm.sh/hook" not in item["metadata"].get("annotations", {})]
    same(made, {(i["kind"], i["metadata"]["name"]): kustomize.normal(i) for i in wanted})


@pytest.mark.parametrize("name", CLOUDS)
def test_overlays_of_clouds_are_the_charts_values_of_them(name: str) -> None:
    values = yaml.safe_load((CHART / f"values-{name}.yaml").read_text())
    wanted = [
        item
        for item in rendered(values, namespace="parley")
        if "helm.sh/hook" not in item["metadata"].get("annotations", {})
    ]
    same(built(name), {(i["kind"], i["metadata"]["name"]): kustomize.normal(i) for i in wanted})


def test_the_overlay_for_trying_out_is_the_charts_values_for_it() -> None:
    values = yaml.safe_load((CHART / "values-dev.yaml").read_text())
    wanted = [item for item in rendered(values) if "helm.sh/hook" not in item["metadata"].get("annotations", {})]
    same(built("dev"), {(i["kind"], i["metadata"]["name"]): kustomize.normal(i) for i in wanted})


def test_the_tree_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.kustomize", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays_have_a_restricted_namespace_of_their_own(name: str) -> None:
    (namespace,) = [item for item in built(name) if item["kind"] == "Namespace"]
    for mode in ("enforce", "audit", "warn"):
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
    names = {item["metadata"].get("namespace") for item in built(name) if item["kind"] != "Namespace"}
    assert names == {namespace["metadata"]["name"]}


def test_the_base_has_no_namespace() -> None:
    for path in (TREE / "base").glob("*.yaml"):
        assert "\n  namespace:" not in path.read_text()


@pytest.mark.parametrize(
    "path", sorted(p.parent for p in TREE.rglob("kustomization.yaml")), ids=lambda p: p.relative_to(TREE).as_posix()
)
def test_kustomizations_use_nothing_that_is_going_away(path: pathlib.Path) -> None:
    tree = yaml.safe_load((path / "kustomization.yaml").read_text())
    assert not {"commonLabels", "patchesStrategicMerge", "patchesJson6902", "vars", "bases"} & set(tree)
    assert not any(label.get("includeSelectors") for label in tree.get("labels", []))


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays_set_the_version_of_every_image_in_one_place(name: str) -> None:
    tree = yaml.safe_load((TREE / "overlays" / name / "kustomization.yaml").read_text())
    listed = {image["name"] for image in tree["images"]}
    used = set()
    for item in built(name):
        if item["kind"] == "Deployment":
            spec = item["spec"]["template"]["spec"]
            used |= {container["image"].split(":")[0] for container in spec["containers"]}
    assert used == listed


@pytest.mark.parametrize("name", FEATURES)
def test_every_component_says_what_it_is(name: str) -> None:
    for place in (TREE / "components" / name, TREE / "components" / name / "gpu"):
        assert FEATURES[name].text in (place / "kustomization.yaml").read_text()
    assert f"`{name}`" in (TREE / "README.md").read_text()


def test_the_two_ways_of_scaling_exclude_each_other() -> None:
    assert all(EXCLUSIVE[other] == name for name, other in EXCLUSIVE.items())
    kinds = [{kind for kind, _ in kustomize.render(configured([name]))} for name in EXCLUSIVE]
    for one, other in itertools.permutations(kinds):
        assert not {"HorizontalPodAutoscaler", "ScaledObject"} <= one | (one & other)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2, "d/e": 3}}),
        ([{"name": "x", "v": 1}, {"name": "y"}], [{"name": "y", "w": 2}, {"name": "z"}]),
        ({"l": [1, 2]}, {"l": [2]}),
        ({"l": [{"name": "x"}]}, {"l": []}),
    ],
)
def test_a_patch_makes_the_one_of_the_other(before: Any, after: Any) -> None:
    assert sorted_names(apply(before, list(kustomize.difference(before, after)))) == sorted_names(after)


def apply(document: Any, operations: list[dict[str, Any]]) -> Any:
    """A document after a JSON patch."""
    whole = {"root": copy.deepcopy(document)}
    for operation in operations:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in f"root{operation['path']}".split("/")]
        place: Any = whole
        for part in path:
            place = place[int(part) if isinstance(place, list) else part]
        if operation["op"] == "remove":
            del place[int(last) if isinstance(place, list) else last]
        elif last == "-":
            place.append(operation["value"])
        else:
            place[int(last) if isinstance(place, list) else last] = operation["value"]
    return whole["root"]


def test_values_are_merged_as_helm_merges_them() -> None:
    assert merge({"a": {"b": 1}}, {"a": {"c": [1]}}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}}
    assert OFF["networkPolicy"] == {"enabled": False}
