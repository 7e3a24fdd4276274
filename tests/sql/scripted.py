"""What tests say to the scripted model and learn from it: tests/sql/scripted_server.py, a process of its own."""

from __future__ import annotations

import http.client
import json
from typing import Any

GOOD = '{"sql": "SELECT count(*) FROM customers;", "explanation": "Counts customers.", "confidence": 0.9}'
"""An answer that counts the shop's customers."""


class Script:
    """The script of the model.

    Args:
        port: Where the server listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        """Where its API is."""
        self.tell(reset=True)

    def tell(self, **told: Any) -> None:
        """Sets how it answers.

        Args:
            told: `answers` (texts, one for each request; `garbage` breaks the protocol), `status` of HTTP, `delay` in
                seconds, `usage` in tokens, `rejects` (fields of requests that it does not know).
        """
        self._call("PUT", "/script", json.dumps(told).encode())

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What it was asked."""
        return list(self._seen()["requests"])

    @property
    def keys(self) -> list[str | None]:
        """The Authorization headers that came with it."""
        return list(self._seen()["keys"])

    @property
    def broken_off(self) -> int:
        """How many requests somebody hung up on."""
        return int(self._seen()["broken_off"])

    def _seen(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._call("GET", "/seen"))
        return found

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        assert response.status == 200, text
        return text


def provider(script: Script, name: str = "scripted", **more: Any) -> dict[str, Any]:
    """The scripted model as a provider that offers `tiny`."""
    settings = {"name": name, "base_url": script.url, "api_key": "hunter2", "models": ["tiny=tiny-8b"]}
    return {**settings, "timeout": 2.0, "retries": 0, **more}
