"""Asks components whether they are ready, over plain sockets.

Thus the supervisor stays small and may fork at any time, which a process that has loaded gRPC may not.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

Probe = Callable[[], bool]

TIMEOUT = 1.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Frame types and flags of HTTP/2 (RFC 9113, sections 6.1 to 6.8).
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
SERVING = b"\x08\x01"


def http_ready(port: int, path: str) -> Probe:
    """A probe that passes while a GET on loopback is answered with 200."""

    def probe() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


class Secured(NamedTuple):
    """How to talk to a component that wants a certificate."""

    context: ssl.SSLContext
    """With the prober's own."""
    name: str
    """Whose certificate the component has to have."""


def grpc_serving(port: int, services: Sequence[str], secured: Secured | None = None) -> Probe:
    """A probe that passes while grpc.health.v1 on loopback says SERVING for each of the services.

    Args:
        port: The port on loopback.
        services: Full names; empty: the server as a whole.
        secured: Certificates. None: plaintext.
    """

    def probe() -> bool:
        try:
            return all(_check(port, service, secured) == SERVING for service in services)
        except OSError:
            return False

    return probe


def _connected(port: int, secured: Secured | None) -> socket.socket:
    """A connection to a port of loopback."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    if secured is None:
        return plain
    try:
        return secured.context.wrap_socket(plain, server_hostname=secured.name)
    except BaseException:
        plain.close()
        raise


def _check(port: int, service: str, secured: Secured | None) -> bytes:
    """The HealthCheckResponse, serialised, to one Check call on a connection of its own; empty when the call failed."""
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name
    body = struct.pack(">BI", 0, len(message)) + message
    with _connected(port, secured) as connection:
        connection.sendall(
            PREFACE
            + _frame(SETTINGS, 0, 0, b"")
            + _frame(HEADERS, END_HEADERS, 1, _request_headers(b"\x87" if secured else b"\x86"))
            + _frame(DATA, END_STREAM, 1, body)
        )
        return _answer(connection)[5:]


def _answer(connection: socket.socket) -> bytes:
    """The data of stream 1 until the server ends it."""
    data = b""
    for kind, flags, stream, payload in _frames(connection):
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            connection.sendall(_frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            break
        elif stream == 1:
            if kind == DATA:
                data += payload
            if kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM):
                break
    return data


def _request_headers(scheme: bytes) -> bytes:
    """The request's header block in HPACK (RFC 7541): static names where there are, values as plain literals.

    Args:
        scheme: The index of `http` or `https` in the static table.
    """
    path, authority, kind = b"/grpc.health.v1.Health/Check", b"localhost", b"application/grpc"
    return (
        b"\x83"  # :method POST
        + scheme
        + (b"\x04" + bytes([len(path)]) + path)
        + (b"\x01" + bytes([len(authority)]) + authority)
        + (b"\x0f\x10" + bytes([len(kind)]) + kind)
        + b"\x00\x02te\x08trailers"
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame: length in 24 bits, type, flags, stream, payload."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """The frames that arrive: type, flags, stream, payload. Ends with the connection."""
    with connection.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            length = int.from_bytes(head[:3], "big")
            kind, flags, number = struct.unpack(">BBI", head[3:])
            yield kind, flags, number, stream.read(length)
