"""The values: what the schema and the checks refuse, images, secrets, and a README that is up to date."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import helm_python as helm
import pytest
import yaml

from scripts.settings_docs import settings_class
from tests.conftest import ROOT
from tests.deploy.rendering import (
    CASES,
    CHART,
    containers,
    environment,
    failure,
    of_kind,
    one,
    pod,
    rendered,
    workloads,
)

SERVICES = ["chat", "sql", "asr", "image", "identity"]
# One wrong value each: keys that nobody reads at every level, wrong types, words that are none, numbers out of range.
WRONG: list[dict[str, Any]] = [
    {"service": {}},
    {"replicaCount": 3},
    {"cloud": "azure"},
    {"cloud": None, "clouds": "aks"},
    {"clusterDomain": 5},
    {"commonLabels": {"a": 1}},
    {"commonLabels": ["a"]},
    {"image": {"tag": "1"}},
    {"image": {"pullPolicy": "Sometimes"}},
    {"image": {"pullSecrets": "name"}},
    {"fullnameOverride": "Upper"},
    {"global": {"imageRegistry": 1}},
    {"defaults": {"replica": 1}},
    {"defaults": {"autoscaling": {"engine": "vpa"}}},
    {"defaults": {"autoscaling": {"min": 1}}},
    {"defaults": {"image": {"tag": "latest"}}},
    {"defaults": {"image": {"digest": "sha256:1"}}},
    {"defaults": {"termination": {"preStopSeconds": 0}}},
    {"defaults": {"termination": {"graceSeconds": -1}}},
    {"defaults": {"resources": {"request": {}}}},
    {"defaults": {"resources": {"limits": {"memory": "1 GB"}}}},
    {"defaults": {"tmpSize": "big"}},
    {"defaults": {"rollout": {"maxSurge": "all"}}},
    {"services": {"chats": {}}},
    {"services": {"chat": {"enable": True}}},
    {"services": {"chat": {"enabled": "yes"}}},
    {"services": {"chat": {"image": {"repo": "x"}}}},
    {"services": {"chat": {"image": {"repository": "Upper/Case"}}}},
    {"services": {"chat": {"settings": {"default_modell": "x"}}}},
    {"services": {"sql": {"settings": {"asr_target": "x"}}}},
    {"services": {"chat": {"calls": "sql"}}},
    {"services": {"chat": {"calls": ["sql", "sql"]}}},
    {"services": {"chat": {"replicas": -1}}},
    {"services": {"chat": {"replicas": "two"}}},
    {"services": {"chat": {"autoscaling": {"maxReplicas": 0}}}},
    {"services": {"chat": {"autoscaling": {"cpuPercent": -5}}}},
    {"services": {"chat": {"autoscaling": {"keda": {"scaleToZeros": True}}}}},
    {"services": {"chat": {"autoscaling": {"scaleUp": {"pod": 1}}}}},
    {"services": {"chat": {"secret": {"existingSecrets": "x"}}}},
    {"services": {"chat": {"secret": {"existingSecret": "Not A Name"}}}},
    {"services": {"chat": {"persistence": {"accessModes": ["RWX"]}}}},
    {"services": {"chat": {"persistence": {"accessModes": []}}}},
    {"services": {"chat": {"service": {"type": "ExternalName"}}}},
    {"services": {"chat": {"service": {"annotations": {"a": True}}}}},
    {"services": {"chat": {"tolerations": [{"keys": "x"}]}}},
    {"services": {"chat": {"tolerations": [{"effect": "Never"}]}}},
    {"services": {"chat": {"extraEnv": [{"value": "x"}]}}},
    {"services": {"chat": {"internetPorts": [70000]}}},
    {"services": {"chat": {"models": ["x"]}}},
    {"gateway": {"mode": "ingress"}},
    {"gateway": {"gatewayApi": {"hostname": "x"}}},
    {"gateway": {"gatewayApi": {"parentRefs": [{"names": "x"}]}}},
    {"triton": {"profile": "cpu"}},
    {"triton": {"gpuResource": "gpu"}},
    {"triton": {"groups": {"vision": {}}}},
    {"triton": {"groups": {"speech": {"gpu": 1}}}},
    {"triton": {"groups": {"speech": {"gpus": 0.5}}}},
    {"triton": {"defaults": {"shmSize": "x"}}},
    {"triton": {"queueMilliseconds": 0}},
    {"modelCache": {"mode": "s3"}},
    {"modelCache": {"path": "models"}},
    {"modelCache": {"download": {"sources": [{"name": "x"}]}}},
    {"modelCache": {"download": {"sources": [{"name": "x", "url": "ftp://x"}]}}},
    {"modelCache": {"download": {"sources": [{"name": "x", "url": "s3://x", "sha256": {"f": "1"}}]}}},
    {"modelCache": {"imageVolume": {"reference": "no-tag"}}},
    {"postgresql": {"mode": "bitnami"}},
    {"postgresql": {"cidrs": ["10.0.0.1"]}},
    {"redis": {"mode": "cluster"}},
    {"redis": {"internal": {"image": {"tag": "latest"}}}},
    {"backup": {"enable": True}},
    {"backup": {"schedule": "daily"}},
    {"backup": {"store": {"url": "ftp://x"}}},
    {"backup": {"recipients": ["AGE-SECRET-KEY-1X"]}},
    {"backup": {"keep": 0}},
    {"backup": {"restore": {"service": "Chat"}}},
    {"externalSecrets": {"storeRef": {"kind": "Vault"}}},
    {"externalSecrets": {"refreshInterval": "hourly"}},
    {"mtls": {"enable": True}},
    {"mtls": {"certManager": {"duration": "90d"}}},
    {"networkPolicy": {"clientCidrs": ["everywhere"]}},
    {"tracing": {"endpoint": "collector:4317"}},
    {"monitoring": {"serviceMonitor": {"interval": "often"}}},
    {"monitoring": {"dashboard": {}}},
    {"tests": {"images": {}}},
    {"extraObjects": {"a": 1}},
]
NO_DATABASE: dict[str, Any] = {"database": False}
BACKUP: dict[str, Any] = {"enabled": True, "store": {"url": "s3://b"}, "recipients": ["age1x"]}
# What the schema cannot see: the values, and words of the answer, which names the value and the remedy.
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "more at least than at most": ({"defaults": {"autoscaling": {"minReplicas": 20}}}, "minReplicas (20) is more than"),
    "nothing to scale by": (
        {"services": {"chat": {"autoscaling": {"cpuPercent": 0, "inFlight": 0}}}},
        "nothing to scale by",
    ),
    "a gateway without calls in flight": (
        {"services": {"gateway": {"autoscaling": {"inFlight": 5}}}},
        "use cpuPercent",
    ),
    "Triton by its CPU": ({"triton": {"defaults": {"autoscaling": {"cpuPercent": 80}}}}, "time that requests queue"),
    "a share of no request": (
        {"defaults": {"resources": {"requests": {"cpu": None}}}},
        "services.chat.autoscaling.cpuPercent: is a part of resources.requests.cpu",
    ),
    "zero without KEDA": ({"services": {"chat": {"autoscaling": {"keda": {"scaleToZero": True}}}}}, "only KEDA scales"),
    "zero without a way back": (
        {"services": {"chat": {"autoscaling": {"engine": "keda", "keda": {"scaleToZero": True}}}}},
        "nothing would ever wake it",
    ),
    "zero by CPU": (
        {"services": {"chat": {"autoscaling": {"engine": "keda", "keda": {"scaleToZero": True, "wakeQuery": "up"}}}}},
        "cannot be combined with cpuPercent",
    ),
    "a rollout that cannot move": ({"defaults": {"rollout": {"maxSurge": 0}}}, "no pod could ever be replaced"),
    "a start that counts as a failure": (
        {"defaults": {"startup": {"seconds": 900}}},
        "must be more than startup.seconds",
    ),
    "two places of secrets": (
        {"services": {"chat": {"secret": {"existingSecret": "x", "inline": {"database_url": "y"}}}}},
        "exclude each other",
    ),
    "inline secrets beside a store": (
        {
            "externalSecrets": {"enabled": True, "storeRef": {"name": "v"}},
            "services": {"chat": {"secret": {"inline": {"database_url": "y"}}}},
        },
        "put them into its store",
    ),
    "inline secrets without the database": (
        {"services": {"chat": {"secret": {"inline": {"providers": "[]"}}}}},
        "has no database_url",
    ),
    "a secret among the settings": (
        {"services": {"chat": {"settings": {"database_url": "postgresql://x"}}}},
        "services.chat.settings.database_url: is a secret",
    ),
    "every pod to callers that do not go round": (
        {"services": {"sql": {"loadBalancing": "proxy"}}},
        "services.sql: service.headless true with loadBalancing proxy",
    ),
    "models to callers that do not go round": (
        {"triton": {"defaults": {"loadBalancing": "proxy"}}},
        "triton.groups.embedded: service.headless true with loadBalancing proxy",
    ),
    "going round one address": (
        {"defaults": {"service": {"headless": False}}},
        "loadBalancing round_robin with service.headless false",
    ),
    "a proxy before certificates": (
        {"mtls": {"enabled": True}, "defaults": {"loadBalancing": "proxy", "service": {"headless": False}}},
        "loadBalancing proxy with mtls.enabled true",
    ),
    "an address of the chart's": (
        {"services": {"chat": {"settings": {"sql_target": "sql.example.org:50051"}}}},
        "take sql out of services.chat.calls",
    ),
    "a certificate of the chart's": ({"services": {"chat": {"settings": {"tls_key_file": "x"}}}}, "mtls for tls_*"),
    "more /tmp than a pod may have": (
        {"services": {"asr": {"tmpSize": "8Gi"}}},
        "services.asr.resources.limits.ephemeral-storage (6Gi) is less than its pods' volumes may take (8192Mi",
    ),
    "weights on a node's disk, of more than a pod may have": (
        {
            "triton": {"profile": "gpu"},
            "modelCache": {"mode": "emptyDir", "download": {"sources": [{"name": "w", "url": "s3://w"}]}},
        },
        "triton.groups.diffusion.resources.limits.ephemeral-storage (8Gi)",
    ),
    "a setting of the chart's": ({"services": {"chat": {"settings": {"listen": "x"}}}}, "is set by the chart"),
    "a service without a name": ({"services": {"chat": {"grpcService": ""}}}, "services.chat.grpcService: is needed"),
    "calls of itself": ({"services": {"chat": {"calls": ["chat"]}}}, "calls itself"),
    "calls of nobody": ({"services": {"chat": {"calls": ["translator"]}}}, "there is no component translator"),
    "no such models": ({"services": {"asr": {"modelGroup": "music"}}}, '"music" is no group'),
    "SQLite in many pods": ({"postgresql": {"mode": "sqlite"}}, "keeps a file in one pod"),
    "one node's volume in a rolling update": (
        {"services": {"asr": {"persistence": {"accessModes": ["ReadWriteOnce"]}}}},
        "it needs ReadWriteMany",
    ),
    "recordings of each replica's own": (
        {"services": {"asr": {"persistence": {"enabled": False}}}},
        "services.asr.settings.recordings_url: /var/lib/parley/recordings is a folder that every replica has",
    ),
    "recordings beside the volume": (
        {"services": {"asr": {"settings": {"recordings_url": "/srv/recordings"}}}},
        "outside of /var/lib/parley",
    ),
    "the gpu profile without a GPU": (
        {"triton": {"profile": "gpu", "groups": {"speech": {"gpus": 0}}}},
        "triton.groups.speech.gpus",
    ),
    "weights on one node": (
        {"triton": {"profile": "gpu"}, "modelCache": {"pvc": {"accessModes": ["ReadWriteOnce"]}}},
        "modelCache.pvc.accessModes",
    ),
    "an image volume of nothing": (
        {"triton": {"profile": "gpu"}, "modelCache": {"mode": "imageVolume"}},
        "modelCache.imageVolume.reference: is needed",
    ),
    "a download of nothing": (
        {"triton": {"profile": "gpu"}, "modelCache": {"mode": "download"}},
        "modelCache.download.sources: is needed",
    ),
    "routes of no Gateway": ({"gateway": {"mode": "gatewayapi"}}, "gateway.gatewayApi.parentRefs: is needed"),
    "two ends of TLS": (
        {
            "gateway": {
                "mode": "gatewayapi",
                "gatewayApi": {"parentRefs": [{"name": "g"}]},
                "edge": {"tls": {"existingSecret": "x"}},
            }
        },
        "the Gateway has the certificate",
    ),
    "a host name of two routes": (
        {
            "gateway": {
                "mode": "gatewayapi",
                "gatewayApi": {"parentRefs": [{"name": "g"}], "hostnames": ["a.b"], "grpcHostnames": ["a.b"]},
            }
        },
        "a Gateway takes it for one kind only",
    ),
    "a backup of files in pods": (
        {"backup": {"enabled": True}, **yaml.safe_load((CHART / "values-dev.yaml").read_text())},
        "files inside pods, which no other pod reaches",
    ),
    "a backup of nothing": (
        {
            "backup": {"enabled": True},
            "defaults": {"database": False},
            "services": dict.fromkeys(SERVICES, NO_DATABASE),
        },
        "no service that is enabled has a database",
    ),
    "a backup to nowhere": ({"backup": {"enabled": True}}, "backup.store.url: is needed"),
    "a backup for nobody": (
        {"backup": {"enabled": True, "store": {"url": "s3://b"}}},
        "backup.recipients: is needed",
    ),
    "recipients in two places": (
        {"backup": {**BACKUP, "recipientsConfigMap": "x"}},
        "exclude each other; put the keys into the ConfigMap",
    ),
    "a restore without a store": ({"backup": {"restore": {"service": "chat"}}}, "needs backup.enabled"),
    "a restore of nobody": (
        {"backup": {**BACKUP, "restore": {"service": "gateway"}}},
        "there is no service gateway with a database",
    ),
    "a restore without the key": (
        {"backup": {**BACKUP, "restore": {"service": "chat"}}},
        "backup.restore.identitySecret: is needed",
    ),
    "secrets of no store": ({"externalSecrets": {"enabled": True}}, "externalSecrets.storeRef.name: is needed"),
}


def test_the_schema_is_tried_with_enough_mistakes() -> None:
    assert len(WRONG) >= 60


@pytest.mark.parametrize("values", WRONG, ids=json.dumps)
def test_the_schema_refuses(values: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmValuesError):
        chart.validate_schema(values)


@pytest.mark.parametrize("case", CASES)
def test_the_schema_takes_what_is_right(case: str) -> None:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(dict(CASES[case]))


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused_with_the_remedy(name: str) -> None:
    values, words = CONTRADICTIONS[name]
    assert words in failure(values)


def objects_of(schema: Any) -> list[dict[str, Any]]:
    """Every schema of a map within a schema."""
    if isinstance(schema, list):
        return [found for item in schema for found in objects_of(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for item in schema.values() for found in objects_of(item)]


def test_every_map_of_the_schema_is_closed_or_free_on_purpose() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    for item in objects_of(schema):
        closed = (
            item.get("additionalProperties") is not None or "propertyNames" in item or item.get("maxProperties") == 0
        )
        listed = item.get("description", "").startswith(("Affinity", "Shared with every chart", "Further"))
        assert closed or listed or "properties" not in item or set(item["properties"]) == {"name"}, item


def test_it_is_a_subchart(tmp_path: Any) -> None:
    """Other charts' globals are no concern of ours, and `enabled` is the dependency's condition."""
    parent = tmp_path / "parent"
    (parent / "templates").mkdir(parents=True)
    (parent / "charts").mkdir()
    (parent / "charts" / "parley").symlink_to(CHART, target_is_directory=True)
    dependency = {"name": "parley", "version": "0.1.0", "condition": "parley.enabled"}
    metadata = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    with helm.Chart.load(parent) as chart:
        values = {"global": {"imageRegistry": "mirror.example.com", "other": 1}, "parley": {"enabled": True}}
        made = "".join(chart.render(values, name="blue", namespace="x").values())
        assert "mirror.example.com/parley/chat:" in made
        assert not "".join(chart.render({"parley": {"enabled": False}}, name="blue", namespace="x").values()).strip()


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "ghcr.io/parley/chat:0.1.0"),
        ({"image": {"registry": "r.example.com"}}, "r.example.com/parley/chat:0.1.0"),
        ({"global": {"imageRegistry": "g.example.com"}, "image": {"registry": "r"}}, "g.example.com/parley/chat:0.1.0"),
        ({"services": {"chat": {"image": {"tag": "2.0.0"}}}}, "ghcr.io/parley/chat:2.0.0"),
        (
            {"services": {"chat": {"image": {"digest": "sha256:" + "a" * 64}}}},
            "ghcr.io/parley/chat:0.1.0@sha256:" + "a" * 64,
        ),
    ],
)
def test_images(values: dict[str, Any], image: str) -> None:
    assert pod(one(rendered(values), "Deployment", "parley-chat"))["containers"][0]["image"] == image


@pytest.mark.parametrize("case", CASES)
def test_no_image_is_the_latest(case: str) -> None:
    for workload in workloads(rendered(CASES[case])):
        for container in containers(workload):
            assert re.fullmatch(r"\S+/\S+:[\w.-]+(@sha256:[0-9a-f]{64})?", container["image"])
            assert ":latest" not in container["image"]


def test_pull_secrets_of_chart_and_global_are_joined() -> None:
    values = {"global": {"imagePullSecrets": ["one"]}, "image": {"pullSecrets": ["two", "one"]}}
    for workload in workloads(rendered(values)):
        assert pod(workload)["imagePullSecrets"] == [{"name": "two"}, {"name": "one"}]


@pytest.mark.parametrize("case", CASES)
def test_secrets_are_files_and_never_variables(case: str) -> None:
    objects = rendered(CASES[case])
    for workload in workloads(objects):
        for container in containers(workload):
            assert not any("valueFrom" in item for item in container.get("env", []))
            assert "envFrom" not in container
        for volume in pod(workload).get("volumes", []):
            for source in (volume.get("secret"), volume.get("projected")):
                assert source is None or source["defaultMode"] == 0o440
    assert not re.search(r"(password|api_key|token): *\S", yaml.safe_dump(of_kind(objects, "ConfigMap")))


@pytest.mark.parametrize("service", SERVICES)
def test_the_keys_of_a_secret_are_secret_settings_of_the_service(service: str) -> None:
    """A file is named as the variable is: what reads a folder of secrets finds it."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())["services"][service]
    fields = settings_class(service).model_fields
    assert set(values["secret"]["keys"]) <= set(fields)
    secret = {name for name, field in fields.items() if "Secret" in str(field.annotation)}
    assert secret <= set(values["secret"]["keys"]), "every setting that is a secret has a place in the Secret"


@pytest.mark.parametrize("service", SERVICES)
def test_settings_read_a_folder_of_secrets_as_it_is_mounted(service: str, tmp_path: Any) -> None:
    name = f"PARLEY_{service.upper()}_DATABASE_URL"
    (tmp_path / name).write_text("postgresql://parley:secret@db/x")
    made: Any = settings_class(service)
    assert made(_secrets_dir=tmp_path).database_url.get_secret_value() == "postgresql://parley:secret@db/x"
    mounts = pod(one(rendered(), "Deployment", f"parley-{service}"))["containers"][0]["volumeMounts"]
    assert {"name": "secrets", "mountPath": "/run/secrets/parley", "readOnly": True} in mounts


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_service_is_a_setting(service: str) -> None:
    known = {f"PARLEY_{service.upper()}_{name.upper()}" for name in settings_class(service).model_fields}
    told = environment(one(rendered(), "Deployment", f"parley-{service}"))
    own = {name for name in told if name.startswith("PARLEY_")} - {"PARLEY_SECRETS_DIR"}
    assert own <= known


def test_inline_secrets_become_a_secret_that_the_service_mounts() -> None:
    objects = rendered(CASES["minimal"])
    (secret,) = of_kind(objects, "Secret")
    assert secret["stringData"] == {"PARLEY_CHAT_DATABASE_URL": "postgresql://parley@db/chat"}
    (volume,) = [v for v in pod(one(objects, "Deployment", "parley-chat"))["volumes"] if v["name"] == "secrets"]
    assert volume["projected"]["sources"][0]["secret"]["name"] == secret["metadata"]["name"]


def test_a_new_inline_secret_replaces_the_pods() -> None:
    def checksum(url: str) -> str:
        values = {"services": {"chat": {"secret": {"inline": {"database_url": url}}}}}
        chat = one(rendered(values), "Deployment", "parley-chat")
        found: str = chat["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum("postgresql://a") != checksum("postgresql://b")


def test_external_secrets_make_the_secrets_that_pods_mount() -> None:
    objects = rendered(CASES["everything"])
    made = {item["spec"]["target"]["name"] for item in of_kind(objects, "ExternalSecret")}
    assert {f"parley-{service}" for service in SERVICES} <= made
    assert all(item["apiVersion"] == "external-secrets.io/v1" for item in of_kind(objects, "ExternalSecret"))


def test_there_is_no_secret_by_default() -> None:
    assert not of_kind(rendered(), "Secret")


def test_optional_kinds_do_not_depend_on_what_the_cluster_says_it_has() -> None:
    """Offline renders, as GitOps does them, see no custom resources."""
    for path in (CHART / "templates").rglob("*"):
        if path.is_file():
            assert "Capabilities.APIVersions" not in path.read_text()
    assert of_kind(rendered(CASES["everything"]), "ScaledObject")


def test_readme_schema_and_copies_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/chart.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def leaves(values: Any, path: str = "") -> list[str]:
    """The paths of all values."""
    if isinstance(values, dict) and values:
        return [found for key, item in values.items() for found in leaves(item, f"{path}.{key}".lstrip("."))]
    return [path]


def test_every_value_is_used_by_a_template() -> None:
    """By its own name, or by that of a part of it that is handed on whole."""
    sources = "".join(p.read_text() for p in (CHART / "templates").rglob("*") if p.is_file())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    whole = {"resources", "storeRef", "issuerRef", "parentRefs", "metricsNamespaceLabels", "namespaceLabels", "labels"}
    for path in leaves({key: item for key, item in values.items() if key != "services"}):
        names = path.split(".")
        if set(names) & whole or names[:2] == ["triton", "groups"]:
            continue
        assert re.search(rf"\.{re.escape(names[-1])}\b", sources), f"{path} is read by no template"


def test_every_value_is_described() -> None:
    from scripts.chart import described

    text = (CHART / "values.yaml").read_text()
    paths = dict(described(text))
    values = yaml.safe_load(text)
    own = {key: item for key, item in values.items() if key != "services"}
    own["triton"] = {k: v for k, v in own["triton"].items() if k not in ("groups", "defaults")}
    for path in leaves(own):
        if "resources" in path or path.endswith(
            (".repository", ".digest", ".tag", "issuerRef.kind", "issuerRef.group")
        ):
            continue
        parts = path.split(".")
        assert any(".".join(parts[:end]) in paths for end in range(1, len(parts) + 1)), f"{path} has no comment"
