"""What rules and dashboards ask Prometheus for, taken apart; and the metrics that others than Parley export."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from tests.conftest import ROOT, missing

MONITORING = ROOT / "deploy" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yaml"))
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
# What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$__range": "6h", "$namespace": ".*", "$release": ".*"}
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}

EXTERNAL = {
    # https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    # https://github.com/kubernetes/kubernetes: pkg/kubelet/metrics/collectors/volume_stats.go
    "kubelet_volume_stats_used_bytes",
    "kubelet_volume_stats_capacity_bytes",
    # https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics
    "kube_pod_container_resource_limits",
    "kube_pod_container_status_restarts_total",
    "kube_horizontalpodautoscaler_status_current_replicas",
    "kube_horizontalpodautoscaler_spec_max_replicas",
    "kube_cronjob_created",
    "kube_cronjob_status_last_successful_time",
    # https://github.com/prometheus/node_exporter: collector/filesystem_common.go
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    # https://cert-manager.io/docs/devops-tips/prometheus-metrics
    "certmanager_certificate_expiration_timestamp_seconds",
    # https://cloudnative-pg.io/documentation/current/monitoring
    "cnpg_pg_replication_lag",
    # https://github.com/prometheus-community/postgres_exporter: collector/pg_replication.go
    "pg_replication_lag_seconds",
    # https://docs.nvidia.com/datacenter/dcgm/latest/gpu-telemetry/dcgm-exporter.html
    "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_XID_ERRORS",
    # Triton's, where there is a GPU: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
    "nv_gpu_utilization",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_memory_total_bytes",
    # Prometheus's own.
    "up",
    "ALERTS",
}
"""Metrics that are no process's of the stack on one machine, with where they are described."""


def tool(name: str, package: str) -> str:
    """The path of a tool; skips the test, or fails it, where it is missing."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} (apt-get install {package})")
    assert found is not None
    return found


def run(*command: str | pathlib.Path, cwd: pathlib.Path = MONITORING) -> subprocess.CompletedProcess[str]:
    """Runs a tool; what it says is in `stdout`."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def groups() -> Iterator[dict[str, Any]]:
    """Every rule."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts, by name."""
    return {rule["alert"]: rule for rule in groups() if "alert" in rule}


def recorded() -> set[str]:
    """The names that rules record."""
    return {rule["record"] for rule in groups() if "record" in rule}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel that shows something, with its dashboard."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            if panel["type"] != "row":
                yield path.stem, panel


def filled(expression: str, prices: str = "1") -> str:
    """A panel's query as Grafana sends it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return re.sub(r"\$\w+_price", prices, expression)


def expressions() -> Iterator[str]:
    """Every query of every rule and panel."""
    for rule in groups():
        yield rule["expr"]
    for _, panel in panels():
        for target in panel["targets"]:
            yield filled(target["expr"])


def metrics(expression: str) -> set[str]:
    """The metrics that PromQL names."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    found = re.findall(r"(?<![\w.:])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])", text)
    return {name for name in found if name not in WORDS}
