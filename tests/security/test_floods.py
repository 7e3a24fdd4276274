"""Clients that send slowly, much, or without end: others are served meanwhile, and what they hold is taken back."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
import zlib
from collections.abc import Iterator

import h2.exceptions
import httpx
import pytest

from tests.security import wire
from tests.security.conftest import Mesh
from tests.security.streams import Connection, get

CONNECTIONS = 10_000


def serves(mesh: Mesh) -> bool:
    """Whether somebody else is served now, by a new connection."""
    headers = {"authorization": f"Bearer {mesh.keys['member']}"}
    return httpx.get(f"{mesh.stack.url}/v1/models", headers=headers, timeout=30).status_code == 200


def recovers(mesh: Mesh) -> bool:
    """Whether somebody is served soon: closing what was open takes the gateway a moment."""
    for _ in range(300):
        with contextlib.suppress(httpx.HTTPError):
            if serves(mesh):
                return True
        time.sleep(0.1)
    return False


@pytest.fixture
def connections(mesh: Mesh) -> Iterator[list[socket.socket]]:
    """Connections to the gateway that the test opens; closed at its end."""
    opened: list[socket.socket] = []
    yield opened
    for one in opened:
        one.close()
    assert recovers(mesh)


def open_one(mesh: Mesh) -> socket.socket:
    """A connection to the gateway."""
    host, _, port = mesh.stack.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_a_request_that_comes_byte_by_byte_is_cut_off(mesh: Mesh, connections: list[socket.socket]) -> None:
    for _ in range(200):
        slow = open_one(mesh)
        slow.sendall(b"GET /v1/models HTTP/1.1\r\nHost: parley\r\nX-Slow: ")
        connections.append(slow)
    assert serves(mesh)
    # One byte a second would keep an idle timeout from ever ending this.
    watched, received = connections[0], b""
    watched.settimeout(1.0)
    for _ in range(120):
        with contextlib.suppress(TimeoutError):
            received += watched.recv(4096)
            if received:
                break
        try:
            watched.sendall(b"x")
        except ConnectionError:
            break
    assert wire.statuses(received) in ([408], [])
    assert serves(mesh)


def test_ten_thousand_connections_that_say_nothing(mesh: Mesh, connections: list[socket.socket]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.fail(f"this process may open {hard} files, and needs {wanted}: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with httpx.Client(headers={"authorization": f"Bearer {mesh.keys['member']}"}, timeout=60) as friend:
            assert friend.get(f"{mesh.stack.url}/v1/models").status_code == 200
            for _ in range(CONNECTIONS):
                with contextlib.suppress(OSError):
                    connections.append(open_one(mesh))
            # Who was there before is served all the same, and so is who comes now, from another address.
            assert friend.get(f"{mesh.stack.url}/v1/models").status_code == 200
            elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
            with httpx.Client(headers=friend.headers, timeout=60, transport=elsewhere) as newcomer:
                assert newcomer.get(f"{mesh.stack.url}/v1/models").status_code == 200
        for one in connections:
            one.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("very many", [f"x-{number}: 1" for number in range(2000)]),
        ("one that is long", ["x-long: " + "a" * 200_000]),
        ("many that are long", [f"x-{number}: {'a' * 4000}" for number in range(60)]),
        ("one name very often", ["x-same: " + "a" * 100] * 1000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_header_bombs(mesh: Mesh, what: str, lines: list[str]) -> None:
    answer = wire.talk(mesh.stack.address, wire.request("GET /v1/models HTTP/1.1", *lines))
    assert wire.statuses(answer) in ([431], []), what
    many = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]
    with contextlib.suppress(ConnectionError, h2.exceptions.ProtocolError):
        assert get(mesh.stack.address, "/v1/models", many).status in {"431", "400", ""}
    assert serves(mesh)


def test_streams_that_are_opened_and_reset_without_end(mesh: Mesh) -> None:
    """CVE-2023-44487, rapid reset: the gateway ends the connection, and goes on."""
    with Connection(mesh.stack.address) as connection:
        for _ in range(20_000):
            try:
                stream = connection.send("GET", "/v1/models", [("authorization", f"Bearer {mesh.keys['member']}")])
                connection.h2.reset_stream(stream)
                connection.flush()
            except (OSError, h2.exceptions.ProtocolError):
                break
        else:
            pytest.fail("twenty thousand resets went through one connection")
    assert serves(mesh)


def test_a_header_block_without_end(mesh: Mesh) -> None:
    """CVE-2024-30255, CONTINUATION flood: frames of headers that never end one."""
    with Connection(mesh.stack.address) as connection:
        header = b"\x00" + bytes([5]) + b"x-abc" + bytes([100]) + b"a" * 100
        block = header * 100

        def frame(kind: int, flags: int, payload: bytes) -> bytes:
            return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + (1).to_bytes(4, "big") + payload

        sent = 0
        try:
            connection.socket.sendall(frame(1, 0, b"\x82\x84\x86\x41\x06parley"))
            while sent < 64 * 1024 * 1024:
                connection.socket.sendall(frame(9, 0, block))
                sent += len(block)
        except OSError:
            pass
        assert sent < 64 * 1024 * 1024, "the gateway took 64 MiB of headers"
    assert serves(mesh)


def test_a_body_that_never_comes_does_not_hold_a_service(mesh: Mesh, connections: list[socket.socket]) -> None:
    for _ in range(100):
        slow = open_one(mesh)
        slow.sendall(
            wire.request(
                "POST /v1/chat/completions HTTP/1.1",
                f"Authorization: Bearer {mesh.keys['member']}",
                "Content-Type: application/json",
                "Content-Length: 1000000",
                body=b"{",
            )
        )
        connections.append(slow)
    assert serves(mesh)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("who", "method"), [("nobody", "identity.v1.TokenService/Login"), ("member", "sql.v1.SqlService/Ask")]
)
def test_a_compressed_bomb_is_not_unpacked(mesh: Mesh, who: str, method: str, named: bool) -> None:
    # 200 MiB in 200 KB: the first field, of so many bytes.
    packer = zlib.compressobj(wbits=31)
    parts = [packer.compress(b"\x0a\x80\x80\x80\x64"), *(packer.compress(bytes(1 << 20)) for _ in range(200))]
    packed = b"".join([*parts, packer.flush()])
    headers = {"content-type": "application/grpc", "te": "trailers"}
    headers |= {"grpc-encoding": "gzip"} if named else {}
    headers |= {} if who == "nobody" else {"authorization": f"Bearer {mesh.keys[who]}"}
    frame = b"\x01" + len(packed).to_bytes(4, "big") + packed
    answer = httpx.post(f"{mesh.stack.url}/parley.{method}", content=frame, headers=headers, timeout=60)
    # Not 8 (RESOURCE_EXHAUSTED), which would be said after unpacking it. Without a name it is taken for a message.
    assert answer.headers["grpc-status"] == ("12" if named else "3")
