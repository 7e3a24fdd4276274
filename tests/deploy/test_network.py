"""Who reaches whom: Services, network policies, the Gateway, certificates."""

from __future__ import annotations

import importlib.util
import itertools
import re
from typing import Any

import pytest
import yaml

from scripts.settings_docs import settings_class
from tests.conftest import ROOT
from tests.deploy.rendering import (
    CASES,
    component,
    containers,
    environment,
    of_kind,
    one,
    pod,
    pod_labels,
    rendered,
    workloads,
)

SERVICES = ["chat", "sql", "asr", "image", "identity"]
# What the services call besides each other, in the words of the chart's `calls`.
TRITON = {"asr": "triton-speech", "image": "triton-diffusion"}


def calls_of_the_code() -> set[tuple[str, str]]:
    """Who calls whom, by the settings of the services (`<callee>_target`) and the gateway's clusters."""
    edges = set()
    for service in SERVICES:
        for name in settings_class(service).model_fields:
            if name.endswith("_target"):
                callee = name.removesuffix("_target")
                edges.add((service, TRITON[service] if callee == "triton" else callee))
    clusters = yaml.safe_load((ROOT / "gateway" / "clusters.yaml").read_text())["resources"]
    # Those that the chart gives addresses: Envoy's way to itself and the collector of traces are no components.
    return edges | {("gateway", cluster["name"]) for cluster in clusters if cluster["type"] == "EDS"}


def policies(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The network policy of each component."""
    return {component(item): item["spec"] for item in of_kind(objects, "NetworkPolicy")}


def peers(rules: list[dict[str, Any]], key: str) -> set[str]:
    """The components that rules name."""
    selectors = [
        peer["podSelector"]["matchLabels"] for rule in rules for peer in rule.get(key, []) if "podSelector" in peer
    ]
    return {s["app.kubernetes.io/component"] for s in selectors if "app.kubernetes.io/component" in s}


def allowed(objects: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Who may reach whom: what one side's egress and the other's ingress both allow."""
    found = policies(objects)
    out = {(name, to) for name, spec in found.items() for to in peers(spec.get("egress", []), "to")}
    into = {(caller, name) for name, spec in found.items() for caller in peers(spec.get("ingress", []), "from")}
    assert {edge for edge in into if edge[0] != "test"} == out, "one side's door is closed"
    return out


def test_policies_allow_what_the_code_calls_and_nothing_else() -> None:
    edges = allowed(rendered({"triton": {"profile": "gpu"}}))
    code = calls_of_the_code()
    assert code <= edges, f"calls without a way: {code - edges}"
    # The gateway asks identity about every call; the cluster follows with its filter.
    assert edges - code <= {("gateway", "identity")}, f"ways that nobody goes: {edges - code}"


@pytest.mark.parametrize("case", [case for case in CASES if case != "minimal"])
def test_every_pod_is_denied_by_default(case: str) -> None:
    objects = rendered(CASES[case])
    deny = one(objects, "NetworkPolicy", "parley-default-deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(deny)
    for workload in workloads(objects):
        assert deny["podSelector"]["matchLabels"].items() <= pod_labels(workload).items()


@pytest.mark.parametrize("case", [case for case in CASES if case != "minimal"])
def test_no_policy_opens_everything(case: str) -> None:
    for spec in policies(rendered(CASES[case])).values():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert rule.get("ports"), "a rule without ports is one for all of them"


@pytest.mark.parametrize("case", [case for case in CASES if case != "minimal"])
def test_every_pod_that_calls_by_name_may_ask_dns(case: str) -> None:
    for name, spec in policies(rendered(CASES[case])).items():
        if name in ("default-deny", "redis"):
            continue
        ports = [port for rule in spec["egress"] for port in rule["ports"] if port["port"] == 53]
        assert {port["protocol"] for port in ports} == {"UDP", "TCP"}, name


@pytest.mark.parametrize("case", [case for case in CASES if case != "minimal"])
def test_policies_name_ports_that_pods_have(case: str) -> None:
    objects = rendered(CASES[case])
    for item in of_kind(objects, "NetworkPolicy"):
        selector = item["spec"]["podSelector"]["matchLabels"]
        pods = [w for w in workloads(objects) if selector.items() <= pod_labels(w).items()]
        assert pods, f"{item['metadata']['name']} is about nobody"
        named = {p["name"] for w in pods for c in containers(w) for p in c.get("ports", [])}
        wanted = {p["port"] for rule in item["spec"].get("ingress", []) for p in rule["ports"]}
        assert wanted <= named


def test_metrics_are_open_to_monitoring_only() -> None:
    for name, spec in policies(rendered()).items():
        for rule in spec.get("ingress", []):
            if rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]:
                labels = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"]]
                assert labels == [{"kubernetes.io/metadata.name": "monitoring"}], name


def test_the_internet_is_not_the_own_network() -> None:
    egress = policies(rendered())["chat"]["egress"]
    (block,) = [
        peer["ipBlock"]
        for rule in egress
        for peer in rule.get("to", [])
        if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12"} <= set(block["except"])


def test_the_gateway_reaches_only_services() -> None:
    for rule in policies(rendered())["gateway"]["egress"]:
        assert not any("ipBlock" in peer and peer["ipBlock"]["cidr"] == "0.0.0.0/0" for peer in rule.get("to", []))


def test_clients_can_be_limited_to_networks() -> None:
    rule = policies(rendered(CASES["image-volume"]))["gateway"]["ingress"][0]
    assert {"ipBlock": {"cidr": "203.0.113.0/24"}} in rule["from"]


def test_traces_and_databases_have_a_way() -> None:
    values = {"tracing": {"endpoint": "http://otel.monitoring:4317"}, "postgresql": {"cidrs": ["10.9.0.0/16"]}}
    egress = policies(rendered(values))["chat"]["egress"]
    ports = {port["port"]: rule.get("to") for rule in egress for port in rule["ports"]}
    assert ports[4317] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert ports[5432] == [{"ipBlock": {"cidr": "10.9.0.0/16"}}]
    chat = environment(one(rendered(values), "Deployment", "parley-chat"))
    assert chat["PARLEY_CHAT_OTLP_ENDPOINT"] == "http://otel.monitoring:4317"


def test_only_identity_reaches_redis() -> None:
    objects = rendered({"redis": {"mode": "internal"}})
    assert peers(policies(objects)["redis"]["ingress"], "from") == {"identity"}
    identity = environment(one(objects, "Deployment", "parley-identity"))
    assert identity["PARLEY_IDENTITY_REDIS_URL"] == "redis://parley-redis-headless:6379/0"


@pytest.mark.parametrize("case", CASES)
def test_services_select_pods_and_ports_that_there_are(case: str) -> None:
    objects = rendered(CASES[case])
    for service in of_kind(objects, "Service"):
        selected = [w for w in workloads(objects) if service["spec"]["selector"].items() <= pod_labels(w).items()]
        assert len(selected) == 1, service["metadata"]["name"]
        names = {port["name"] for container in containers(selected[0]) for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


@pytest.mark.parametrize("name", [*SERVICES, "triton-embedded"])
def test_callers_balance_over_pods_and_others_have_one_address(name: str) -> None:
    objects = rendered()
    plain, headless = (one(objects, "Service", f"parley-{name}{end}")["spec"] for end in ("", "-headless"))
    assert "clusterIP" not in plain
    assert headless["clusterIP"] == "None"
    for spec in (plain, headless):
        (port,) = [port for port in spec["ports"] if port["name"] == "grpc"]
        assert port["appProtocol"] == "kubernetes.io/h2c"


def test_callers_find_every_pod_or_one_address_and_never_both() -> None:
    """With a service mesh's proxies between them nobody is told of a headless Service, and there is none."""
    proxied = {"defaults": {"loadBalancing": "proxy", "service": {"headless": False}}, "redis": {"mode": "none"}}
    everything = yaml.safe_dump_all(rendered(proxied))
    assert "headless" not in everything
    assert re.search(r"PARLEY_CHAT_SQL_TARGET\s+value: parley-sql:50051", everything)
    mixed = {"services": {"sql": proxied["defaults"]}}
    objects = rendered(mixed)
    services = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "Service")}
    for workload in workloads(objects):
        for name, value in environment(workload).items():
            if name.endswith("_TARGET"):
                found = services[value.partition(":")[0]]
                assert ("clusterIP" in found) == (name != "PARLEY_CHAT_SQL_TARGET")
    clusters = one(objects, "ConfigMap", "parley-gateway")["data"]["clusters.yaml"]
    assert "address: parley-sql," in clusters
    assert "address: parley-chat-headless," in clusters


@pytest.mark.parametrize("case", ["aks", "eks", "gke"])
def test_the_load_balancer_keeps_clients_addresses(case: str) -> None:
    service = one(rendered(CASES[case]), "Service", "parley-gateway")
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert service["metadata"]["annotations"]


def test_a_load_balancer_can_be_closed_to_the_world() -> None:
    values = {
        "services": {"gateway": {"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["203.0.113.0/24"]}}}
    }
    assert one(rendered(values), "Service", "parley-gateway")["spec"]["loadBalancerSourceRanges"] == ["203.0.113.0/24"]


@pytest.mark.parametrize(
    ("mode", "kinds"), [("builtin", set()), ("gatewayapi", {"HTTPRoute", "GRPCRoute"}), ("none", set())]
)
def test_the_ways_in(mode: str, kinds: set[str]) -> None:
    api = {"parentRefs": [{"name": "public"}], "hostnames": ["a.example.com"], "grpcHostnames": ["g.example.com"]}
    objects = rendered({"gateway": {"mode": mode, "gatewayApi": api}})
    assert {item["kind"] for item in of_kind(objects, "HTTPRoute", "GRPCRoute")} == kinds
    assert bool([i for i in of_kind(objects, "Deployment") if component(i) == "gateway"]) == (mode != "none")


def test_routes_end_at_a_port_of_a_service() -> None:
    objects = rendered(CASES["everything"])
    routes = of_kind(objects, "HTTPRoute", "GRPCRoute")
    assert len(routes) == 2
    for route in routes:
        assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
        for backend in [ref for rule in route["spec"]["rules"] for ref in rule["backendRefs"]]:
            service = one(objects, "Service", backend["name"])
            assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
    assert not set(routes[0]["spec"]["hostnames"]) & set(routes[1]["spec"]["hostnames"])


@pytest.mark.parametrize("name", [*SERVICES, "gateway", "triton-speech", "triton-diffusion"])
def test_certificates_are_for_both_sides_and_both_names(name: str) -> None:
    objects = rendered(CASES["everything"])
    spec = one(objects, "Certificate", f"parley-{name}")["spec"]
    assert spec["usages"] == ["server auth", "client auth"]
    assert spec["privateKey"]["rotationPolicy"] == "Always"
    services = {item["metadata"]["name"] for item in of_kind(objects, "Service") if component(item) == name}
    assert services <= set(spec["dnsNames"])
    volumes = pod(one(objects, "Deployment", f"parley-{name}"))["volumes"]
    assert spec["secretName"] in {v.get("secret", {}).get("secretName") for v in volumes}
    assert one(objects, "Issuer", spec["issuerRef"]["name"])


def test_certificates_can_be_another_issuers_or_ones_own() -> None:
    issuer = {"name": "corporate", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    objects = rendered({"mtls": {"enabled": True, "certManager": {"issuerRef": issuer}}})
    assert not of_kind(objects, "Issuer")
    assert one(objects, "Certificate", "parley-chat")["spec"]["issuerRef"] == issuer
    own = rendered(CASES["image-volume"])
    assert not of_kind(own, "Issuer", "Certificate")
    volumes = pod(one(own, "Deployment", "parley-chat"))["volumes"]
    assert "chat-tls" in {volume.get("secret", {}).get("secretName") for volume in volumes}


@pytest.mark.parametrize("case", ["everything", "ha", "image-volume"])
def test_certificates_are_mounted_read_only_wherever_something_listens(case: str) -> None:
    for workload in of_kind(rendered(CASES[case]), "Deployment"):
        mounts = pod(workload)["containers"][0]["volumeMounts"]
        assert {"name": "tls", "mountPath": "/run/tls", "readOnly": True} in mounts


def test_every_component_of_the_release_is_part_of_the_graph() -> None:
    """A component that nobody calls and that calls nobody would be there for nothing."""
    edges = allowed(rendered({"triton": {"profile": "gpu"}}))
    joined = set(itertools.chain.from_iterable(edges))
    assert {component(item) for item in of_kind(rendered({"triton": {"profile": "gpu"}}), "Deployment")} <= joined


def test_ports_agree_with_what_the_services_are_told() -> None:
    for service in SERVICES:
        workload = one(rendered(), "Deployment", f"parley-{service}")
        ports = {port["name"]: port["containerPort"] for port in pod(workload)["containers"][0]["ports"]}
        told = environment(workload)
        prefix = f"PARLEY_{service.upper()}_"
        assert told[f"{prefix}LISTEN"] == f"0.0.0.0:{ports['grpc']}"
        assert told[f"{prefix}METRICS_LISTEN"] == f"0.0.0.0:{ports['metrics']}"


def test_services_exist_for_all_entries() -> None:
    assert all(importlib.util.find_spec(f"services.{service}") for service in SERVICES)
    assert not re.search("latest", yaml.safe_dump(rendered()))
