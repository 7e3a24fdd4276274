"""What certificates on both sides cost a call between services: the chassis over TLS against the same in plaintext.

    python -m bench.certificates [--seconds 2] [--rounds 5]

Server and client share a process, so a call's whole work is in its CPU time, both sides of it: that is compared, in
alternating rounds, as other programs disturb it least. A service connects once and then calls; what a connection costs
is told beside.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import uvloop

from bench.gateway import ECHO
from deploy.local import authority
from deploy.local.certificates import files
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh import channels, server, telemetry
from services.mesh.certificates import Certificates
from services.mesh.settings import ServiceSettings

BAR = 0.80
CONNECTIONS = 20
IN_FLIGHT = 16
BOUND = [
    server.Bound(sql_pb2_grpc.add_SqlServiceServicer_to_server, ECHO, sql_pb2.DESCRIPTOR.services_by_name["SqlService"])
]
REQUEST = sql_pb2.GetDatabaseRequest(name="databases/shop")


async def cost(channel: grpc.aio.Channel, seconds: float) -> float:
    """Microseconds of CPU that a call takes, client and server together."""
    stub: Any = sql_pb2_grpc.SqlServiceStub(channel)
    until, calls, began = time.perf_counter() + seconds, 0, time.process_time()

    async def one() -> None:
        nonlocal calls
        while time.perf_counter() < until:
            await stub.GetDatabase(REQUEST)
            calls += 1

    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return 1e6 * (time.process_time() - began) / calls


async def connecting(target: str, own: Certificates | None) -> float:
    """Milliseconds from nothing to the first answer, the median."""
    took = []
    for _ in range(CONNECTIONS):
        began = time.perf_counter()
        async with channels.channel(target, own) as channel:
            stub: Any = sql_pb2_grpc.SqlServiceStub(channel)
            await stub.GetDatabase(REQUEST)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


async def main(seconds: float, rounds: int) -> bool:
    """Measures, prints, and says whether the bar was reached."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "certificates"
        authority.make(folder, ["sql", "chat"])
        own, theirs = (Certificates(*files(folder, each)) for each in ("chat", "sql"))
        secured = ServiceSettings(
            tls_certificate_file=theirs.certificate, tls_key_file=theirs.key, tls_ca_file=theirs.authority
        )
        async with AsyncExitStack() as stack:
            telemetry.configure_logs("bench", "error")
            plain = await stack.enter_async_context(server.running(ServiceSettings(), BOUND))
            safe = await stack.enter_async_context(server.running(secured, BOUND))
            targets = {"plaintext": (plain, None), "certificates": (f"sql@{safe}", own)}
            found: dict[str, list[float]] = {each: [] for each in targets}
            made = {
                each: await stack.enter_async_context(channels.channel(target, certificates))
                for each, (target, certificates) in targets.items()
            }
            for number in range(rounds + 1):
                for each, channel in made.items():
                    measured = await cost(channel, seconds if number else 0.5)
                    if number:  # The first round only warms up.
                        found[each].append(measured)
            connects = {each: await connecting(*target) for each, target in targets.items()}
    medians = {each: statistics.median(values) for each, values in found.items()}
    ratio = medians["plaintext"] / medians["certificates"]
    for each, value in medians.items():
        print(
            f"certificates: {each:12} {value:6.0f} µs of CPU a call; connected and answered in {connects[each]:5.2f} ms"
        )
    print(f"certificates: calls for the same CPU, with them over without: {ratio:.2f} (bar {BAR:.2f})")
    return ratio >= BAR


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    sys.exit(0 if uvloop.run(main(asked.seconds, asked.rounds)) else 1)
