"""Unary RPCs through the gateway against a bare grpc.aio echo called directly, in alternating rounds.

    python -m bench.gateway [--seconds 3] [--rounds 5] [--streams 32]

Four targets take turns: the bare echo; the same echo behind Envoy with all of its filters, identity's answer to every
call among them; the echo on the chassis
(context, metrics, errors, validation), directly and behind Envoy. The bar is on what Envoy costs: the echo through it
keeps at least 0.60 of the bare one. The last two show what a service's own chassis adds to that.

The load comes from a small HTTP/2 client that sends frames made beforehand and counts answers: on a machine with few
cores a gRPC client in Python would take more of them than what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import uvloop

from bench import guard
from deploy.local.ports import free
from deploy.local.probes import grpc_serving
from gateway import config
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh import server, settings

BAR = 0.60
THROUGH = "echo through Envoy"
NAME = "parley.sql.v1.SqlService"
METHOD = f"/{NAME}/GetDatabase"
MESSAGE = sql_pb2.GetDatabaseRequest(name="databases/shop").SerializeToString()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
LARGEST_WINDOW = 2**31 - 1


class Echo(sql_pb2_grpc.SqlServiceServicer):
    """Answers with the name that was asked for."""

    async def GetDatabase(
        self, request: sql_pb2.GetDatabaseRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> sql_pb2.GetDatabaseResponse:
        """The name, in the answer's message."""
        return sql_pb2.GetDatabaseResponse(database=sql_pb2.Database(name=request.name))


# The methods that it lacks are never called.
ECHO = Echo()  # type: ignore[abstract]


async def serve_bare(address: str) -> None:
    """A grpc.aio server with nothing around its servicer."""
    bare = grpc.aio.server()
    sql_pb2_grpc.add_SqlServiceServicer_to_server(ECHO, bare)
    bare.add_insecure_port(address)
    await bare.start()
    await bare.wait_for_termination()


async def serve_chassis(address: str) -> None:
    """The same servicer on the chassis."""
    descriptor = sql_pb2.DESCRIPTOR.services_by_name["SqlService"]
    bound = [server.Bound(sql_pb2_grpc.add_SqlServiceServicer_to_server, ECHO, descriptor)]
    await server.serve(settings.ServiceSettings(listen=address, log_level="error"), bound)


class Load(asyncio.Protocol):
    """One connection that keeps so many calls in flight, and counts those that were answered.

    Args:
        streams: Calls in flight.
        key: An API key.
    """

    def __init__(self, streams: int, key: str) -> None:
        self.answered = 0
        self.failed = 0
        self._bodies = 0
        self._streams = streams
        self._next = 1
        self._buffer = b""
        block = header_block(key)
        self._head = struct.pack(">I", len(block))[1:] + bytes([HEADERS, 4])
        body = struct.pack(">BI", 0, len(MESSAGE)) + MESSAGE
        self._block, self._data = block, (struct.pack(">I", len(body))[1:] + bytes([DATA, 1]), body)
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opens the windows wide and sends the first calls."""
        # uvloop's transports have the methods but not the base class.
        self._transport = writer = cast("asyncio.WriteTransport", transport)
        windows = struct.pack(">HIHI", 1, 0, 4, LARGEST_WINDOW)
        opening = frame(SETTINGS, 0, 0, windows) + frame(WINDOW, 0, 0, struct.pack(">I", LARGEST_WINDOW - 65535))
        writer.write(PREFACE + opening + b"".join(self._call() for _ in range(self._streams)))

    def _call(self) -> bytes:
        """The frames of one call, on a stream of its own."""
        number = struct.pack(">I", self._next)
        self._next += 2
        return b"".join((self._head, number, self._block, self._data[0], number, self._data[1]))

    def data_received(self, data: bytes) -> None:
        """Counts answers and sends as many calls again."""
        assert self._transport is not None
        self._buffer += data
        out, at, size = [], 0, len(self._buffer)
        while size - at >= 9:
            end = at + 9 + int.from_bytes(self._buffer[at : at + 3], "big")
            if size < end:
                break
            kind, flags = self._buffer[at + 3], self._buffer[at + 4]
            if kind == DATA:
                self._bodies += 1
            if kind == HEADERS and flags & 1:
                self.answered += 1
                # Whoever is refused gets a status and no body.
                self.failed += self._bodies < self.answered
                out.append(self._call())
            elif kind in (RESET, GOAWAY):
                self.failed += 1
            elif kind in (SETTINGS, PING) and not flags & 1:
                out.append(frame(kind, 1, 0, self._buffer[at + 9 : end] if kind == PING else b""))
            at = end
        self._buffer = self._buffer[at:]
        self._transport.write(b"".join(out))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(key: str) -> bytes:
    """The request's headers in HPACK: static names, plain literals."""

    def literal(prefix: bytes, value: bytes) -> bytes:
        return prefix + bytes([len(value)]) + value

    return (
        b"\x83\x86"
        + literal(b"\x04", METHOD.encode())
        + literal(b"\x01", b"localhost")
        + literal(b"\x0f\x10", b"application/grpc")
        + literal(b"\x0f\x08", f"Bearer {key}".encode())
        + b"\x00\x02te\x08trailers"
    )


async def measure(port: int, seconds: float, streams: int, key: str, connections: int = 2) -> float:
    """Answers a second at a port; fails when a call does."""
    loop = asyncio.get_running_loop()
    loads = [
        (await loop.create_connection(lambda: Load(streams // connections, key), "127.0.0.1", port))
        for _ in range(connections)
    ]
    await asyncio.sleep(0.3)
    before, began = sum(load.answered for _, load in loads), time.perf_counter()
    await asyncio.sleep(seconds)
    answered, took = sum(load.answered for _, load in loads) - before, time.perf_counter() - began
    for transport, load in loads:
        transport.close()
        assert not load.failed, "calls failed"
    return answered / took


@contextlib.contextmanager
def process(*command: str, cwd: Path | None = None) -> Iterator[None]:
    """A process while the block runs."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            running.kill()


@contextlib.asynccontextmanager
async def targets() -> AsyncIterator[tuple[dict[str, int], str]]:
    """The targets' ports, by name, and a key that the gateways let pass."""
    bare, chassis, before_bare, before_chassis, admin_bare, admin_chassis = free(6)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        for port, what in ((bare, "bare"), (chassis, "chassis")):
            running.enter_context(process(sys.executable, "-m", "bench.gateway", "--serve", what, str(port)))
        asked = running.enter_context(guard.identity(Path(folder)))
        for port, admin, service in ((before_bare, admin_bare, bare), (before_chassis, admin_chassis, chassis)):
            place = Path(folder) / str(port)
            behind = {name: [config.Endpoint("127.0.0.1", service)] for name in config.SERVICES}
            config.write(
                place,
                behind | {"identity": [asked.endpoint]},
                listen=config.Endpoint("127.0.0.1", port),
                admin=config.Endpoint("127.0.0.1", admin),
                settings=guard.GATEWAY,
            )
            running.enter_context(process(*config.command(workers=1), cwd=place))
        while not grpc_serving(chassis, [NAME])():  # noqa: ASYNC110 — another process, nothing to wait on
            await asyncio.sleep(0.1)
        await check(asked.key, bare, before_bare, before_chassis)
        reached = {"echo": bare, THROUGH: before_bare, "chassis": chassis, "chassis through Envoy": before_chassis}
        yield reached, asked.key


async def check(key: str, bare: int, *gateways: int) -> None:
    """Returns when every target gives the right answer, over gRPC and, through the gateways, over REST."""
    request = sql_pb2.GetDatabaseRequest(name="databases/shop")
    for port in (bare, *gateways):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = sql_pb2_grpc.SqlServiceStub(channel)
            bearer = (("authorization", f"Bearer {key}"),)
            call = stub.GetDatabase(request, wait_for_ready=True, timeout=10, metadata=bearer)
            assert (await call).database.name == request.name
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as client:
        for port in gateways:
            answer = await client.get(f"http://127.0.0.1:{port}/api/v1/databases/shop")
            assert answer.json()["database"]["name"] == request.name


async def run(rounds: int, seconds: float, streams: int) -> bool:
    """Measures, prints, and says whether the bar was reached."""
    rates: dict[str, list[float]] = {}
    async with targets() as (ports, key):
        for number in range(rounds + 1):
            for name, port in ports.items():
                rate = await measure(port, seconds if number else 1.0, streams, key)
                if number:  # The first round only warms up.
                    rates.setdefault(name, []).append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        ratio = medians[name] / medians["echo"]
        print(
            f"{name:24} {medians[name]:8.0f} requests/s  {ratio:5.2f}  (rounds {min(values):.0f} to {max(values):.0f})"
        )
    reached = medians[THROUGH] / medians["echo"]
    print(f"gateway: unary RPC through Envoy over bare grpc.aio echo: {reached:.2f} (bar {BAR:.2f})")
    return reached >= BAR


def main() -> int:
    """Runs the benchmark, or one of its servers; returns 1 when the bar was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each target")
    parser.add_argument("--streams", type=int, default=32, help="calls in flight")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        what, port = asked.serve
        uvloop.run((serve_bare if what == "bare" else serve_chassis)(f"127.0.0.1:{port}"))
        return 0
    return 0 if uvloop.run(run(asked.rounds, asked.seconds, asked.streams)) else 1


if __name__ == "__main__":
    sys.exit(main())
