"""Monitoring, notes and databases of the chart: what is off by default, and complete when it is on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.rendering import (
    CASES,
    component,
    containers,
    of_kind,
    one,
    pod,
    pod_labels,
    rendered,
    texts,
    workloads,
)

MONITORS = ("ServiceMonitor", "PodMonitor")
OPTIONAL = (
    *MONITORS,
    "PrometheusRule",
    "ScaledObject",
    "Certificate",
    "Issuer",
    "ExternalSecret",
    "HTTPRoute",
    "Cluster",
)


def notes(values: Any) -> str:
    """What Helm tells the operator."""
    return texts(values)["parley/templates/NOTES.txt"]


def test_nothing_by_default_needs_an_operator_that_may_be_absent() -> None:
    assert not of_kind(rendered(), *OPTIONAL)


def test_every_component_is_scraped() -> None:
    objects = rendered({"monitoring": {"serviceMonitor": {"enabled": True, "labels": {"release": "x"}}}})
    monitors = of_kind(objects, *MONITORS)
    assert {component(item) for item in monitors} == {component(item) for item in of_kind(objects, "Deployment")}
    assert all(item["metadata"]["labels"]["release"] == "x" for item in monitors)


def test_monitors_select_one_service_and_a_port_of_it() -> None:
    objects = rendered(CASES["everything"])
    for item in of_kind(objects, "ServiceMonitor"):
        labels = item["spec"]["selector"]["matchLabels"]
        found = [s for s in of_kind(objects, "Service") if labels.items() <= s["metadata"]["labels"].items()]
        found = [s for s in found if "parley.dev/headless" not in s["metadata"]["labels"]]
        assert len(found) == 1, "else every pod is scraped twice"
        assert item["spec"]["endpoints"][0]["port"] in {port["name"] for port in found[0]["spec"]["ports"]}
    (gateway,) = of_kind(objects, "PodMonitor")
    (workload,) = [
        w for w in workloads(objects) if gateway["spec"]["selector"]["matchLabels"].items() <= pod_labels(w).items()
    ]
    names = {port["name"] for item in containers(workload) for port in item["ports"]}
    assert gateway["spec"]["podMetricsEndpoints"][0]["port"] in names


@pytest.mark.parametrize("case", ["everything", "dev", "minimal", "aks"])
def test_notes_say_how_to_get_in(case: str) -> None:
    words = {
        "everything": "through the Gateway, at: api.example.com, grpc.example.com",
        "dev": "kubectl port-forward service/parley-gateway",
        "minimal": "There is no gateway",
        "aks": "kubectl get service parley-gateway",
    }
    assert words[case] in notes(CASES[case])


def test_notes_name_the_secrets_that_pods_wait_for() -> None:
    assert "parley-sql: PARLEY_SQL_DATABASE_URL PARLEY_SQL_ENCRYPTION_KEY PARLEY_SQL_PROVIDERS" in notes({})
    assert "PARLEY_SQL_DATABASE_URL" not in notes(CASES["everything"])


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("default", ["metrics-server", "NetworkPolicies"]),
        (
            "everything",
            [
                "KEDA",
                "cert-manager",
                "nvidia.com/mig-1g.10gb",
                "CloudNativePG",
                "External Secrets",
                "Prometheus operator",
            ],
        ),
    ],
)
def test_notes_name_what_is_not_installed(case: str, words: list[str]) -> None:
    assert all(word in notes(CASES[case]) for word in words)


def test_notes_name_the_claims_that_stay() -> None:
    assert "Kept when the release is uninstalled" in notes(CASES["gke"])
    assert "parley-asr, parley-image, parley-models" in notes(CASES["gke"])


def test_notes_warn_of_values_for_trying_out() -> None:
    assert "WARNING: databases are files inside pods" in notes(CASES["dev"])
    assert "WARNING: the secrets of chat are in this release's values" in notes(CASES["minimal"])
    assert "WARNING" not in notes(CASES["ha"])


@pytest.mark.parametrize("service", ["chat", "sql", "asr", "image", "identity"])
def test_an_operators_database_is_each_services_own(service: str) -> None:
    objects = rendered({"postgresql": {"mode": "cloudnativepg"}})
    cluster = one(objects, "Cluster", f"parley-{service}-db")
    assert cluster["spec"]["bootstrap"]["initdb"] == {"database": service, "owner": service}
    (volume,) = [v for v in pod(one(objects, "Deployment", f"parley-{service}"))["volumes"] if v["name"] == "secrets"]
    (source,) = [s["secret"] for s in volume["projected"]["sources"] if "items" in s["secret"]]
    assert source["name"] == f"{cluster['metadata']['name']}-app", "what the operator calls it"
    assert source["items"] == [{"key": "uri", "path": f"PARLEY_{service.upper()}_DATABASE_URL"}]


def test_an_operators_database_is_not_migrated_before_it_is_there() -> None:
    jobs = of_kind(rendered({"postgresql": {"mode": "cloudnativepg"}}), "Job")
    hooks = {job["metadata"]["annotations"]["helm.sh/hook"] for job in jobs}
    assert hooks == {"pre-upgrade", "test"}


def test_redis_for_trying_out_is_one_pod_that_goes_with_its_volume() -> None:
    spec = one(rendered({"redis": {"mode": "internal"}}), "StatefulSet", "parley-redis")["spec"]
    assert spec["replicas"] == 1
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
    image = spec["template"]["spec"]["containers"][0]["image"]
    assert image.startswith("docker.io/library/redis:")


def test_dashboards_and_rules_are_taken_from_their_folders(tmp_path: Any) -> None:
    import shutil

    import helm_python as helm

    from tests.deploy.rendering import CHART

    copy = tmp_path / "parley"
    shutil.copytree(CHART, copy)
    (copy / "files" / "dashboards").mkdir(exist_ok=True)
    (copy / "files" / "rules").mkdir(exist_ok=True)
    (copy / "files" / "dashboards" / "sample.json").write_text('{"title": "{{ not a template }}"}')
    (copy / "files" / "rules" / "sample.yaml").write_text("groups:\n  - name: sample\n    rules: []\n")
    on = {"enabled": True}
    with helm.Chart.load(copy) as chart:
        values = {"monitoring": {"dashboards": on, "prometheusRule": {**on, "labels": {"release": "x"}}}}
        made = chart.render(values, name="parley", namespace="x")
    assert "{{ not a template }}" in made["parley/templates/configmaps.yaml"]
    assert "grafana_dashboard" in made["parley/templates/configmaps.yaml"]
    assert "name: sample" in made["parley/templates/prometheusrules.yaml"]
    assert "release: x" in made["parley/templates/prometheusrules.yaml"]
