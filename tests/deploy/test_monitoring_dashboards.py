"""Grafana's dashboards: they can be read, their queries are PromQL, and the chart has them."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.monitoring import DASHBOARDS, MONITORING, expressions, filled, metrics, panels, recorded, run, tool
from tests.deploy.rendering import CHART, of_kind, rendered

# Grafana's ids: packages/grafana-data/src/valueFormats/categories.ts.
UNITS = {"none", "percent", "percentunit", "s", "ms", "d", "reqps", "Bps", "bytes", "celsius", "currencyUSD"}


def model(path: pathlib.Path) -> dict[str, Any]:
    """A dashboard."""
    made: dict[str, Any] = json.loads(path.read_text())
    return made


def test_dashboards_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/dashboards.py", "--check"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_there_is_one_for_everything_that_runs() -> None:
    wanted = {"overview", "chat", "asr", "image", "sql", "triton", "gateway", "usage", "resources"}
    assert {path.stem for path in DASHBOARDS} == wanted
    assert len({model(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_lie_side_by_side(path: pathlib.Path) -> None:
    placed = [(panel["title"], panel["gridPos"]) for panel in model(path)["panels"]]
    for title, at in placed:
        assert at["x"] >= 0, title
        assert at["x"] + at["w"] <= 24, f"{title} leaves the grid"
    for (one, a), (other, b) in combinations(placed, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, f"{one} lies on {other}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_rows_are_filled(path: pathlib.Path) -> None:
    """No hole within a row of the grid, but at its end."""
    widths: dict[int, int] = {}
    for panel in model(path)["panels"]:
        place = panel["gridPos"]
        assert place["x"] == widths.get(place["y"], 0), panel["title"]
        widths[place["y"]] = place["x"] + place["w"]


@pytest.mark.parametrize(
    ("dashboard", "panel"), list(panels()), ids=lambda value: value["title"] if isinstance(value, dict) else value
)
def test_a_panel_can_be_understood(dashboard: str, panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert len(panel["description"]) > 10
    assert panel["description"].endswith(".")
    assert panel["targets"]
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs)
    for target in panel["targets"]:
        named = set(part.split("}}")[0] for part in target["legendFormat"].split("{{")[1:])  # noqa: C401 -- reads better
        assert all(label in target["expr"] or label in ("pod", "component", "gpu_uuid", "instance") for label in named)


def test_every_query_is_promql(tmp_path: pathlib.Path) -> None:
    rules = [
        {"record": f"panel:query_{number}", "expr": filled(target["expr"])}
        for number, target in enumerate(target for _, panel in panels() for target in panel["targets"])
    ]
    assert len(rules) > 90
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    said = run(tool("promtool", "prometheus"), "check", "rules", tmp_path / "rules.yaml")
    assert said.returncode == 0, said.stdout


def test_queries_look_at_the_chosen_release_only() -> None:
    for dashboard, panel in panels():
        for target in panel["targets"]:
            ours = {
                name
                for name in metrics(filled(target["expr"]))
                if name.startswith(("parley_", "grpc_", "envoy_", "nv_"))
            }
            if ours:
                assert 'part_of="parley", namespace=~"$namespace", release=~"$release"' in target["expr"], (
                    f"{dashboard}: {panel['title']}"
                )


def test_names_of_metrics_are_found_in_queries() -> None:
    query = (
        'sum by (a, b) (rate(one{c="two"}[5m])) / on (d) group_left (e) clamp_min(f:g:h, 0.5) or vector(0) unless up'
    )
    assert metrics(query) == {"one", "f:g:h", "up"}
    used = set[str]().union(*map(metrics, expressions()))
    assert recorded() <= used | {"component:errors:ratio_rate3d"}, "nothing is recorded that nobody looks at"


def test_the_chart_has_the_same_dashboards() -> None:
    files = {path.name: path.read_text() for path in (CHART / "files" / "dashboards").iterdir()}
    assert files == {path.name: path.read_text() for path in DASHBOARDS}, "run `python scripts/chart.py`"


def test_dashboards_become_configmaps_for_grafanas_sidecar() -> None:
    switch = {"enabled": True, "labels": {"grafana_dashboard": "1", "team": "x"}}
    made = [
        item
        for item in of_kind(rendered({"monitoring": {"dashboards": switch}}), "ConfigMap")
        if "dashboard" in item["metadata"]["name"]
    ]
    assert {name: json.loads(text) for item in made for name, text in item["data"].items()} == {
        path.name: model(path) for path in DASHBOARDS
    }
    assert all(item["metadata"]["labels"]["team"] == "x" for item in made)
    assert all(item["metadata"]["labels"]["grafana_dashboard"] == "1" for item in made)
    assert all(len(json.dumps(item)) < 1 << 20 for item in made), "a ConfigMap holds 1 MiB"


def test_data_sources_lead_to_each_other() -> None:
    (metrics_only,) = (MONITORING / "grafana" / "datasources").glob("*.yaml")
    (prometheus,) = yaml.safe_load(metrics_only.read_text())["datasources"]
    assert (prometheus["uid"], prometheus["isDefault"]) == ("prometheus", True)
    sources = yaml.safe_load((MONITORING / "grafana" / "logs-and-traces.yaml").read_text())["datasources"]
    assert {source["uid"] for source in sources} == {"loki", "tempo"}
    named = re.findall(r'"datasourceUid": "(\w+)"', json.dumps(sources))
    assert sorted(named) == ["loki", "tempo"], "logs lead to traces, and back"


def test_the_collectors_pipelines_are_made_of_what_it_has() -> None:
    collector = yaml.safe_load((MONITORING / "otel-collector.yaml").read_text())
    assert collector["service"]["extensions"] == list(collector["extensions"])
    for pipeline in collector["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= set(collector[part])
    assert pipeline["processors"][0] == "memory_limiter", "what there is no room for is refused first"
    assert set(collector["receivers"]["otlp"]["protocols"]) == {"grpc", "http"}, "Triton speaks HTTP only"


def test_logs_have_few_labels() -> None:
    """What names one request is structured metadata: a label of it would make a stream for each request."""
    text = (MONITORING / "config.alloy").read_text()
    (labels,) = [part.split("}")[0] for part in text.split("stage.labels {")[1:]]
    assert "trace_id" not in labels
    assert "request_id" not in labels
    assert text.count("{") == text.count("}")
