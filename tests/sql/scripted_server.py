"""An OpenAI-compatible server whose model says what it was told to: a process of its own, for tests.

Run as ``python -m tests.sql.scripted_server``; the first line that it prints is its port. `PUT /script` says how it
answers, `GET /seen` what it was asked; tests/sql/scripted.py does both.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web


class Model:
    """Answers with prepared texts and remembers what it was asked."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self.answers: list[str] = []
        self.status = 200
        self.delay = 0.0
        self.usage = 0
        self.rejects: set[str] = set()
        self.broken_off = 0
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    async def complete(self, request: web.Request) -> web.Response:
        """The chat completion: the next of the answers, as the script has it."""
        asked: dict[str, Any] = await request.json()
        self.requests.append(asked)
        self.keys.append(request.headers.get("Authorization"))
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        if unknown := self.rejects & asked.keys():
            return web.json_response({"error": {"message": f"unknown field {unknown}"}}, status=400)
        if self.status != 200:
            return web.Response(status=self.status, text="secret detail")
        text = self.answers.pop(0)
        if text == "garbage":
            return web.Response(text="<html>")
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if "tools" in asked:
            call = {"id": "1", "type": "function", "function": {"name": "write_query", "arguments": text}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        usage = {"usage": {"total_tokens": self.usage}} if self.usage else {}
        return web.json_response({"choices": [{"message": message}], **usage})

    async def script(self, request: web.Request) -> web.Response:
        """Takes some fields of the script; `reset` first forgets the rest."""
        told = await request.json()
        if told.pop("reset", False):
            self.reset()
        for name, value in told.items():
            setattr(self, name, set(value) if name == "rejects" else value)
        return web.Response()

    async def seen(self, _request: web.Request) -> web.Response:
        """What it was asked, and how often somebody hung up."""
        return web.json_response({"requests": self.requests, "keys": self.keys, "broken_off": self.broken_off})


async def main() -> None:
    """Serves until the process is ended."""
    model, app = Model(), web.Application()
    app.add_routes(
        [
            web.post("/v1/chat/completions", model.complete),
            web.put("/script", model.script),
            web.get("/seen", model.seen),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
