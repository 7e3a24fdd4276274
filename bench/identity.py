"""What it costs to ask whether a request may pass: in this process, and as Envoy asks, over gRPC.

    python -m bench.identity [--keys 100000] [--in-use 1000] [--seconds 4] [--redis URL]

Two stores take turns, one with ten keys and one with very many, of which a thousand are in use. Beside them a health
check of the same server shows what gRPC itself takes in that moment. The bars: a decision adds less than a millisecond
to that by the median, and very many keys make a check no more than 5% slower.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench import key_store
from ext_authz.v3 import external_auth_pb2 as envoy
from ext_authz.v3 import external_auth_pb2_grpc
from services.identity.application import Application
from services.identity.decision import Attempt
from services.identity.settings import IdentitySettings
from services.mesh import server

METHOD = "/parley.identity.v1.IdentityService/ListRoles"
BAR_MS, BAR_RATIO = 1.0, 1.05


class Store(NamedTuple):
    """An identity service with so many keys."""

    application: Application
    address: str
    keys: int
    secrets: list[str]
    """Of the keys that are in use."""


@asynccontextmanager
async def store(folder: Path, keys: int, in_use: int, redis: str) -> AsyncIterator[Store]:
    """An identity service on SQLite whose one user has so many keys. Its tier has a limit: calls are counted."""
    settings = IdentitySettings.model_validate(
        {
            "database_url": f"sqlite:///{folder}/{keys}.db",
            "admin_key_file": folder / f"{keys}.key",
            "tiers": {"free": {"requests": "1000000000/hour"}},
            "first_tier": "free",
            "token_algorithm": "EdDSA",
            "drain_seconds": 0,
            "redis_url": redis,
            "log_level": "error",
        }
    )
    application = Application(settings)
    await application.start()
    made = await key_store.fill(application, keys)
    try:
        async with server.running(settings, application.bound) as address:
            yield Store(application, address, keys, made[:in_use])
    finally:
        await application.close()


Ask = Callable[[str], Awaitable[float]]


def in_process(subject: Store) -> Ask:
    """Asks this process; says how many seconds it took."""

    async def ask(secret: str) -> float:
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/grpc"}
        began = time.perf_counter()
        await subject.application.decision.decide(Attempt("POST", METHOD, headers))
        return time.perf_counter() - began

    return ask


@asynccontextmanager
async def over_grpc(subject: Store) -> AsyncIterator[Ask]:
    """Asks as Envoy does, on one connection."""
    async with grpc.aio.insecure_channel(subject.address) as channel:
        stub = external_auth_pb2_grpc.AuthorizationStub(channel)

        async def ask(secret: str) -> float:
            request = envoy.CheckRequest()
            http = request.attributes.request.http
            http.method, http.path = "POST", METHOD
            http.headers.update({"authorization": f"Bearer {secret}", "content-type": "application/grpc"})
            began = time.perf_counter()
            answer = await stub.Check(request)
            took = time.perf_counter() - began
            assert answer.status.code == 0, answer
            return took

        yield ask


@asynccontextmanager
async def health(subject: Store) -> AsyncIterator[Ask]:
    """Asks for the server's health: what a call takes that decides nothing."""
    async with grpc.aio.insecure_channel(subject.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def ask(_secret: str) -> float:
            request = health_pb2.HealthCheckRequest()
            began = time.perf_counter()
            await stub.Check(request)
            return time.perf_counter() - began

        yield ask


async def compare(asks: Mapping[str, tuple[Store, Ask]], seconds: float) -> dict[str, float]:
    """Asks in turn; prints the figures; the medians in milliseconds."""
    orders = {name: itertools.cycle(subject.secrets) for name, (subject, _) in asks.items()}
    times: dict[str, list[float]] = {name: [] for name in asks}
    ends = time.perf_counter() + seconds
    # One call here, one there: whatever else the machine does, it does to all.
    while time.perf_counter() < ends:
        for name, (_, ask) in asks.items():
            times[name].append(await ask(next(orders[name])))
    for name, measured in times.items():
        p99 = statistics.quantiles(measured, n=100)[98] * 1e3
        rate = len(measured) / sum(measured)
        print(f"{name:28}  median {statistics.median(measured) * 1e3:.4f} ms  p99 {p99:7.3f} ms  {rate:8,.0f}/s")
    return {name: statistics.median(measured) * 1e3 for name, measured in times.items()}


async def warm(subject: Store) -> None:
    """Has every key looked up once."""
    for secret in subject.secrets:
        await subject.application.decision.authenticate({"x-api-key": secret})


async def measure(keys: int, in_use: int, seconds: float, redis: str) -> bool:
    """Prints the figures; whether they meet the bars."""
    with tempfile.TemporaryDirectory() as folder:
        async with store(Path(folder), 10, 10, redis) as few, store(Path(folder), keys, in_use, redis) as many:
            for subject in (few, many):
                await warm(subject)
            here = {f"in process, {subject.keys:,} keys": (subject, in_process(subject)) for subject in (few, many)}
            await compare(here, seconds)
            async with over_grpc(few) as one, over_grpc(many) as other, health(few) as nothing:
                asks = {"10": (few, one), "many": (many, other), "nothing": (few, nothing)}
                names = {"10": "gRPC, 10 keys", "many": f"gRPC, {keys:,} keys", "nothing": "gRPC, health check"}
                medians = await compare({names[name]: ask for name, ask in asks.items()}, seconds)
    first, last, nothing_at_all = (medians[names[name]] for name in ("10", "many", "nothing"))
    print(f"a decision adds {last - nothing_at_all:.3f} ms to a call (bar {BAR_MS} ms)")
    print(f"{keys:,} keys take {last / first:.3f} times as long as 10 (bar {BAR_RATIO})")
    return last - nothing_at_all < BAR_MS and last / first <= BAR_RATIO


def main() -> None:
    """Measures; exits with 1 where a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--in-use", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--redis", default="", help="count limits there: redis://host:port/0")
    given = parser.parse_args()
    if not uvloop.run(measure(given.keys, given.in_use, given.seconds, given.redis)):
        sys.exit("a bar is missed")


if __name__ == "__main__":
    main()
