"""Writes deploy/kustomize from the Helm chart: a base, components and overlays that give what the chart gives.

base/                       the chart's default render, but for what the next two hold, and hooks, which kustomize lacks
components/network-policies, components/autoscaling-hpa
components/<feature>        what a feature adds and changes, as resources and JSON patches
components/<feature>/gpu    the same beside components/gpu
overlays/<name>             components, and what values-<name>.yaml changes on top

Every component is the difference of two renders, so that `kubectl kustomize` and `helm template` cannot drift apart.
`--check` writes nothing and fails when a file differs.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import helm_python as helm
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "parley"
TREE = ROOT / "deploy" / "kustomize"
NAMESPACE = "parley"
HEAD = "# Written by scripts/kustomize.py from the Helm chart.\n"
Object = dict[str, Any]
Key = tuple[str, str]
# Kustomize trims a patch: a text at its end would lose the end of its last line.
END = "# end\n"
GPU = {"triton": {"profile": "gpu"}}


class Feature(NamedTuple):
    """Something that a component turns on."""

    values: dict[str, Any]
    """What says so to the chart."""
    text: str
    """What it is, for the component's first line."""
    on: tuple[str, ...] = ()
    """Components that are always listed with it, before it: it adds to what they do."""


# In this order they are listed in an overlay: a later one may change what an earlier one made.
FEATURES = {
    "network-policies": Feature({"networkPolicy": {"enabled": True}}, "Pods reach whom they call, and nobody else."),
    "autoscaling-hpa": Feature({"defaults": {"autoscaling": {"engine": "hpa"}}}, "HorizontalPodAutoscalers."),
    "autoscaling-keda": Feature(
        {"defaults": {"autoscaling": {"engine": "keda"}}},
        f"KEDA in the place of HorizontalPodAutoscalers. Its queries are about the namespace {NAMESPACE}.",
    ),
    "external-secrets": Feature(
        {"externalSecrets": {"enabled": True, "storeRef": {"name": "parley"}}},
        "Secrets from the External Secrets operator's ClusterSecretStore `parley`.",
    ),
    "monitoring": Feature(
        {
            "monitoring": {
                name: {"enabled": True}
                for name in ("serviceMonitor", "prometheusRule", "dashboards", "prometheusAdapter")
            }
        },
        "ServiceMonitors, rules and dashboards for the Prometheus operator and Grafana.",
    ),
    "gateway-api": Feature(
        {
            "gateway": {
                "mode": "gatewayapi",
                "gatewayApi": {
                    "parentRefs": [{"name": "public"}],
                    "hostnames": ["parley.example.com"],
                    "grpcHostnames": ["grpc.parley.example.com"],
                },
            }
        },
        "Routes from the Gateway `public`; patch the host names.",
    ),
    "backup": Feature(
        {"backup": {"enabled": True, "store": {"url": "s3://parley-backups"}, "recipientsConfigMap": "parley-backup"}},
        "A CronJob that backs the databases up; patch the store's URL. Recipients are the ConfigMap `parley-backup`'s.",
        on=("network-policies",),
    ),
    "mtls": Feature({"mtls": {"enabled": True}}, "Certificates on both sides between components, from cert-manager."),
}
EXCLUSIVE = {"autoscaling-keda": "autoscaling-hpa", "autoscaling-hpa": "autoscaling-keda"}
DEFAULT = ("network-policies", "autoscaling-hpa")
CLOUDS = {"aks": "Azure Kubernetes Service", "eks": "Amazon EKS", "gke": "Google Kubernetes Engine"}
# What a feature is where it is off, which the chart's defaults do not say.
OFF = {"networkPolicy": {"enabled": False}, "defaults": {"autoscaling": {"engine": "none"}}}


def merge(*values: dict[str, Any]) -> dict[str, Any]:
    """Values over values, maps merged."""
    made: dict[str, Any] = {}
    for layer in values:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(made.get(key), dict)
            made[key] = merge(made[key], value) if both else copy.deepcopy(value)
    return made


def render(values: dict[str, Any]) -> dict[Key, Object]:
    """The chart's objects as kustomize has them: without hooks, namespaces and what is only Helm's."""
    return copy.deepcopy(_render(json.dumps(values, sort_keys=True)))


@functools.cache
def _render(values: str) -> dict[Key, Object]:
    with helm.Chart.load(CHART) as chart:
        manifests = chart.render(json.loads(values), name="parley", namespace=NAMESPACE)
    texts = [text for path, text in manifests.items() if path.endswith(".yaml")]
    objects = [item for text in texts for item in yaml.load_all(text, yaml.CSafeLoader) if item]
    kept = [normal(item) for item in objects if "helm.sh/hook" not in item["metadata"].get("annotations", {})]
    return {(item["kind"], item["metadata"]["name"]): item for item in sorted(kept, key=order)}


def order(item: Object) -> tuple[str, str]:
    """By kind, then by name."""
    return item["kind"], item["metadata"]["name"]


def normal(item: Object) -> Object:
    """An object without its namespace and Helm's own labels and annotations."""
    metadata = item["metadata"]
    metadata.pop("namespace", None)
    for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
        metadata["labels"].pop(label, None)
    metadata.get("annotations", {}).pop("helm.sh/resource-policy", None)
    if not metadata.get("annotations", True):
        del metadata["annotations"]
    return item


def configured(features: Sequence[str], *, gpu: bool = False) -> dict[str, Any]:
    """The values of a tree with these features."""
    return merge(OFF, GPU if gpu else {}, *(FEATURES[name].values for name in FEATURES if name in features))


def escape(key: str) -> str:
    """A key as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def named(value: Any) -> bool:
    """Whether it is a list whose items have names, different ones."""
    if not isinstance(value, list) or not all(isinstance(item, dict) and "name" in item for item in value):
        return False
    return len({item["name"] for item in value}) == len(value)


def difference(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """The JSON patch (RFC 6902) that makes `after` of `before`. New items of lists with names go to the end."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            if key not in after:
                yield {"op": "remove", "path": f"{path}/{escape(key)}"}
        for key, value in after.items():
            if key in before:
                yield from difference(before[key], value, f"{path}/{escape(key)}")
            else:
                yield {"op": "add", "path": f"{path}/{escape(key)}", "value": value}
    elif named(before) and named(after):
        wanted = {item["name"]: item for item in after}
        there = {item["name"] for item in before}
        for index, item in enumerate(before):
            if item["name"] in wanted:
                yield from difference(item, wanted[item["name"]], f"{path}/{index}")
        for index, item in reversed(list(enumerate(before))):
            if item["name"] not in wanted:
                yield {"op": "remove", "path": f"{path}/{index}"}
        for name, item in wanted.items():
            if name not in there:
                yield {"op": "add", "path": f"{path}/-", "value": item}
    else:
        yield {"op": "replace", "path": path, "value": after}


def block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Texts of several lines as blocks."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML ships no types
    """Writes texts of several lines as blocks, and no references."""

    def ignore_aliases(self, data: Any) -> bool:
        """References are for machines."""
        return True


Dumper.add_representer(str, block)


def dump(*items: Any) -> str:
    """YAML documents."""
    return "---\n".join(yaml.dump(item, Dumper=Dumper, sort_keys=False, width=10_000) for item in items)


def kustomization(kind: str, text: str, **fields: Any) -> str:
    """A kustomization, fields that are empty left out."""
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    head = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind}
    return HEAD + f"# {text}\n" + dump(head | {name: value for name, value in fields.items() if value})


def changes(before: dict[Key, Object], after: dict[Key, Object]) -> tuple[list[Object], list[Object]]:
    """What makes one render of another: new objects, and patches (those of objects that go included)."""
    patches = []
    for key, item in before.items():
        target = {"kind": key[0], "name": key[1]}
        if key not in after:
            gone = {"apiVersion": item["apiVersion"], "kind": key[0], "metadata": {"name": key[1]}, "$patch": "delete"}
            patches.append({"target": target, "patch": dump(gone)})
        elif operations := list(difference(item, after[key])):
            patches.append({"target": target, "patch": dump(operations) + END})
    return [item for key, item in after.items() if key not in before], patches


def written(folder: str, kind: str, text: str, objects: list[Object], **fields: Any) -> dict[str, str]:
    """The files of a folder: the kustomization, and a file for each kind of object."""
    files: dict[str, list[Object]] = {}
    for item in objects:
        files.setdefault(f"{item['kind'].lower()}s.yaml", []).append(item)
    resources = [*fields.pop("resources", []), *files]
    made = {f"{folder}/{name}": HEAD + dump(*items) for name, items in files.items()}
    return made | {f"{folder}/kustomization.yaml": kustomization(kind, text, resources=resources, **fields)}


def component(folder: str, text: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """A component that makes the one render of the other."""
    new, patches = changes(render(before), render(after))
    return written(folder, "Component", text, new, patches=patches)


def overlay(name: str, text: str, features: Sequence[str], values: dict[str, Any], *, gpu: bool) -> dict[str, str]:
    """An overlay: components, and what the values change beyond them."""
    folder = f"overlays/{name}"
    new, patches = changes(render(configured(features, gpu=gpu)), render(values))
    components = [f"../../components/{feature}{'/gpu' * gpu}" for feature in FEATURES if feature in features]
    if gpu:
        components.insert(0, "../../components/gpu")
    images = sorted({item["image"].split(":")[0] for item in _containers(render(values))})
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    made = written(
        folder,
        "Kustomization",
        text,
        new,
        namespace=NAMESPACE,
        resources=["namespace.yaml", "../../base"],
        components=components,
        patches=patches,
        images=[{"name": image, "newTag": version} for image in images],
    )
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    return made | {f"{folder}/namespace.yaml": HEAD + dump(namespace)}


def _containers(objects: dict[Key, Object]) -> Iterator[Object]:
    """The containers of all Deployments."""
    for (kind, _), item in objects.items():
        if kind == "Deployment":
            spec = item["spec"]["template"]["spec"]
            yield from [*spec.get("initContainers", []), *spec["containers"]]


def outputs() -> dict[str, str]:
    """Every file of the tree but the READMEs, with its text."""
    made = written(
        "base",
        "Kustomization",
        "Everything but scaling and network policies, without a namespace.",
        [*render(OFF).values()],
    )
    made |= component(
        "components/gpu", "Triton on GPUs: one Deployment for each group of models.", OFF, merge(OFF, GPU)
    )
    for gpu in (False, True):
        for name, feature in FEATURES.items():
            earlier = list(FEATURES)[: list(FEATURES).index(name)]
            before = [other for other in earlier if other not in ("autoscaling-keda", EXCLUSIVE.get(name))]
            values = configured(before, gpu=gpu), configured([*before, name], gpu=gpu)
            made |= component(f"components/{name}{'/gpu' * gpu}", feature.text, *values)
    defaults = configured(DEFAULT, gpu=True)
    for name, text in CLOUDS.items():
        values = yaml.safe_load((CHART / f"values-{name}.yaml").read_text())
        made |= overlay(name, f"{text}, with GPUs.", DEFAULT, merge(defaults, values), gpu=True)
    dev = yaml.safe_load((CHART / "values-dev.yaml").read_text())
    features = ["network-policies"]
    return made | overlay("dev", "One node, to try it out.", features, merge(configured(features), dev), gpu=False)


def main() -> None:
    """Writes, or checks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    made = outputs()
    if parser.parse_args().check:
        there = {p.relative_to(TREE).as_posix(): p.read_text() for p in TREE.rglob("*.yaml")}
        stale = sorted(name for name in there.keys() | made.keys() if there.get(name) != made.get(name))
        if stale:
            sys.exit("Not up to date; run `python scripts/kustomize.py`:\n  " + "\n  ".join(stale))
        return
    with tempfile.TemporaryDirectory() as kept:
        for readme in TREE.rglob("README.md"):
            target = pathlib.Path(kept) / readme.relative_to(TREE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(readme, target)
        shutil.rmtree(TREE, ignore_errors=True)
        shutil.copytree(kept, TREE)
    for name, text in made.items():
        path = TREE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
