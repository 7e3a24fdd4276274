"""Rules and alerts, judged by Prometheus's own promtool; and who hears of alerts, by Alertmanager's amtool."""

from __future__ import annotations

import re

import pytest
import yaml

from services.mesh.contracts import service_names
from tests.conftest import ROOT
from tests.deploy.monitoring import MONITORING, RULES, alerts, groups, metrics, run, tool
from tests.deploy.rendering import CHART, of_kind, rendered

UNIT_TESTS = sorted((MONITORING / "rule_tests").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "operations" / "runbooks"
SECTIONS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


def test_prometheus_takes_the_rules_and_its_configuration() -> None:
    said = run(tool("promtool", "prometheus"), "check", "config", "--lint-fatal", "prometheus.yaml")
    assert said.returncode == 0, said.stdout
    assert said.stdout.count("rules found") == len(RULES)


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_where_they_should_and_only_there(path: object) -> None:
    said = run(tool("promtool", "prometheus"), "test", "rules", str(path))
    assert said.returncode == 0, said.stdout


def test_every_alert_is_tested_both_ways() -> None:
    cases = [case for path in UNIT_TESTS for case in yaml.safe_load(path.read_text())["tests"]]
    fires: set[str] = set()
    silent: set[str] = set()
    for case in cases:
        ((expected,),) = [check["exp_samples"] for check in case["promql_expr_test"]]
        name = case["name"].split()[0]
        assert f'alertname="{name}"' in case["promql_expr_test"][0]["expr"], "the name says which alert is looked at"
        (fires if expected["value"] else silent).add(name)
    assert fires == silent == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert len(alert["annotations"]["summary"]) > 20
    assert alert["annotations"]["runbook_url"] == f"docs/operations/runbooks/{name}.md"
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## .+", text, re.MULTILINE) == SECTIONS
    assert all(len(part.strip()) > 20 for part in re.split(r"^## .+\n", text, flags=re.MULTILINE)[1:])


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(alerts())


def test_settings_that_runbooks_name_exist() -> None:
    known = (ROOT / "docs" / "settings.md").read_text()
    for path in RUNBOOKS.glob("*.md"):
        for setting in re.findall(r"PARLEY_[A-Z_]+", path.read_text()):
            assert f"`{setting}`" in known, f"{path.name}: {setting}"


@pytest.mark.parametrize(
    "asked",
    ["cpu", "memory", "volume", "filesystem", "errors", "latency", "database_connections", "queue", "gpu", "quota",
     "replication_lag", "cronjob", "certificate", "responses"],
)  # fmt: skip
def test_what_operators_ask_for_is_watched(asked: str) -> None:
    assert [name for name, alert in alerts().items() if asked in alert["expr"]]


def test_thresholds_are_those_that_were_asked_for() -> None:
    wanted = {
        "ParleyCpuHigh": ("> 0.8", "5m"),
        "ParleyMemoryHigh": ("> 0.85", "5m"),
        "ParleyDiskAlmostFull": ("> 0.9", "5m"),
        "ParleyErrorRateHigh": ("> 0.01", "5m"),
        "ParleyLatencyHigh": ("> 2", "5m"),
        "ParleyDatabasePoolBusy": ("> 0.8", "5m"),
        "ParleyProviderQuotaLow": ("> 0.8", "5m"),
        "ParleyReplicationLag": ("> 10", "2m"),
    }
    for name, (threshold, lasting) in wanted.items():
        assert threshold in alerts()[name]["expr"], name
        assert alerts()[name]["for"] == lasting, name


def test_methods_that_latency_leaves_out_are_real_and_answer_once() -> None:
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.Default()
    services = [pool.FindServiceByName(name) for name in service_names()]
    unary = {m.name for s in services for m in s.methods if not m.server_streaming and not m.client_streaming}
    (rule,) = [rule for rule in groups() if rule.get("record") == "component:latency_seconds:p95_5m"]
    (left_out,) = re.findall(r'grpc_method!~"([\w|]+)"', rule["expr"])
    assert set(left_out.split("|")) <= unary, "streams are left out by grpc_type"


def test_triton_is_watched_over_all_models_of_a_pod() -> None:
    (rule,) = [rule for rule in groups() if rule.get("record") == "pod:triton_queue_seconds:mean_5m"]
    assert metrics(rule["expr"]) == {"nv_inference_queue_duration_us", "nv_inference_request_success"}
    assert rule["expr"].count("sum by (namespace, release, component, pod)") == 2
    assert "clamp_min" in rule["expr"], "a pod that idles must not divide by zero"


def test_alertmanager_takes_its_configuration() -> None:
    said = run(tool("amtool", "prometheus-alertmanager"), "check-config", "alertmanager.yaml")
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(("severity", "receivers"), [("critical", "pager,chat,mail"), ("warning", "chat,mail")])
def test_who_hears_of_an_alert(severity: str, receivers: str) -> None:
    routes = ("config", "routes", "test", "--config.file=alertmanager.yaml")
    said = run(tool("amtool", "prometheus-alertmanager"), *routes, "alertname=X", f"severity={severity}")
    assert said.stdout.splitlines()[-1] == receivers, said.stdout


def test_alertmanager_reads_secrets_from_files_and_inhibits_alerts_that_exist() -> None:
    text = (MONITORING / "alertmanager.yaml").read_text()
    configuration = yaml.safe_load(text)
    for secret in ("smtp_auth_password", "slack_api_url", "routing_key"):
        assert f"{secret}_file:" in text
        assert f"{secret}:" not in text
    for rule in configuration["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            (pattern,) = re.findall(r'alertname=~?"(.+)"', matcher)
            for name in pattern.split("|"):
                assert [alert for alert in alerts() if re.fullmatch(name, alert)], name


def test_the_chart_has_the_same_rules() -> None:
    files = {path.name: path.read_text() for path in (CHART / "files" / "rules").iterdir()}
    assert files == {path.name: path.read_text() for path in RULES}, "run `python scripts/chart.py`"


def test_rules_are_rendered_with_links_to_runbooks() -> None:
    switch = {"enabled": True, "labels": {"release": "x"}, "runbookUrl": "https://wiki.example.com/runbooks/"}
    made = of_kind(rendered({"monitoring": {"prometheusRule": switch}}), "PrometheusRule")
    found = {r["alert"]: r for item in made for group in item["spec"]["groups"] for r in group["rules"] if "alert" in r}
    assert set(found) == set(alerts())
    for name, rule in found.items():
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.com/runbooks/{name}.md"
        assert rule["annotations"]["summary"] == alerts()[name]["annotations"]["summary"], "templates are Prometheus's"
    assert all(item["metadata"]["labels"]["release"] == "x" for item in made)


def test_what_is_scraped_has_the_labels_that_rules_select_by() -> None:
    monitors = of_kind(rendered({"monitoring": {"serviceMonitor": {"enabled": True}}}), "ServiceMonitor", "PodMonitor")
    assert monitors
    for item in monitors:
        ((endpoint),) = item["spec"].get("endpoints") or item["spec"]["podMetricsEndpoints"]
        assert {rule["targetLabel"] for rule in endpoint["relabelings"]} == {"part_of", "release", "component"}
    static = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"]
    labels = [target["labels"] for job in static for target in job["static_configs"]]
    assert all({"part_of", "release", "component", "pod"} == set(each) for each in labels)
    components = {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in monitors}
    assert {each["component"] for each in labels} == components, "the same names in both"
