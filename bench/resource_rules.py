"""The sizes that follow from what `python -m bench.resources` measured, and what the chart has in their place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "bench" / "resources.json"
CHART = ROOT / "deploy" / "helm" / "parley" / "values.yaml"
MIB = 1024 * 1024
HPA = 0.7
"""The share of its request at which the autoscaler adds a pod: `defaults.autoscaling.cpuPercent`."""
PLANNED: Mapping[str, tuple[float, str]] = {
    "gateway": (300, "completions"),
    "chat": (120, "completions"),
    "identity": (200, "decisions"),
    "sql": (6, "questions"),
    "asr": (20, "seconds of audio"),
    "image": (40, "steps"),
    "triton": (1.5, "seconds of audio"),
}
"""What one pod is to carry each second before there is another one."""


class Figures(NamedTuple):
    """What was measured of a component; memory and files in MiB."""

    idle_pss: float
    """Held idle, what it shares with the other components counted in proportion."""
    idle: float
    """Held idle, alone."""
    typical: float
    """The 95th percentile under its typical load."""
    peak: float
    """The most that it ever held, the largest requests included."""
    files: float
    """The most that its open temporary files took."""
    unit: str
    """What its work is counted in."""
    milliseconds: float
    """Processor time for one of them."""
    cores: float
    """Processors that it kept busy under its typical load."""


def memory(found: Figures) -> tuple[int, int]:
    """The request and the limit that follow, in MiB.

    The request is a quarter more than what it holds at work, at least half the peak, in steps of 32: what a node has to
    have for it, since not all of its pods have the largest of requests at once. The limit is twice the peak, in steps
    of 128: a pod that is killed loses all calls in flight, memory that is not used costs nothing.
    """
    return _steps(max(found.typical * 1.25, found.peak / 2), 32), _steps(found.peak * 2, 128)


def processor(name: str, found: Figures) -> int:
    """The request that follows, in thousandths of a processor and steps of 50: the planned load is the HPA's target."""
    rate, _unit = PLANNED[name]
    return _steps(rate * found.milliseconds / HPA, 50)


def _steps(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def mebibytes(quantity: str) -> float:
    """A quantity of Kubernetes' of memory in MiB. Raises ValueError where it has another unit than Mi or Gi."""
    for unit, factor in (("Gi", 1024), ("Mi", 1)):
        if quantity.endswith(unit):
            return float(quantity.removesuffix(unit)) * factor
    raise ValueError(f"{quantity}: is neither in Mi nor in Gi")


def millicores(quantity: str | int) -> float:
    """A quantity of Kubernetes' of processors in thousandths."""
    text = str(quantity)
    return float(text.removesuffix("m")) if text.endswith("m") else float(text) * 1000


def chart() -> dict[str, dict[str, Any]]:
    """What the chart's values request and limit for each component, as it merges them."""
    values = yaml.safe_load(CHART.read_text())
    own = {name: values["services"][name] for name in PLANNED if name != "triton"}
    own["triton"] = values["triton"]["groups"]["embedded"]
    base = values["defaults"]["resources"]
    found = {}
    for name, component in own.items():
        given = component.get("resources", {})
        found[name] = {part: {**base[part], **given.get(part, {})} for part in ("requests", "limits")}
    return found


def load_figures() -> dict[str, Figures]:
    """The figures that were kept last."""
    return {name: Figures(**found) for name, found in json.loads(FIGURES.read_text())["components"].items()}
