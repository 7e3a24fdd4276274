"""Writes the Grafana dashboards, deploy/monitoring/dashboards/*.json, from deploy/monitoring/dashboards.yaml.

`--check` writes nothing and fails when a file differs.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
MONITORING = ROOT / "deploy" / "monitoring"
FOLDER = MONITORING / "dashboards"
COLUMNS = 24
"""The width of Grafana's grid."""
HEIGHTS = {"timeseries": 8, "bargauge": 8, "stat": 4}
"""Rows of the grid, by kind of panel."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTORS = {
    "OURS": 'part_of="parley", namespace=~"$namespace", release=~"$release"',
    "CHOSEN": 'namespace=~"$namespace", release=~"$release"',
}
Panel = dict[str, Any]


def query(text: str, component: str) -> str:
    """PromQL with its selectors in place."""
    filled = re.sub(r"\b(OURS|CHOSEN)\b", lambda match: SELECTORS[match[0]], text)
    return filled.replace("COMPONENT", component)


def choice(name: str, label: str, values: str) -> dict[str, Any]:
    """A variable whose values are those of a label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": values, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        # Outside Kubernetes there is no namespace: what is not there matches too.
        "allValue": ".*",
        "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    }


def typed(price: dict[str, str]) -> dict[str, Any]:
    """A variable that the reader types in."""
    value = {"text": price["default"], "value": price["default"]}
    options = [{**value, "selected": True}]
    return {
        "name": price["name"],
        "label": price["label"],
        "type": "textbox",
        "query": price["default"],
        "current": value,
        "options": options,
    }


def variables(prices: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """What a dashboard lets its reader choose."""
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}},
        choice("namespace", "Namespace", 'label_values(up{part_of="parley"}, namespace)'),
        choice("release", "Release", 'label_values(up{part_of="parley", namespace=~"$namespace"}, release)'),
        *map(typed, prices),
    ]


def thresholds(limits: Sequence[float]) -> dict[str, Any]:
    """Where a panel changes its colour."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": colour, "value": at} for colour, at in zip(("yellow", "red"), limits, strict=False)]
    return {"mode": "absolute", "steps": steps}


def look(panel: Panel, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a kind of panel draws its fields, and its other options."""
    if kind == "timeseries":
        stacked = panel.get("stacked", False)
        custom = {
            "fillOpacity": 30 if stacked else 5,
            "stacking": {"mode": "normal" if stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if "limits" in panel else "off"},
            "showPoints": "never",
        }
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        return custom, {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    last = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    return {}, last | ({"orientation": "horizontal", "displayMode": "gradient"} if kind == "bargauge" else {})


def targets(panel: Panel, kind: str, component: str) -> list[dict[str, Any]]:
    """The queries of a panel."""
    return [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": query(asked["expr"], component),
            "legendFormat": asked.get("legend", "__auto"),
            "instant": kind != "timeseries",
            "range": kind == "timeseries",
        }
        for index, asked in enumerate(panel["queries"])
    ]


def drawn(panel: Panel, component: str, place: dict[str, int]) -> dict[str, Any]:
    """A panel as Grafana has it."""
    kind = panel.get("kind", "timeseries")
    custom, options = look(panel, kind)
    defaults = {"unit": panel["unit"], "min": 0, "thresholds": thresholds(panel.get("limits", ())), "custom": custom}
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel["text"],
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets(panel, kind, component),
    }


def laid_out(rows: dict[str, list[Panel]], component: str) -> Iterator[dict[str, Any]]:
    """The panels from left to right and top to bottom, each row below a heading."""
    y = 0
    for title, panels in rows.items():
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        yield {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place}
        y, x, tallest = y + 1, 0, 0
        for panel in panels:
            width, height = panel.get("width", COLUMNS // 2), HEIGHTS[panel.get("kind", "timeseries")]
            if x + width > COLUMNS:
                y, x, tallest = y + tallest, 0, 0
            yield drawn(panel, component, {"x": x, "y": y, "w": width, "h": height})
            x, tallest = x + width, max(tallest, height)
        y += tallest


def render(name: str, dashboard: dict[str, Any], service_row: list[Panel]) -> str:
    """The JSON that Grafana takes."""
    component = dashboard.get("service", "")
    rows = {**dashboard["rows"], **({"Service": service_row} if component else {})}
    link = {"type": "dashboards", "title": "Parley", "tags": ["parley"], "asDropdown": True, "keepTime": True}
    model = {
        "uid": f"parley-{name}",
        "title": dashboard["title"],
        "description": dashboard["text"],
        "tags": ["parley"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [{**link, "includeVars": True}],
        "templating": {"list": variables(dashboard.get("prices", ()))},
        "annotations": {"list": []},
        "panels": [{"id": number, **panel} for number, panel in enumerate(laid_out(rows, component), start=1)],
    }
    return json.dumps(model, indent=1) + "\n"


def outputs() -> dict[pathlib.Path, str]:
    """Every file with its text."""
    source = yaml.safe_load((MONITORING / "dashboards.yaml").read_text())
    return {
        FOLDER / f"{name}.json": render(name, dashboard, source["service_row"])
        for name, dashboard in source["dashboards"].items()
    }


def main() -> None:
    """Writes, or checks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    made = outputs()
    there = {path: path.read_text() for path in FOLDER.glob("*.json")}
    if parser.parse_args().check:
        stale = sorted(path.name for path in made.keys() | there.keys() if made.get(path) != there.get(path))
        if stale:
            sys.exit("Not up to date; run `python scripts/dashboards.py`:\n  " + "\n  ".join(stale))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in there.keys() - made.keys():
        path.unlink()
    for path, text in made.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
