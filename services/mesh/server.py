"""Starts a gRPC server with everything that a service of the mesh has, and stops it without dropping a call.

Health (grpc.health.v1): the empty name says that the process lives; a service's full name says that it can answer,
which begins when its dependencies answered once. A dependency that fails later does not take the service away: callers
get a clear UNAVAILABLE instead, and a fault of one part does not spread through readiness probes.

With certificates the server talks TLS and wants a certificate of the mesh from whoever connects: identity metadata is
believed, so nobody else may send any. Without them it is meant for loopback (see settings.py).

Reflection describes all contracts, not only those served here: the gateway sends it to one service for the whole mesh.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

import grpc
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from services.mesh import telemetry
from services.mesh.certificates import server_credentials
from services.mesh.contracts import service_names
from services.mesh.errors import ParleyError
from services.mesh.interceptors import Registrar, Reporting
from services.mesh.reporter import reporter
from services.mesh.settings import ServiceSettings

log = telemetry.get_logger(__name__)

Check = Callable[[], Awaitable[None]]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
METADATA_BYTES = 128 * 1024
"""Of a call: the gateway lets 32 KiB of headers in, to which identity's grants come. gRPC would take 8 KiB, and tell
whoever sent more which headers are used inside."""
# How often dependencies that have not answered yet are asked again, in seconds.
RETRY_SECONDS = 0.25


class Bound(NamedTuple):
    """A servicer and how to add it to a server."""

    add: Callable[[Any, Any], None]
    """The generated `add_…Servicer_to_server`."""
    servicer: object
    """What implements it."""
    descriptor: ServiceDescriptor
    """The service it implements."""


class Running(NamedTuple):
    """A started server."""

    server: grpc.aio.Server
    health: HealthServicer
    address: str
    """host:port that it listens on, with the port that was picked."""
    health_server: grpc.aio.Server | None = None
    """Answers health besides, where settings say so."""


def options(settings: ServiceSettings) -> list[tuple[str, int]]:
    """The arguments of a server."""
    made = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        # Nothing compressed is taken: gRPC would unpack a megabyte to a gigabyte before it looks at the limit above.
        ("grpc.compression_enabled_algorithms_bitset", 1 << grpc.Compression.NoCompression.value),
        # Two servers on one port would share its calls at random.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if settings.max_connection_age_seconds:
        # gRPC spreads it by a tenth, and lets calls in flight end however long they take.
        made.append(("grpc.max_connection_age_ms", int(settings.max_connection_age_seconds * 1000)))
    return made


async def start(settings: ServiceSettings, bound: Sequence[Bound], reporter: Reporting | None = None) -> Running:
    """Starts a server: alive, and not yet ready.

    Raises:
        OSError: An address is taken.
        CertificateError: The certificate cannot be used.
    """
    server = grpc.aio.server(options=options(settings))
    registrar = Registrar(server, reporter)
    for part in bound:
        part.add(part.servicer, registrar)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, registrar)
    names = [part.descriptor.full_name for part in bound]
    reflected = sorted({*service_names(), *names, "grpc.health.v1.Health", reflection.SERVICE_NAME})
    reflection.enable_server_reflection(reflected, server)
    await health.set("", SERVING)
    for name in names:
        await health.set(name, NOT_SERVING)
    credentials = server_credentials(settings.certificates) if settings.certificates else None
    address = bind(server, settings.listen, credentials)
    health_server = await start_health(settings, health) if settings.health_listen else None
    await server.start()
    return Running(server, health, address, health_server)


async def start_health(settings: ServiceSettings, health: HealthServicer) -> grpc.aio.Server:
    """Starts the server that answers health and nothing else. Raises OSError when its address is taken."""
    server = grpc.aio.server(options=options(settings))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    bind(server, settings.health_listen, None)
    await server.start()
    return server


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> str:
    """Makes a server listen; host:port, with the port that was picked. Raises OSError when the address is taken."""
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: is the port taken?") from error
    return f"{address.rpartition(':')[0]}:{port}"


async def become_ready(running: Running, bound: Sequence[Bound], dependencies: Mapping[str, Check]) -> None:
    """Reports the services as ready once every dependency has answered; tries until then."""
    waiting = dict(dependencies)
    told: set[str] = set()
    while waiting:
        for name, check in list(waiting.items()):
            try:
                await check()
            except (ParleyError, OSError) as error:
                if name not in told:
                    told.add(name)
                    log.info("waiting for dependency", dependency=name, error=str(error))
            else:
                del waiting[name]
        if waiting:
            await asyncio.sleep(RETRY_SECONDS)
    for part in bound:
        await running.health.set(part.descriptor.full_name, SERVING)
    log.info("ready", address=running.address)


@contextlib.asynccontextmanager
async def running(
    settings: ServiceSettings, bound: Sequence[Bound], *, dependencies: Mapping[str, Check] | None = None
) -> AsyncIterator[str]:
    """Serves while the block runs; yields host:port. On leaving, calls in flight have `drain_seconds` to end.

    Raises:
        OSError: An address is taken.
        CertificateError: The certificate cannot be used.
    """
    reports = reporter(name_of(bound), settings)
    started = await start(settings, bound, reports)
    if reports is not None:
        reports.start()
    readiness = asyncio.create_task(become_ready(started, bound, dependencies or {}))
    try:
        yield started.address
    finally:
        readiness.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await readiness
        await started.health.enter_graceful_shutdown()
        await started.server.stop(settings.drain_seconds)
        if reports is not None:
            await reports.close()
        if started.health_server is not None:
            await started.health_server.stop(0)


def name_of(bound: Sequence[Bound]) -> str:
    """The name of the service that serves these: the first one's package, `chat` of parley.chat.v1."""
    return bound[0].descriptor.full_name.split(".")[1]


async def serve(
    settings: ServiceSettings,
    bound: Sequence[Bound],
    *,
    dependencies: Mapping[str, Check] | None = None,
    on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
) -> None:
    """Serves until SIGTERM or SIGINT, then drains: accepts no more, lets calls in flight end, closes what it used.

    Args:
        settings: Where to listen, what to log and to measure.
        bound: What to serve.
        dependencies: Named checks that must pass once before the services report ready; each raises while it fails.
        on_stop: Closers, awaited in this order after the last call.
    """
    service = name_of(bound)
    telemetry.configure_logs(service, settings.log_level)
    telemetry.configure_traces(service, settings.otlp_endpoint)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.metrics_listen:
        host, _, port = settings.metrics_listen.rpartition(":")
        start_http_server(int(port), host)
    try:
        async with running(settings, bound, dependencies=dependencies) as address:
            log.info("listening", address=address)
            await stop.wait()
            log.info("draining", seconds=settings.drain_seconds)
    finally:
        for close in on_stop:
            await close()
        telemetry.shutdown()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a service's main coroutine on uvloop."""
    uvloop.run(main)
