"""What pods ask for and may have, beside what `python -m bench.resources --write` measured (bench/resources.json)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bench.resource_rules import (
    CHART,
    HPA,
    MIB,
    PLANNED,
    Figures,
    load_figures,
    mebibytes,
    memory,
    millicores,
    processor,
)
from tests.conftest import ROOT
from tests.deploy.rendering import CASES, component, of_kind, pod, rendered

MEASURED = load_figures()
ENVOY = ROOT / "gateway" / "bootstrap.yaml"


def given(values: Any) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Requests and limits of each component that was measured."""
    found = {}
    for item in of_kind(rendered(values), "Deployment"):
        name = component(item).removesuffix("-embedded")
        if name in MEASURED:
            own = pod(item)["containers"][0]["resources"]
            found[name] = own["requests"], own["limits"]
    return found


def test_every_component_was_measured() -> None:
    assert set(MEASURED) == set(PLANNED) == set(given({}))


@pytest.mark.parametrize("case", CASES)
def test_no_pod_asks_for_less_than_it_holds_idle(case: str) -> None:
    """A node that is full of them would have less memory than they take without any work."""
    for name, (requests, limits) in given(CASES[case]).items():
        assert mebibytes(requests["memory"]) >= MEASURED[name].idle, name
        assert mebibytes(limits["memory"]) >= MEASURED[name].peak, name


@pytest.mark.parametrize("name", MEASURED)
def test_memory_follows_the_rule(name: str) -> None:
    requests, limits = given({})[name]
    request, limit = memory(MEASURED[name])
    assert request <= mebibytes(requests["memory"]) <= 2 * request, "a guess rather than what was measured"
    if name == "triton":
        # What is in /dev/shm counts too.
        values = yaml.safe_load(CHART.read_text())
        limit += int(mebibytes(values["triton"]["defaults"]["shmSize"]))
    assert mebibytes(limits["memory"]) >= limit


@pytest.mark.parametrize("name", MEASURED)
def test_processors_are_those_of_the_planned_load(name: str) -> None:
    requests, limits = given({})[name]
    assert millicores(requests["cpu"]) >= processor(name, MEASURED[name])
    assert millicores(limits["cpu"]) >= 4 * millicores(requests["cpu"])


def test_the_planned_load_is_the_autoscalers_target() -> None:
    values = yaml.safe_load(CHART.read_text())
    assert values["defaults"]["autoscaling"]["cpuPercent"] == HPA * 100
    for name, (_rate, unit) in PLANNED.items():
        assert MEASURED[name].unit == unit


def test_the_gateway_may_hold_what_envoy_lets_itself() -> None:
    """Envoy refuses requests when its heap is full; the kernel must not kill it before."""
    text = ENVOY.read_text()
    heap = int(text.partition("max_heap_size_bytes:")[2].split()[0]) / MIB
    _requests, limits = given({})["gateway"]
    assert mebibytes(limits["memory"]) >= 1.5 * heap


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_fits(case: str) -> None:
    """The request covers the temporary files that were seen; the limit, 50 MiB of logs too."""
    for name, (requests, limits) in given(CASES[case]).items():
        assert mebibytes(requests["ephemeral-storage"]) >= MEASURED[name].files
        assert mebibytes(limits["ephemeral-storage"]) >= MEASURED[name].files + 50


def test_rules_round_up() -> None:
    found = Figures(1, 1, typical=100, peak=101, files=0, unit="x", milliseconds=1.0, cores=0.1)
    assert memory(found) == (128, 256)
    assert memory(found._replace(peak=1000)) == (512, 2048)
    assert processor("gateway", found) == 450


@pytest.mark.parametrize(("quantity", "found"), [("1536Mi", 1536), ("2Gi", 2048), ("1.5Gi", 1536)])
def test_quantities_of_memory(quantity: str, found: float) -> None:
    assert mebibytes(quantity) == found
    with pytest.raises(ValueError, match="neither in Mi nor in Gi"):
        mebibytes("1G")


def test_quantities_of_processors() -> None:
    assert [millicores(text) for text in ("250m", "2", 4)] == [250, 2000, 4000]
