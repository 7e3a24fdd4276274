"""Server-sent events as https://html.spec.whatwg.org/multipage/server-sent-events.html has them; data fields only."""

from __future__ import annotations

DONE = b"[DONE]"


class EventTooLong(Exception):
    """An event is longer than the limit."""


class EventParser:
    """Takes a stream of bytes apart into events, however it was cut into chunks.

    Comments, other fields and lines that are no field are skipped, as the specification demands. Lines may end in LF or
    CRLF.

    Args:
        limit: Most bytes of one event.
    """

    def __init__(self, limit: int = 4 << 20) -> None:
        self._limit = limit
        self._tail = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that this chunk completes. Raises EventTooLong."""
        lines = (self._tail + chunk).split(b"\n")
        self._tail = lines.pop()
        events: list[bytes] = []
        for line in lines:
            self._take(line.removesuffix(b"\r"), events)
        if self._size + len(self._tail) > self._limit:
            raise EventTooLong
        return events

    def close(self) -> list[bytes]:
        """The event that the end of the stream cut short of its blank line: some servers forget it."""
        events: list[bytes] = []
        self._take(self._tail.removesuffix(b"\r"), events)
        self._take(b"", events)
        self._tail = b""
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(b"data:"):
            self._lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
            self._size += len(line)
            if self._size > self._limit:
                raise EventTooLong
        elif not line and self._lines:
            events.append(b"\n".join(self._lines))
            self._lines.clear()
            self._size = 0


def event(data: bytes) -> bytes:
    """The bytes of one event. The data holds no line break."""
    return b"data: " + data + b"\n\n"
