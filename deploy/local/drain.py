"""Lets the gateway's calls in flight end before it is stopped: Envoy itself drops them on SIGTERM."""

from __future__ import annotations

import contextlib
import http.client
import time

POLL = 0.05
ACTIVE = "/stats?filter=^http.parley.downstream_rq_active$"


def envoy(admin_port: int, seconds: float) -> None:
    """Makes Envoy close connections as their calls end; returns when none is in flight, or after so many seconds.

    Args:
        admin_port: Port of its admin interface, on loopback. Where nobody answers there, nothing is in flight.
        seconds: The longest wait.
    """
    deadline = time.monotonic() + seconds
    with contextlib.suppress(OSError, http.client.HTTPException):
        _ask(admin_port, "POST", "/healthcheck/fail")
        while time.monotonic() < deadline and not _ask(admin_port, "GET", ACTIVE).strip().endswith(b": 0"):
            time.sleep(POLL)


def _ask(port: int, method: str, path: str) -> bytes:
    """The body of the admin interface's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()
