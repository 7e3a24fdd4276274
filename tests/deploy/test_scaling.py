"""Who scales what, by which metric, and what may be evicted."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from services.mesh.metrics import METRICS
from tests.conftest import ROOT
from tests.deploy.rendering import CASES, CHART, NAMESPACE, component, environment, of_kind, one, pod, rendered

SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
# Names that Triton gives its metrics: NVIDIA's documentation, and what the real one exports (tests/local).
TRITON = {"nv_inference_queue_duration_us", "nv_inference_request_success"}
KEDA = {"defaults": {"autoscaling": {"engine": "keda"}}}


def queries(objects: list[dict[str, Any]]) -> list[str]:
    """Every PromQL expression that something scales by."""
    triggers = [trigger for item in of_kind(objects, "ScaledObject") for trigger in item["spec"]["triggers"]]
    rules = yaml.safe_load((CHART / "files" / "prometheus-adapter" / "rules.yaml").read_text())["rules"]
    return [t["metadata"]["query"] for t in triggers if t["type"] == "prometheus"] + [r["metricsQuery"] for r in rules]


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("dev", "minimal", "image-volume")])
def test_every_deployment_is_scaled_by_somebody(case: str) -> None:
    objects = rendered(CASES[case])
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(objects, *SCALERS)}
    assert scaled == {item["metadata"]["name"] for item in of_kind(objects, "Deployment")}


@pytest.mark.parametrize("case", CASES)
def test_scalers_point_at_deployments_one_each(case: str) -> None:
    objects = rendered(CASES[case])
    targets = [item["spec"]["scaleTargetRef"]["name"] for item in of_kind(objects, *SCALERS)]
    assert len(set(targets)) == len(targets)
    assert set(targets) <= {item["metadata"]["name"] for item in of_kind(objects, "Deployment")}


@pytest.mark.parametrize("case", CASES)
def test_replicas_are_said_only_where_nobody_scales(case: str) -> None:
    """An upgrade that applies `replicas` on the server conflicts with the scaler, and fails."""
    objects = rendered(CASES[case])
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(objects, *SCALERS)}
    for item in of_kind(objects, "Deployment"):
        assert ("replicas" in item["spec"]) != (item["metadata"]["name"] in scaled)


@pytest.mark.parametrize("engine", ["none", "hpa", "keda"])
def test_the_engine_can_be_chosen_for_each_service(engine: str) -> None:
    objects = rendered({"services": {"chat": {"autoscaling": {"engine": engine}, "replicas": 4}}})
    kinds = {item["kind"] for item in objects if component(item) == "chat"}
    assert (("HorizontalPodAutoscaler" in kinds), ("ScaledObject" in kinds)) == (engine == "hpa", engine == "keda")
    assert one(objects, "Deployment", "parley-chat")["spec"].get("replicas") == (4 if engine == "none" else None)


@pytest.mark.parametrize("case", CASES)
def test_scaling_is_bounded_and_patient_downwards(case: str) -> None:
    objects = rendered(CASES[case])
    for item in of_kind(objects, *SCALERS):
        spec = item["spec"]
        behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300
        assert behavior["scaleUp"]["policies"]
        assert all(policy["value"] > 0 for part in behavior.values() for policy in part["policies"])
        if component(item).startswith("triton"):
            assert behavior["scaleUp"]["policies"] == [
                {"type": "Pods", "value": 1, "periodSeconds": behavior["scaleUp"]["policies"][0]["periodSeconds"]}
            ]


@pytest.mark.parametrize("group", ["speech", "diffusion"])
def test_gpus_are_scaled_more_slowly_than_services(group: str) -> None:
    objects = rendered({"triton": {"profile": "gpu"}})
    slow, fast = (
        one(objects, "HorizontalPodAutoscaler", f"parley-{n}")["spec"]["behavior"] for n in (f"triton-{group}", "chat")
    )
    assert slow["scaleUp"]["policies"][0]["periodSeconds"] > fast["scaleUp"]["policies"][0]["periodSeconds"]
    assert slow["scaleDown"]["stabilizationWindowSeconds"] > fast["scaleDown"]["stabilizationWindowSeconds"]


@pytest.mark.parametrize("case", CASES)
def test_a_share_of_cpu_is_one_of_a_request(case: str) -> None:
    objects = rendered(CASES[case])
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        assert item["apiVersion"] == "autoscaling/v2"
        resources = [metric["resource"]["name"] for metric in item["spec"]["metrics"] if metric["type"] == "Resource"]
        target = one(objects, "Deployment", item["spec"]["scaleTargetRef"]["name"])
        assert set(resources) <= set(pod(target)["containers"][0]["resources"]["requests"])


@pytest.mark.parametrize("service", ["chat", "sql", "asr", "image", "identity"])
def test_services_scale_by_calls_in_flight_too(service: str) -> None:
    """One that waits for others is full long before its CPU is."""
    metrics = one(rendered(), "HorizontalPodAutoscaler", f"parley-{service}")["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods"]
    assert metrics[1]["pods"]["metric"]["name"] == "grpc_server_in_flight"


@pytest.mark.parametrize("values", [{}, {"triton": {"profile": "gpu"}}], ids=["embedded", "gpu"])
def test_triton_scales_by_its_queue_and_not_by_cpu(values: dict[str, Any]) -> None:
    for item in of_kind(rendered(values), "HorizontalPodAutoscaler"):
        if component(item).startswith("triton"):
            (metric,) = item["spec"]["metrics"]
            assert metric["pods"]["metric"]["name"] == "triton_queue_us_per_request"
            assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "100000"}


def test_the_adapter_knows_every_metric_of_the_scalers() -> None:
    rules = yaml.safe_load((CHART / "files" / "prometheus-adapter" / "rules.yaml").read_text())["rules"]
    known = {rule["name"]["as"] for rule in rules}
    used = {
        metric["pods"]["metric"]["name"]
        for item in of_kind(rendered(CASES["ha"]), "HorizontalPodAutoscaler")
        for metric in item["spec"]["metrics"]
        if metric["type"] == "Pods"
    }
    assert used == known
    assert of_kind(rendered(CASES["ha"]), "ConfigMap")


def test_queue_time_is_the_sum_over_models_by_the_sum_of_requests() -> None:
    """Neither an average of ratios, which falls with every idle model, nor a counter, which never falls."""
    found = [query for query in queries(rendered(CASES["everything"])) if "nv_inference" in query]
    assert len(found) >= 2
    for query in found:
        grouped = r"sum by \((?:pod|<<\.GroupBy>>)\) \(rate\(%s\{[^}]*\}\[2m\]\)\)"
        over = grouped % "nv_inference_queue_duration_us"
        under = r"clamp_min\(" + grouped % "nv_inference_request_success" + r", 0\.001\)"
        assert re.search(f"{over} / {under}", query), query
        assert "avg" not in query


def test_queries_name_metrics_that_are_exported() -> None:
    own = {family.name for family in METRICS.collect()}
    image = set(re.findall(r'"(parley_image_\w+)"', (ROOT / "services" / "image" / "metrics.py").read_text()))
    for query in queries(rendered(CASES["everything"])):
        names = set(re.findall(r"\b(?:nv|grpc|parley)_[a-z_]+\b", query))
        assert names
        assert names <= own | TRITON | image, query


def test_queries_see_only_this_releases_pods() -> None:
    for item in of_kind(rendered({**KEDA, "triton": {"profile": "gpu"}}), "ScaledObject"):
        for trigger in item["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                assert f'namespace="{NAMESPACE}"' in trigger["metadata"]["query"]
                assert f'pod=~"{item["metadata"]["name"]}-' in trigger["metadata"]["query"]


def test_parentheses_of_queries_are_balanced() -> None:
    for query in queries(rendered(CASES["everything"])):
        assert all(query.count(a) == query.count(b) for a, b in ("()", "{}", "[]"))


def test_scaled_objects_are_named_as_their_deployments_and_give_them_back() -> None:
    objects = of_kind(rendered(KEDA), "ScaledObject")
    assert len(objects) == 7
    for item in objects:
        assert item["metadata"]["name"] == item["spec"]["scaleTargetRef"]["name"]
        assert item["spec"]["advanced"]["restoreToOriginalReplicaCount"] is True


def test_keda_holds_the_replicas_while_prometheus_is_away() -> None:
    for item in of_kind(rendered(KEDA), "ScaledObject"):
        asks = [trigger for trigger in item["spec"]["triggers"] if trigger["type"] == "prometheus"]
        assert ("fallback" in item["spec"]) == bool(asks)
        assert all(trigger["metadata"]["ignoreNullValues"] == "false" for trigger in asks)


def test_diffusion_sleeps_while_nobody_draws() -> None:
    spec = one(rendered(CASES["everything"]), "ScaledObject", "parley-triton-diffusion")["spec"]
    assert spec["minReplicaCount"] == 0
    assert spec["cooldownPeriod"] >= 600
    queue, wake = spec["triggers"]
    assert queue["metadata"]["ignoreNullValues"] == "true", "no pod, no metric: that is no fault"
    assert "parley_image_jobs_waiting" in wake["metadata"]["query"]
    assert wake["metadata"]["activationThreshold"] == "0"
    assert NAMESPACE in wake["metadata"]["query"], "the query is a template"


def test_jobs_wait_as_long_as_diffusion_may_take_to_wake() -> None:
    """Only where it may be asleep: else a job whose models are away fails at once."""
    asleep = {"triton": {"profile": "gpu", "groups": {"diffusion": {"autoscaling": {
        "engine": "keda", "keda": {"scaleToZero": True}}}}}}  # fmt: skip
    for values, seconds in ((asleep, "900"), ({"triton": {"profile": "gpu"}}, None), ({}, None)):
        told = environment(one(rendered(values), "Deployment", "parley-image"))
        assert told.get("PARLEY_IMAGE_MODELS_WAIT_SECONDS") == seconds
    own = {"services": {"image": {"settings": {"models_wait_seconds": 60}}}}
    told = environment(one(rendered({**asleep, **own}), "Deployment", "parley-image"))
    assert told["PARLEY_IMAGE_MODELS_WAIT_SECONDS"] == "60"


@pytest.mark.parametrize("case", CASES)
def test_one_pod_at_a_time_may_be_evicted_where_there_are_two(case: str) -> None:
    objects = rendered(CASES[case])
    budgets = {component(item): item["spec"] for item in of_kind(objects, "PodDisruptionBudget")}
    for item in of_kind(objects, "Deployment"):
        name = component(item)
        scalers = [s["spec"] for s in of_kind(objects, *SCALERS) if component(s) == name]
        least = [s.get("minReplicas", s.get("minReplicaCount")) for s in scalers] or [item["spec"]["replicas"]]
        assert (name in budgets) == (least[0] > 1 and case != "minimal"), name
    for spec in budgets.values():
        assert spec["maxUnavailable"] == 1
        assert "minAvailable" not in spec
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("case", CASES)
def test_budgets_protect_pods_that_there_are(case: str) -> None:
    objects = rendered(CASES[case])
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in of_kind(objects, "Deployment")]
    for item in of_kind(objects, "PodDisruptionBudget"):
        assert any(item["spec"]["selector"]["matchLabels"].items() <= found.items() for found in labels)
