"""Chat completions with everything that protects them against chat completions without, before one canned provider.

    python -m bench.chat_guard [--seconds 2] [--rounds 9] [--keys 100000]

`bare` is Envoy without the filters that ask who calls, and the chat service in plaintext. `guarded` is what `parley up`
starts: identity is asked, services talk by mutual TLS, usage is reported. `many keys` is the same with a hundred
thousand of them in the store, `counted` the same in a tier with limits, so that every single request is asked about.
Each has an Envoy of one worker, 16 connections, and a key for each of them; rounds alternate, and every ratio is of one
round. Bars: guarded over bare 85% of the requests/s, at most 1 ms more for one request at a time (medians), and many
keys change neither by more than 5%.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench import chat, guard

CONNECTIONS = 16
FEW = 16
COUNTED = json.dumps({"free": {"requests": "1000000000/hour"}})
RATE_BAR, ADDED_BAR_MS, KEYS_BAR = 0.85, 1.0, 0.05


class Target(NamedTuple):
    """A gateway."""

    url: str
    keys: list[str]


class Round(NamedTuple):
    """What was measured of a target in one round."""

    rate: float
    """Requests/s over all connections."""
    alone: float
    """Milliseconds of a request on one connection, the median."""


def targets(stack: contextlib.ExitStack, folder: Path, keys: int) -> dict[str, Target]:
    """Starts everything: the gateways by their names."""
    provider = stack.enter_context(chat.upstream())
    stores: dict[str, dict[str, Any]] = {
        "guarded": {"keys": FEW},
        "many keys": {"keys": keys},
        "counted": {"keys": FEW, "tiers": COUNTED},
    }
    (folder / "bare").mkdir()
    started = {"bare": Target(stack.enter_context(chat.parley(folder / "bare", provider, None)), ["none"])}
    for name, store in stores.items():
        place = folder / name.replace(" ", "-")
        asked = stack.enter_context(guard.identity(place, in_use=CONNECTIONS, secured=True, **store))
        started[name] = Target(stack.enter_context(chat.parley(place, provider, asked)), asked.keys)
    return started


def measure(target: Target, seconds: float) -> Round:
    """Measures a target once."""
    url = target.url + chat.COMPLETIONS
    together = chat.load(url, seconds, ",".join(target.keys), connections=CONNECTIONS)
    return Round(together["rate"], chat.load(url, seconds / 2, target.keys[0], connections=1)["median_ms"])


def compare(rounds: dict[str, list[Round]]) -> bool:
    """Prints the figures; whether they meet the bars."""
    bare, guarded, many = (rounds[name] for name in ("bare", "guarded", "many keys"))
    for name, measured in rounds.items():
        rate = statistics.median(one.rate for one in measured)
        alone = statistics.median(one.alone for one in measured)
        share = statistics.median(one.rate / other.rate for one, other in zip(measured, bare, strict=True))
        added = statistics.median(one.alone - other.alone for one, other in zip(measured, bare, strict=True))
        print(f"{name:10} {rate:7.0f} requests/s ({share:.2f})   {alone:.2f} ms alone ({added:+.2f} ms)")
    share = statistics.median(one.rate / other.rate for one, other in zip(guarded, bare, strict=True))
    added = statistics.median(one.alone - other.alone for one, other in zip(guarded, bare, strict=True))
    slower = statistics.median(one.rate / other.rate for one, other in zip(many, guarded, strict=True))
    longer = statistics.median(one.alone / other.alone for one, other in zip(many, guarded, strict=True))
    print(f"guarded / bare: {share:.2f} (bar {RATE_BAR}); added: {added:.2f} ms (bar {ADDED_BAR_MS:g} ms)")
    print(f"many keys / few: {slower:.2f} of the requests/s, {longer:.2f} of the time (bar {KEYS_BAR:.0%} either way)")
    return share >= RATE_BAR and added <= ADDED_BAR_MS and slower >= 1 - KEYS_BAR and longer <= 1 + KEYS_BAR


def main() -> int:
    """Measures; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round, for each target")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keys", type=int, default=100_000)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = targets(stack, folder, given.keys)
        for target in started.values():
            measure(target, 1.0)  # Warms up.
        rounds: dict[str, list[Round]] = {name: [] for name in started}
        for _ in range(given.rounds):
            for name, target in started.items():
                rounds[name].append(measure(target, given.seconds))
    return 0 if compare(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
