"""Names, labels and addresses of the chart's objects."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.rendering import (
    CASES,
    CHART,
    NAMESPACE,
    component,
    environment,
    of_kind,
    one,
    pod_labels,
    rendered,
    rendered_anew,
    texts,
    workloads,
)

LONG = "a" * 80
SERVICES = ["chat", "sql", "asr", "image", "identity"]
RECOMMENDED = {"name", "instance", "component", "version", "part-of", "managed-by"}
CHANGING = {"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "team"}


def selectors(item: dict[str, Any]) -> list[dict[str, str]]:
    """Every label selector in an object."""
    spec = item.get("spec", {})
    if item["kind"] == "Service":
        return [spec["selector"]]
    found = [spec["selector"]["matchLabels"]] if "matchLabels" in spec.get("selector", {}) else []
    if item["kind"] == "NetworkPolicy":
        found.append(spec["podSelector"]["matchLabels"])
    return found


def test_a_template_renders_one_kind_for_all_components() -> None:
    """A service is an entry in values.yaml, not a file."""
    names = {path.stem for path in (CHART / "templates").glob("*.yaml")}
    assert not names & set(SERVICES)
    assert {component(item) for item in of_kind(rendered(), "Deployment")} == {*SERVICES, "gateway", "triton-embedded"}


@pytest.mark.parametrize("case", CASES)
def test_names_stay_within_63_characters_for_a_long_release(case: str) -> None:
    for item in rendered({**CASES[case], "fullnameOverride": LONG}):
        assert len(item["metadata"]["name"]) <= 63, item["metadata"]["name"]
        for value in item["metadata"].get("labels", {}).values():
            assert len(value) <= 63


def test_two_long_releases_that_begin_alike_have_different_names() -> None:
    names = [
        {item["metadata"]["name"] for item in rendered({"fullnameOverride": LONG + end})} for end in ("one", "two")
    ]
    assert not names[0] & names[1]


def test_two_releases_in_a_namespace_share_no_object() -> None:
    names = [
        {(i["kind"], i["metadata"]["name"]) for i in rendered(CASES["everything"], name=n)} for n in ("blue", "green")
    ]
    assert not names[0] & names[1]


def test_two_releases_in_a_namespace_share_no_pod() -> None:
    blue, green = (rendered(CASES["everything"], name=name) for name in ("blue", "green"))
    for item in blue:
        for selector in selectors(item):
            for workload in workloads(green):
                assert not selector.items() <= pod_labels(workload).items()


@pytest.mark.parametrize("case", CASES)
def test_addresses_name_services_of_the_release(case: str) -> None:
    objects = rendered(CASES[case])
    services = {item["metadata"]["name"] for item in of_kind(objects, "Service")}
    # CloudNativePG makes its own for each Cluster.
    services |= {
        f"{item['metadata']['name']}-{end}" for item in of_kind(objects, "Cluster") for end in ("rw", "ro", "r")
    }
    found = set()
    for text in texts(CASES[case]).values():
        found |= set(re.findall(r"parley-[a-z0-9-]+-headless", text))
    for text in texts({**CASES[case], "clusterDomain": "example.org"}).values():
        found |= set(re.findall(rf"([a-z0-9-]+)\.{NAMESPACE}\.svc\.example\.org", text))
    assert found
    assert found <= services


@pytest.mark.parametrize("case", CASES)
def test_objects_have_the_recommended_labels(case: str) -> None:
    for item in rendered(CASES[case]):
        if item["metadata"]["name"].endswith("-extra"):
            continue
        labels = item["metadata"]["labels"]
        assert {f"app.kubernetes.io/{name}" for name in RECOMMENDED} | {"helm.sh/chart"} <= set(labels)


@pytest.mark.parametrize("case", CASES)
def test_selectors_hold_nothing_that_changes(case: str) -> None:
    found = [selector for item in rendered(CASES[case]) for selector in selectors(item)]
    assert found
    assert all(not CHANGING & set(selector) for selector in found)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_selectors_are_name_instance_and_component(kind: str) -> None:
    for item in of_kind(rendered(CASES["everything"]), kind):
        wanted = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
        assert set(item["spec"]["selector"]["matchLabels"]) == wanted
        assert item["spec"]["selector"]["matchLabels"].items() <= pod_labels(item).items()


def test_a_new_version_of_the_chart_alone_replaces_no_pod() -> None:
    for workload in of_kind(rendered(), "Deployment"):
        assert "helm.sh/chart" not in pod_labels(workload)


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_in_the_releases_namespace(case: str) -> None:
    """There is none of the whole cluster."""
    assert all(item["metadata"]["namespace"] == NAMESPACE for item in rendered(CASES[case]))


@pytest.mark.parametrize("case", CASES)
def test_two_renders_are_the_same(case: str) -> None:
    assert rendered_anew(CASES[case]) == texts(CASES[case])


def test_user_labels_and_annotations_reach_objects_and_pods() -> None:
    objects = rendered({"commonLabels": {"team": "one"}, "commonAnnotations": {"example.com/a": "b"}})
    assert all(item["metadata"]["labels"]["team"] == "one" for item in objects)
    assert all(item["metadata"]["annotations"]["example.com/a"] == "b" for item in objects)
    assert all(pod_labels(workload)["team"] == "one" for workload in of_kind(objects, "Deployment"))


def test_a_renamed_chart_still_finds_its_pods() -> None:
    objects = rendered({"nameOverride": "assistant"}, name="blue")
    assert one(objects, "Service", "blue-assistant-chat")["spec"]["selector"]["app.kubernetes.io/name"] == "assistant"


def test_nothing_is_rendered_when_it_is_disabled() -> None:
    assert rendered({"enabled": False}) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_disabled_leaves_nothing_behind(service: str) -> None:
    objects = rendered({"services": {service: {"enabled": False}}})
    assert not [item for item in objects if component(item) in (service, f"{service}-migrate")]
    for workload in of_kind(objects, "Deployment"):
        assert f"{service.upper()}_TARGET" not in " ".join(environment(workload))


def test_addresses_are_made_from_the_call_graph() -> None:
    chat = environment(one(rendered(name="blue"), "Deployment", "blue-parley-chat"))
    assert chat["PARLEY_CHAT_SQL_TARGET"] == "blue-parley-sql-headless:50051"


def test_the_clusters_domain_can_be_another() -> None:
    asr = environment(one(rendered({"clusterDomain": "example.org"}), "Deployment", "parley-asr"))
    assert asr["PARLEY_ASR_TRITON_TARGET"] == f"parley-triton-embedded-headless.{NAMESPACE}.svc.example.org:8001"


def test_settings_keep_their_kind() -> None:
    """Large whole numbers are not written as 7.5e+07, lists are JSON."""
    values = {"services": {"chat": {"settings": {"max_message_bytes": 75497472, "save_seconds": 0.5}}}}
    chat = environment(one(rendered(values), "Deployment", "parley-chat"))
    assert chat["PARLEY_CHAT_MAX_MESSAGE_BYTES"] == "75497472"
    assert chat["PARLEY_CHAT_SAVE_SECONDS"] == "0.5"


def test_the_gateways_files_are_those_of_the_gateway() -> None:
    for name in ("bootstrap.yaml", "clusters.yaml"):
        assert (CHART / "files" / "gateway" / name).read_text() == (ROOT / "gateway" / name).read_text(), (
            "run `python scripts/chart.py`"
        )


def test_extra_objects_are_templates() -> None:
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-text", namespace: x, labels: {}}'
    assert one(rendered({"extraObjects": [text]}), "ConfigMap", "parley-text")


def test_extra_environment_volumes_and_annotations_reach_the_pods() -> None:
    chat = one(rendered(CASES["everything"]), "Deployment", "parley-chat")
    assert environment(chat)["TZ"] == "UTC"
    spec = chat["spec"]["template"]["spec"]
    assert {"name": "extra", "emptyDir": {"sizeLimit": "1Mi"}} in spec["volumes"]
    assert {"name": "extra", "mountPath": "/extra"} in spec["containers"][0]["volumeMounts"]
    assert chat["spec"]["template"]["metadata"]["annotations"]["example.com/note"] == "chat"


def test_the_readme_names_every_values_file() -> None:
    text = (CHART / "README.md").read_text()
    assert all(f"`{path.name}`" in text for path in CHART.glob("values-*.yaml"))


def test_chart_metadata() -> None:
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert metadata["kubeVersion"] == ">=1.31.0-0"
    assert f'version = "{metadata["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()
