"""Writes what the Helm chart has from elsewhere.

That is the gateway's files, rules and dashboards of deploy/monitoring, values.schema.json and the table of its README.

The schema is made from values.yaml, whose comments describe and whose defaults give types, from the settings classes
of the services, and from RULES below, which say what a default cannot. `--check` writes nothing and fails when a file
differs.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "gen")]

from scripts.settings_docs import settings_class  # noqa: E402 — after the path

CHART = ROOT / "deploy" / "helm" / "parley"
MONITORING = ROOT / "deploy" / "monitoring"
GATEWAY_FILES = ("bootstrap.yaml", "clusters.yaml", "listener.yaml")
QUANTITY = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
NAME = {"type": "string", "pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", "maxLength": 253}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
STRINGS = {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True}
CIDRS = {"type": "array", "items": {"type": "string", "pattern": r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"}, "uniqueItems": True}
OBJECTS = {"type": "array", "items": {"type": "object"}}
NAMED = {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
COUNT = {"type": "integer", "minimum": 0}
POSITIVE = {"type": "integer", "minimum": 1}
SHARE = {"type": ["integer", "string"], "pattern": "^[0-9]+%?$", "minimum": 0}
RESOURCES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        part: {"type": "object", "additionalProperties": QUANTITY, "propertyNames": {"pattern": "^[a-z0-9./-]+$"}}
        for part in ("requests", "limits")
    },
}
ACCESS_MODES = {
    "type": "array",
    "minItems": 1,
    "items": {"enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]},
}
TOLERATIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "key": {"type": "string"},
            "operator": {"enum": ["Exists", "Equal"]},
            "value": {"type": "string"},
            "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            "tolerationSeconds": {"type": "integer"},
        },
    },
}
PARENT_REFS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            **{key: {"type": "string"} for key in ("group", "kind", "name", "namespace", "sectionName")},
            "port": PORT,
        },
    },
}
SOURCES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "url"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z0-9_]+$"},
            "url": {"type": "string", "pattern": r"^(s3|gs|abfs|abfss|hf|https)://\S+$"},
            "revision": {"type": "string"},
            "sha256": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
        },
    },
}


def one_of(*values: str) -> dict[str, Any]:
    """One of these words."""
    return {"enum": list(values)}


# What a default does not say, by the end of a value's path; the first that fits holds.
RULES: list[tuple[str, dict[str, Any]]] = [
    (r"^cloud$", one_of("none", "aks", "eks", "gke")),
    (r"autoscaling\.engine$", one_of("none", "hpa", "keda")),
    (r"loadBalancing$", one_of("round_robin", "proxy")),
    (r"^gateway\.mode$", one_of("builtin", "gatewayapi", "none")),
    (r"^triton\.profile$", one_of("embedded", "gpu")),
    (r"^modelCache\.mode$", one_of("pvc", "imageVolume", "download", "emptyDir")),
    (r"^postgresql\.mode$", one_of("external", "cloudnativepg", "sqlite")),
    (r"^redis\.mode$", one_of("external", "internal", "none")),
    (r"service\.type$", one_of("ClusterIP", "LoadBalancer", "NodePort")),
    (r"pullPolicy$", one_of("Always", "IfNotPresent", "Never")),
    (r"storeRef\.kind$", one_of("SecretStore", "ClusterSecretStore")),
    (
        r"image\.tag$",
        {"type": "string", "not": {"const": "latest"}, "pattern": r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"},
    ),
    (r"digest$", {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}),
    (r"image\.repository$", {"type": "string", "pattern": r"^([a-z0-9]+([._/-][a-z0-9]+)*)?$"}),
    (r"imageVolume\.reference$", {"type": "string", "pattern": r"^(\S+@sha256:[0-9a-f]{64}|\S+:[^:@\s]+)?$"}),
    (r"(requests|limits)$", {}),
    (r"resources$", RESOURCES),
    (r"(^|\.)commonLabels$|(^|\.)commonAnnotations$|podLabels$|podAnnotations$|annotations$|nodeSelector$", TEXTS),
    (r"[lL]abels$|parameters$|existingSecrets$", TEXTS),
    (r"secret\.inline$", {"type": "object", "additionalProperties": {"type": ["string", "array", "object"]}}),
    (r"affinity$", {"type": "object"}),
    (r"accessModes$", ACCESS_MODES),
    (r"tolerations$", TOLERATIONS),
    (r"parentRefs$", PARENT_REFS),
    (r"download\.sources$", SOURCES),
    (r"extraEnv$|extraVolumes$|extraVolumeMounts$", NAMED),
    (r"egress$", OBJECTS),
    (r"^extraObjects$", {"type": "array", "items": {"type": ["object", "string"]}}),
    (r"internetPorts$", {"type": "array", "items": PORT, "uniqueItems": True}),
    (r"[cC]idrs$|loadBalancerSourceRanges$", CIDRS),
    (r"(^|\.)(pullSecrets|imagePullSecrets|hostnames|grpcHostnames|calls|models|keys|corsOrigins)$", STRINGS),
    (r"^backup\.recipients$", {**STRINGS, "items": {"type": "string", "pattern": r"^(age1|ssh-ed25519 |ssh-rsa )\S+"}}),
    (r"^backup\.store\.url$", {"type": "string", "pattern": r"^((s3|gs|abfs|abfss)://\S+)?$"}),
    (r"^backup\.schedule$", {"type": "string", "pattern": r"^\S+( \S+){4}$"}),
    (r"^backup\.restore\.service$", {"type": "string", "pattern": "^[a-z]{0,30}$"}),
    (r"^backup\.restore\.name$", {"type": "string", "pattern": r"^([a-z]+-[0-9TZ]+\.dump\.age)?$"}),
    (r"(maxSurge|maxUnavailable)$", SHARE),
    (r"(size|tmpSize|shmSize|sizeLimit)$", QUANTITY),
    (r"\.port$", PORT),
    (r"cpuPercent$", {"type": "integer", "minimum": 0, "maximum": 1000}),
    (r"preStopSeconds$", {"type": "integer", "minimum": 5, "maximum": 60}),
    (
        r"(maxReplicas|minReplicas|instances|periodSeconds|timeoutSeconds|startingDeadlineSeconds|pods|startup\.seconds"
        r"|queueMilliseconds|requestsPerSecond|maxConnections|keep)$",
        POSITIVE,
    ),
    (r"(interval|refreshInterval|duration|renewBefore)$", {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}),
    (r"(prometheusUrl)$", {"type": "string", "pattern": "^https?://"}),
    (r"runbookUrl$", {"type": "string", "pattern": "^(https?://.*/)?$"}),
    (r"tracing\.(endpoint|httpEndpoint)$", {"type": "string", "pattern": "^(https?://.+)?$"}),
    (r"tracing\.percent$", {"type": "integer", "minimum": 0, "maximum": 100}),
    (r"(existingSecret|identitySecret|recipientsConfigMap|existingClaim|storageClass)$", NAME),
    (r"(priorityClassName|runtimeClassName|modelGroup)$", NAME),
    (r"fullnameOverride$|nameOverride$", {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"}),
    (r"modelCache\.path$", {"type": "string", "pattern": "^/[a-z0-9/_-]+$"}),
    (r"gpuResource$", {"type": "string", "pattern": r"^[a-z0-9.-]+/[a-z0-9.-]+$"}),
]


def described(text: str) -> Iterator[tuple[str, str]]:
    """Each value of values.yaml that has a comment `# -- …`: its path and what the comment says."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("#") and comment:
            comment.append(stripped.removeprefix("#").strip())
        elif match := re.match(r"^( *)([A-Za-z0-9_-]+):", line):
            depth = len(match[1])
            path = [*(item for item in path if item[0] < depth), (depth, match[2])]
            if comment:
                yield ".".join(name for _, name in path), " ".join(comment)
            comment = []
        else:
            comment = []


def lookup(values: dict[str, Any], path: str) -> Any:
    """The value at a path."""
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def describe(schema: dict[str, Any], path: str, comments: dict[str, str]) -> dict[str, Any]:
    """A schema with the value's comment as its description."""
    return {**schema, "description": comments[path]} if path in comments else schema


def schema_of(value: Any, path: str, comments: dict[str, str]) -> dict[str, Any]:
    """The schema of a value, whose maps are closed."""
    for pattern, rule in RULES:
        if re.search(pattern, path):
            return describe(rule, path, comments)
    if isinstance(value, dict):
        properties = {key: schema_of(item, f"{path}.{key}".lstrip("."), comments) for key, item in value.items()}
        return describe({"type": "object", "additionalProperties": False, "properties": properties}, path, comments)
    if isinstance(value, bool):
        return describe({"type": "boolean"}, path, comments)
    if isinstance(value, int):
        return describe(COUNT, path, comments)
    assert isinstance(value, str), f"{path}: no rule says what this list holds"
    return describe({"type": "string"}, path, comments)


def settings_schema(service: str) -> dict[str, Any]:
    """The settings of a service: those of its settings class, or any where it has none."""
    if not (ROOT / "services" / service / "settings.py").exists():
        return {"type": "object", "maxProperties": 0}
    names = sorted(settings_class(service).model_fields)
    return {"type": "object", "propertyNames": {"enum": names}}


def schema(values: dict[str, Any], comments: dict[str, str]) -> dict[str, Any]:
    """values.schema.json."""
    kept = {key: value for key, value in values.items() if key not in ("defaults", "services", "triton", "global")}
    root = schema_of(kept, "", comments)
    defaults = {**values["defaults"]}
    del defaults["settings"]
    component = schema_of(defaults, "defaults", comments)["properties"]
    own = {key: value for key, value in values["triton"]["defaults"].items() if key not in values["defaults"]}
    group = component | schema_of(own, "triton.defaults", comments)["properties"]
    service_ref = {key: {"$ref": f"#/$defs/component/properties/{key}"} for key in component}
    closed: dict[str, Any] = {"type": "object", "additionalProperties": False}
    triton = {key: value for key, value in values["triton"].items() if key not in ("defaults", "groups")}
    root["properties"] |= {
        "global": {
            "type": "object",
            "description": "Shared with every chart of a release: other keys are theirs.",
            "properties": {"imageRegistry": {"type": "string"}, "imagePullSecrets": STRINGS},
        },
        "defaults": {**closed, "properties": {**service_ref, "settings": {"type": "object"}}},
        "services": {
            **closed,
            "properties": {
                name: {**closed, "properties": {**service_ref, "settings": settings_schema(name)}}
                for name in values["services"]
            },
        },
        "triton": {
            **closed,
            "properties": {
                **schema_of(triton, "triton", comments)["properties"],
                "defaults": {"$ref": "#/$defs/group"},
                "groups": {
                    **closed,
                    "properties": {name: {"$ref": "#/$defs/group"} for name in values["triton"]["groups"]},
                },
            },
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart parley",
        **root,
        "$defs": {
            "component": {**closed, "properties": component},
            "group": {**closed, "properties": group},
        },
    }


def table(values: dict[str, Any], comments: dict[str, str]) -> str:
    """The README's table of values."""
    rows = ["| value | default | |", "|---|---|---|"]
    for path, comment in comments.items():
        default = json.dumps(lookup(values, path), ensure_ascii=False)
        shown = f"`{default}`" if len(default) < 80 else "see values.yaml"
        rows.append(f"| `{path}` | {shown} | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def outputs() -> dict[pathlib.Path, str]:
    """Every file that this writes, with its text."""
    text = (CHART / "values.yaml").read_text()
    values, comments = yaml.safe_load(text), dict(described(text))
    readme = CHART / "README.md"
    head, start, rest = readme.read_text().partition("<!-- values -->\n")
    _, end, tail = rest.partition("<!-- /values -->\n")
    assert start and end, "deploy/helm/parley/README.md: the marks of the table are missing"
    made = {
        CHART / "values.schema.json": json.dumps(schema(values, comments), indent=2) + "\n",
        readme: f"{head}{start}\n{table(values, comments)}\n\n{end}{tail}",
    }
    made |= {CHART / "files" / "gateway" / name: (ROOT / "gateway" / name).read_text() for name in GATEWAY_FILES}
    watched = sorted([*MONITORING.glob("rules/*.yaml"), *MONITORING.glob("dashboards/*.json")])
    return made | {CHART / "files" / path.relative_to(MONITORING): path.read_text() for path in watched}


def main() -> None:
    """Writes, or checks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    check = parser.parse_args().check
    stale = []
    for path, text in outputs().items():
        if not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(ROOT)))
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    if check and stale:
        sys.exit("Not up to date; run `python scripts/chart.py`:\n  " + "\n  ".join(stale))


if __name__ == "__main__":
    main()
