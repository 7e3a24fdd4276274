"""What every component holds and uses, idle and at work, beside what the chart requests for it and limits it to.

    python -m bench.resources [--seconds 10] [--write]

A whole stack in a folder and on ports of its own; each service in turn is given what is typical of it and then the
largest requests that it takes, all through Envoy (bench/resource_loads.py). Memory is what a component would hold alone
in its pod; processor time is counted, not the clock, so that a busy machine changes little. `--write` keeps the figures
in bench/resources.json, which the chart's tests read. Sizes follow from them by the rules of bench/resource_rules.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import chat as completions
from bench import key_store, resource_meter
from bench.chat_guard import COUNTED
from bench.guard import GATEWAY
from bench.resource_loads import LOADS, Load, Target
from bench.resource_meter import Meter, Reading
from bench.resource_rules import FIGURES, MIB, PLANNED, ROOT, Figures, chart, mebibytes, memory, millicores, processor
from deploy.local import components, ports, stack, state
from deploy.local.settings import StackSettings
from services.identity.settings import IdentitySettings
from services.mesh import telemetry
from triton_models.repository import TORCH_ENVIRONMENT

ENVOY, TRITON = "envoy", "triton"


class Phase(NamedTuple):
    """One service at work."""

    load: Load
    units: float
    typical: Meter
    heavy: Meter | None


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Variables for what is started within the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def counted_key(settings: StackSettings) -> str:
    """A key whose requests are counted, in a store that identity finds when it starts."""
    folder = settings.state / "data"
    folder.mkdir(parents=True)
    told = {
        "database_url": f"sqlite:///{folder}/identity.db",
        "admin_key_file": settings.key_file,
        "encryption_key": components.secret(settings.state, "identity_encryption_key"),
        "tiers": json.loads(COUNTED),
        "first_tier": "free",
        "log_level": "error",
    }
    telemetry.configure_logs("bench", "error")
    [secret] = asyncio.run(key_store.prepare(IdentitySettings.model_validate(told), 1))
    return secret


def at_work(load: Load, target: Target, folder: Path, temporary: Path, seconds: float) -> Phase:
    """Measures one service."""
    print(f"  {load.service}: {load.unit} …", flush=True)
    load.typical(target, 1.0)
    with Meter(folder, temporary) as typical:
        units = load.typical(target, seconds)
    if load.heavy is None:
        return Phase(load, units, typical, None)
    with Meter(folder, temporary) as heavy:
        load.heavy(target)
    return Phase(load, units, typical, heavy)


def measure(seconds: float) -> dict[str, Figures]:
    """Starts a stack, puts each service to work, and stops it."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name, completions.upstream() as provider:
        folder, temporary = Path(name), Path(name) / "tmp"
        temporary.mkdir()
        port, admin = ports.free(2)
        settings = StackSettings(state=folder / "stack", port=port, admin_port=admin)
        counted = counted_key(settings)
        models = [{"name": "canned", "base_url": provider, "api_key": "sk-bench", "models": ["canned"]}]
        told = {
            "TMPDIR": str(temporary),
            "PARLEY_CHAT_PROVIDERS": json.dumps(models),
            "PARLEY_IDENTITY_TIERS": COUNTED,
            "PARLEY_IDENTITY_FIRST_TIER": "free",
            "PARLEY_GATEWAY_REQUESTS_PER_SECOND": str(GATEWAY.requests_per_second),
        }
        with environment(**told):
            stack.detach(settings, lambda _event: None)
        try:
            time.sleep(5)
            known = state.read(settings.state)
            assert known is not None
            idle = {one.name: resource_meter.read(one.pid, temporary) for one in known.components}
            key = settings.key_file.read_text().strip()
            target = Target(f"127.0.0.1:{port}", key, counted, settings.state / "databases")
            phases = [at_work(load, target, settings.state, temporary, seconds) for load in _possible()]
        finally:
            stack.down(settings.state)
    return summary(idle, phases)


def _possible() -> Sequence[Load]:
    """The loads that this machine has the models for."""
    if TORCH_ENVIRONMENT.exists():
        return LOADS
    print("  image: not measured; `make image-models` makes the environment of the models that draw")
    return [load for load in LOADS if load.service != "image"]


def summary(idle: Mapping[str, Reading], phases: Sequence[Phase]) -> dict[str, Figures]:
    """The figures of all components from what was read."""
    meters = [meter for phase in phases for meter in (phase.typical, phase.heavy) if meter is not None]
    by_service = {phase.load.service: phase for phase in phases}
    # Whose typical load is the gateway's and the models' too.
    sources = {name: (name, [phase]) for name, phase in by_service.items()}
    sources["gateway"] = (ENVOY, [by_service["chat"]])
    sources[TRITON] = (TRITON, [by_service[name] for name in ("asr", "image") if name in by_service])
    found = {}
    for name, (process, own) in sources.items():
        first = own[0]
        every = [reading for meter in meters for reading in meter.readings[process]]
        used = first.typical.cpu(process)
        found[name] = Figures(
            idle_pss=round(idle[process].pss / MIB, 1),
            idle=round(idle[process].alone / MIB, 1),
            typical=round(max(_percentile(phase.typical.readings[process]) for phase in own) / MIB, 1),
            peak=round(max(reading.alone for reading in every) / MIB, 1),
            files=round(max(reading.files for reading in every) / MIB, 1),
            unit=first.load.unit,
            milliseconds=round(used / first.units * 1000, 3),
            cores=round(used / first.typical.seconds, 2),
        )
    return {name: found[name] for name in PLANNED if name in found}


def _percentile(readings: Sequence[Reading]) -> float:
    """The 95th percentile of what was held."""
    return statistics.quantiles([reading.alone for reading in readings], n=20)[-1]


def report(found: Mapping[str, Figures]) -> bool:
    """Prints the figures, what the chart has and what follows; whether the chart has at least that."""
    print(f"\n{'':9}{'idle PSS':>9}{'idle':>7}{'typical':>9}{'peak':>7}{'files':>7}   processor time")
    for name, one in found.items():
        sizes = f"{one.idle_pss:9.0f}{one.idle:7.0f}{one.typical:9.0f}{one.peak:7.0f}{one.files:7.0f}"
        print(f"{name:9}{sizes}   {one.milliseconds * 1000:7.0f} ms for 1,000 {one.unit}; {one.cores:.2f} busy")
    print(
        f"\n{'':9}{'memory: request':>16}{'measured':>9}{'limit':>7}{'measured':>9}{'cpu: request':>13}{'measured':>9}"
    )
    held = chart()
    enough = True
    for name, one in found.items():
        request, limit = memory(one)
        wanted = [mebibytes(held[name][part]["memory"]) for part in ("requests", "limits")]
        cpu, needed = millicores(held[name]["requests"]["cpu"]), processor(name, one)
        fits = wanted[0] >= request and wanted[1] >= limit and cpu >= needed
        enough = enough and fits
        print(
            f"{name:9}{wanted[0]:16.0f}{request:9}{wanted[1]:7.0f}{limit:9}{cpu:12.0f}m{needed:8}m"
            f"   {'enough' if fits else 'TOO LITTLE'}"
        )
    return enough


def main() -> int:
    """Measures and prints; returns 1 when the chart requests or limits less than what follows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a typical load")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {FIGURES.relative_to(ROOT)}")
    asked = parser.parse_args()
    found = measure(asked.seconds)
    if asked.write:
        kept = {name: one._asdict() for name, one in found.items()}
        FIGURES.write_text(json.dumps({"components": kept}, indent=2) + "\n")
    return 0 if report(found) else 1


if __name__ == "__main__":
    sys.exit(main())
