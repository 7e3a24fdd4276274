"""Renders the chart with the real Helm, once for each set of values, and looks things up in what comes out."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import helm_python as helm
import yaml

from tests.conftest import ROOT

CHART = ROOT / "deploy" / "helm" / "parley"
RELEASE = "parley"
NAMESPACE = "assistants"
Object = dict[str, Any]
Values = Mapping[str, Any]


def _cases() -> dict[str, Values]:
    """The values that every invariant is held against: the defaults, every values file, every ci file."""
    files = [*sorted(CHART.glob("values-*.yaml")), *sorted(CHART.glob("ci/*.yaml"))]
    return {path.stem.removeprefix("values-"): yaml.safe_load(path.read_text()) or {} for path in files}


CASES = _cases()


def texts(values: Values | None = None, *, name: str = RELEASE, namespace: str = NAMESPACE) -> dict[str, str]:
    """What each template renders to."""
    return _texts(json.dumps(values or {}), name, namespace)


def rendered_anew(values: Values) -> dict[str, str]:
    """What `texts` gives, rendered once more."""
    with helm.Chart.load(CHART) as chart:
        return chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)


@functools.cache
def _texts(values: str, name: str, namespace: str) -> dict[str, str]:
    with helm.Chart.load(CHART) as chart:
        return chart.render(json.loads(values), name=name, namespace=namespace)


def rendered(values: Values | None = None, *, name: str = RELEASE, namespace: str = NAMESPACE) -> list[Object]:
    """The objects that the chart renders, hooks included."""
    # Everybody may change theirs. Unpickling is several times faster than a deep copy.
    objects: list[Object] = pickle.loads(_rendered(json.dumps(values or {}), name, namespace))  # noqa: S301 — our own
    return objects


@functools.cache
def _rendered(values: str, name: str, namespace: str) -> bytes:
    manifests = [text for path, text in _texts(values, name, namespace).items() if path.endswith(".yaml")]
    return pickle.dumps([item for text in manifests for item in yaml.load_all(text, yaml.CSafeLoader) if item])


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The object of that kind and name."""
    (found,) = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def component(item: Object) -> str:
    """The component that an object belongs to."""
    return str(item["metadata"]["labels"]["app.kubernetes.io/component"])


def hook(item: Object) -> bool:
    """Whether Helm makes it at a point of its own and no part of the release."""
    return "helm.sh/hook" in item["metadata"].get("annotations", {})


def workloads(objects: list[Object]) -> list[Object]:
    """Everything that makes pods."""
    return of_kind(objects, "Deployment", "StatefulSet", "Job", "Pod", "CronJob")


def template(workload: Object) -> Object:
    """What a workload makes its pods of."""
    if workload["kind"] == "Pod":
        return workload
    made: Object = (workload["spec"]["jobTemplate"] if workload["kind"] == "CronJob" else workload)["spec"]["template"]
    return made


def pod(workload: Object) -> Object:
    """The pod's spec of a workload."""
    spec: Object = template(workload)["spec"]
    return spec


def pod_labels(workload: Object) -> dict[str, str]:
    """The labels of a workload's pods."""
    found: dict[str, str] = template(workload)["metadata"]["labels"]
    return found


def containers(workload: Object) -> Iterator[Object]:
    """Every container of a workload's pods, those that run first included."""
    spec = pod(workload)
    yield from spec.get("initContainers", [])
    yield from spec["containers"]


def environment(workload: Object) -> dict[str, str]:
    """The variables of a workload's first container."""
    return {item["name"]: item.get("value", "") for item in pod(workload)["containers"][0].get("env", [])}


def failure(values: Values) -> str:
    """What Helm says of values that it refuses. Raises AssertionError when it takes them."""
    try:
        with helm.Chart.load(CHART) as chart:
            chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    except helm.HelmError as error:
        return str(error)
    raise AssertionError(f"accepted: {values}")
