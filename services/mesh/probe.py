"""Asks a server on this machine how it is, for engines that start a command for that: Docker Compose.

python -m services.mesh.probe 127.0.0.1:50051 [NAME OF A SERVICE]
"""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 5.0


def main(address: str, service: str = "") -> int:
    """0 where the server reports SERVING, 1 where it does not or does not answer.

    Args:
        address: host:port, plaintext.
        service: Full name of the service; empty for the server as such.
    """
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=SECONDS
            )
        except grpc.RpcError as error:
            sys.stderr.write(f"{address}: {error.code().name}: {error.details()}\n")
            return 1
    return int(answer.status != health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
