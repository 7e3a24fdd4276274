"""HTTP/1.1 as bytes: requests that no client library would send, and what came back."""

from __future__ import annotations

import re
import socket

STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
QUIET_SECONDS = 2.0
"""No byte for so long: the gateway has said what it has to say."""
ANSWER_SECONDS = 30.0
"""An answer that is sure to come has so much time."""


def talk(address: str, sent: bytes, quiet: float = QUIET_SECONDS) -> bytes:
    """Sends bytes and returns all that comes back, until the gateway closes the connection or falls silent.

    Args:
        address: host:port.
        sent: The bytes.
        quiet: Seconds of silence that end the conversation.
    """
    host, _, port = address.rpartition(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=quiet) as connection:
        try:
            connection.sendall(sent)
            while part := connection.recv(65536):
                received += part
        except (TimeoutError, ConnectionError):
            # Silence, or a connection that was cut off: the answer is what came before.
            pass
    return bytes(received)


def ask(address: str, sent: bytes) -> bytes:
    """Sends one request and returns its answer, without waiting whether more comes."""
    host, _, port = address.rpartition(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
        try:
            connection.sendall(sent)
            while not complete(bytes(received)) and (part := connection.recv(65536)):
                received += part
        except ConnectionError:
            # It was cut off: the answer is what came before.
            pass
    return bytes(received)


def complete(answer: bytes) -> bool:
    """Whether an answer is whole."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return bool(gap) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))


def statuses(answer: bytes) -> list[int]:
    """The status of each answer."""
    return [int(status) for status in STATUS.findall(answer)]


def request(line: str, *headers: str, body: bytes = b"", host: str = "parley") -> bytes:
    """A request with exactly these headers besides Host."""
    return "\r\n".join([line, f"Host: {host}", *headers, "", ""]).encode("latin-1") + body
