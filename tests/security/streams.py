"""HTTP/2 frame by frame, by the h2 library: requests that no client library would send, and what came back."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions

SECONDS = 10.0


@dataclass
class Answered:
    """What came back on a stream."""

    status: str = ""
    """Empty where the gateway reset the stream or closed the connection."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    """Whether the gateway ended it, one way or the other."""


class Connection:
    """A connection to the gateway whose own end checks nothing.

    Args:
        address: host:port.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=SECONDS)
        given = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(given)
        self.h2.initiate_connection()
        self.flush()
        self.streams: dict[int, Answered] = {}
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Sends what h2 has to send."""
        self.socket.sendall(self.h2.data_to_send())

    def send(self, method: str, path: str, headers: Iterable[tuple[str, str]], *, end: bool = True) -> int:
        """Opens a stream; its number."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "parley")]
        self.h2.send_headers(stream, [*pseudo, *headers], end_stream=end)
        self.streams[stream] = Answered()
        self.flush()
        return stream

    def receive(self) -> bool:
        """Takes one portion of bytes; False where the connection has ended."""
        try:
            data = self.socket.recv(65536)
            events = self.h2.receive_data(data) if data else []
        except (OSError, h2.exceptions.ProtocolError):
            data, events = b"", []
        for event in events:
            self._take(event)
        if not data:
            self.closed = True
            return False
        self.flush()
        return not self.closed

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.closed = True
            return
        number = getattr(event, "stream_id", None)
        answered = self.streams.get(number) if number else None
        if answered is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            answered.headers = {str(name): str(value) for name, value in event.headers}
            answered.status = answered.headers.get(":status", "")
        elif isinstance(event, h2.events.DataReceived):
            answered.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            answered.ended = True

    def wait(self, stream: int) -> Answered:
        """What came back on a stream, when it has ended."""
        while not self.streams[stream].ended and self.receive():
            pass
        return self.streams[stream]


def get(address: str, path: str, headers: Iterable[tuple[str, str]]) -> Answered:
    """What a GET with exactly these headers is answered."""
    with Connection(address) as connection:
        return connection.wait(connection.send("GET", path, headers))
