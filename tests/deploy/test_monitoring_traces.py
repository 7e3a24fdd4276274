"""Who is told of the collector of traces, and who may reach it; tests/e2e/test_observability.py sees the traces."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import config
from gateway.config import Endpoint
from gateway.settings import GatewaySettings, SettingsError
from services.mesh import context
from tests.deploy.rendering import CHART, Values, component, environment, of_kind, one, rendered
from triton_models import tracing

GRPC, HTTP = "http://otel.monitoring:4317", "http://otel.monitoring:4318/v1/traces"
SERVICES = {name: [Endpoint("127.0.0.1", 5000)] for name in config.SERVICES}


def traced(**more: Any) -> Values:
    """Values with a collector."""
    return {"tracing": {"endpoint": GRPC, "httpEndpoint": HTTP, **more}}


def gateway_files(values: Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cluster of the collector, and Envoy's static runtime."""
    data = one(rendered(values), "ConfigMap", "parley-gateway")["data"]
    (cluster,) = [item for item in yaml.safe_load(data["clusters.yaml"])["resources"] if item["name"] == "tracing"]
    return cluster, yaml.safe_load(data["bootstrap.yaml"])["layered_runtime"]["layers"][0]["static_layer"]


def test_without_a_collector_nobody_is_told_of_one() -> None:
    objects = rendered()
    cluster, runtime = gateway_files({})
    assert cluster["load_assignment"] == {"cluster_name": "tracing"}
    assert runtime["tracing.random_sampling"] == 0
    assert "listener.yaml" not in one(objects, "ConfigMap", "parley-gateway")["data"], "the image's own has no tracer"
    assert "envoy.tracers" not in (CHART / "files" / "gateway" / "listener.yaml").read_text()
    for deployment in of_kind(objects, "Deployment"):
        assert not [name for name in environment(deployment) if "OTLP" in name]


def test_everybody_is_told_of_the_collector_that_they_can_speak_to() -> None:
    for deployment in of_kind(rendered(traced()), "Deployment"):
        told = {value for name, value in environment(deployment).items() if "OTLP" in name}
        name = component(deployment)
        assert told == (set() if name == "gateway" else {HTTP} if name.startswith("triton") else {GRPC}), name
    cluster, runtime = gateway_files(traced(percent=5))
    ((address,),) = [
        [member["endpoint"]["address"]["socket_address"] for member in group["lb_endpoints"]]
        for group in cluster["load_assignment"]["endpoints"]
    ]
    assert address == {"address": "otel.monitoring", "port_value": 4317}
    assert "transport_socket" not in cluster
    assert runtime["tracing.random_sampling"] == 5
    listener = yaml.safe_load(one(rendered(traced()), "ConfigMap", "parley-gateway")["data"]["listener.yaml"])
    (chain,) = listener["resources"][0]["filter_chains"]
    # Before it, what counts connections.
    manager = chain["filters"][-1]["typed_config"]
    assert manager["tracing"]["provider"]["typed_config"]["grpc_service"]["envoy_grpc"] == {"cluster_name": "tracing"}
    assert manager["generate_request_id"] is True


def test_a_collector_by_https_has_to_show_its_certificate() -> None:
    cluster, _ = gateway_files(traced(endpoint="https://otel.example.com:443"))
    tls = cluster["transport_socket"]["typed_config"]
    assert tls["sni"] == "otel.example.com"
    names = tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert names == [{"san_type": "DNS", "matcher": {"exact": "otel.example.com"}}]


@pytest.mark.parametrize(
    ("grpc", "http", "ports"),
    [
        (GRPC, HTTP, {"chat": 4317, "gateway": 4317, "triton-embedded": 4318}),
        ("https://otel.example.com", "https://otel.example.com/v1/traces", {"chat": 4317, "triton-embedded": 4318}),
        ("https://a.example.com:443", "https://b.example.com:8443/v1/traces", {"chat": 443, "triton-embedded": 8443}),
    ],
)  # fmt: skip
def test_network_policies_let_them_reach_it(grpc: str, http: str, ports: dict[str, int]) -> None:
    objects = rendered(traced(endpoint=grpc, httpEndpoint=http, namespaceLabels={"name": "watchers"}))
    for name, port in ports.items():
        rules = one(objects, "NetworkPolicy", f"parley-{name}")["spec"]["egress"]
        to_collector = [rule for rule in rules if {"matchLabels": {"name": "watchers"}} in _namespaces(rule)]
        assert [rule["ports"] for rule in to_collector] == [[{"port": port, "protocol": "TCP"}]], name


def _namespaces(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """The namespaces that a rule is about, without those with further labels."""
    found = []
    for peer in rule.get("to", []):
        labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
        found.append({"matchLabels": {key: value for key, value in labels.items() if key == "name"}})
    return found


def test_envoy_takes_what_the_gateways_settings_say_of_a_collector(tmp_path: Path) -> None:
    settings = GatewaySettings(otlp_endpoint="https://otel.example.com", trace_percent=10)
    config.write(tmp_path, SERVICES, settings=settings)
    (cluster,) = [
        item
        for item in yaml.safe_load((tmp_path / "clusters.yaml").read_text())["resources"]
        if item["name"] == "tracing"
    ]
    (group,) = cluster["load_assignment"]["endpoints"]
    assert group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] == {
        "address": "otel.example.com",
        "port_value": 4317,
    }
    assert cluster["transport_socket"]["typed_config"]["sni"] == "otel.example.com"
    bootstrap = yaml.safe_load((tmp_path / "bootstrap.yaml").read_text())
    assert bootstrap["layered_runtime"]["layers"][0]["static_layer"]["tracing.random_sampling"] == 10
    # Envoy itself looks at both files in one: what it would fetch later is put into the bootstrap.
    clusters = yaml.safe_load((tmp_path / "clusters.yaml").read_text())["resources"]
    listeners = yaml.safe_load((tmp_path / "listener.yaml").read_text())["resources"]
    static = {
        kind: [{key: value for key, value in item.items() if key != "@type"} for item in items]
        for kind, items in (("clusters", clusters), ("listeners", listeners))
    }
    del bootstrap["dynamic_resources"]
    (tmp_path / "bootstrap.yaml").write_text(yaml.safe_dump({**bootstrap, "static_resources": static}))
    command = [str(config.executable()), "--mode", "validate", "--config-path", "bootstrap.yaml"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("settings", [{"otlp_endpoint": "otel:4317"}, {"trace_percent": 101}, {"trace_percent": -1}])
def test_a_collector_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings)).upper()):
        GatewaySettings(**settings)


def test_triton_begins_no_trace_by_itself() -> None:
    assert tracing.flags("") == []
    flags = tracing.flags(HTTP)
    assert "--trace-config=rate=0" in flags
    assert f"--trace-config=opentelemetry,url={HTTP}" in flags


@pytest.mark.parametrize(("flags", "recorded"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_whether_a_trace_is_recorded_is_its_first_flag(flags: str, recorded: bool) -> None:
    assert context.is_sampled(f"00-{'a' * 32}-{'b' * 16}-{flags}") is recorded
    assert not context.is_sampled("")
