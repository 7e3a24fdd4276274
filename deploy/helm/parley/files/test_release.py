"""Asks a release how it is: gRPC health of every service, then real calls through the gateway.

    python test_release.py chat=HOST:PORT=SERVICE … [gateway=HOST:PORT=] [gateway=http://HOST:PORT/PATH]

Ends with an error that names the first component that does not answer as it should.
"""

from __future__ import annotations

import ssl
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import partial

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 60.0


def wait(name: str, address: str, fault: Callable[[], str]) -> None:
    """Asks until there is no fault. Raises SystemExit with the last one when there still is one after a while."""
    until = time.monotonic() + SECONDS
    while reason := fault():
        if time.monotonic() > until:
            raise SystemExit(f"{name} at {address}: {reason}")
        time.sleep(1)
    sys.stdout.write(f"{name} is ready\n")


def health(channel: grpc.Channel, service: str) -> str:
    """Why a service is not SERVING; empty when it is."""
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else "it is not ready"


def call(url: str) -> str:
    """Why an HTTP call is not answered with success; empty when it is."""
    # The certificate is for the name that clients use, which is not the one in the cluster.
    context = ssl._create_unverified_context()  # noqa: S323 -- nothing secret is sent
    try:
        with urllib.request.urlopen(url, timeout=5, context=context):  # noqa: S310 -- the chart's own URL
            return ""
    except OSError as error:
        return str(error)


def main(components: list[str]) -> None:
    """Checks each component. The gateway answers for the chat service: the call goes the way that clients' go."""
    for component in components:
        name, _, address = component.partition("=")
        if address.startswith(("http://", "https://")):
            wait(name, address, partial(call, address))
            continue
        target, _, service = address.partition("=")
        with grpc.insecure_channel(target) as channel:
            wait(name, target, partial(health, channel, service))


if __name__ == "__main__":
    main(sys.argv[1:])
