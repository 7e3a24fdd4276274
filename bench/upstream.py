"""A canned OpenAI-compatible provider: answers at once, so that benchmarks measure what is in front of it.

Run as ``python -m bench.upstream``; prints its URL and serves until it is ended. It parses no more of HTTP/1.1 than the
end of a request: bodies must carry a Content-Length.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

TOKENS = 20
# Between the request and the first token, and between tokens, of a streamed answer; in seconds.
FIRST_TOKEN = 0.005
BETWEEN = 0.002
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
STREAMED = re.compile(rb'"stream": *true')

_HEAD = {"id": "chatcmpl-canned", "created": 1, "model": "canned"}
_MESSAGE = {"role": "assistant", "content": "The quick brown fox jumps over the lazy dog. " * 4, "refusal": None}
_ANSWER = json.dumps(
    {
        **_HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60},
    }
).encode()
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_ANSWER),
    _ANSWER,
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(data: bytes) -> bytes:
    """A server-sent event as one HTTP chunk."""
    text = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(text), text)


def token(text: str | None) -> bytes:
    """The chunk of a token; the last where there is none."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": "stop" if text is None else None}
    return event(json.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}).encode())


TOKEN = token("word ")
END = token(None) + event(b"[DONE]") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """A keep-alive connection."""

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        # uvloop's transports are asyncio.Transports in all but their class.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what is being streamed."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answers every request that is whole."""
        self._data += data
        while True:
            end = self._data.find(b"\r\n\r\n")
            length = LENGTH.search(self._data, 0, end) if end >= 0 else None
            size = end + 4 + (int(length.group(1)) if length else 0)
            if end < 0 or len(self._data) < size:
                return
            request, self._data = self._data[:size], self._data[size:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        assert self._transport is not None
        if STREAMED.search(request):
            self._transport.write(STREAM_HEAD)
            asyncio.get_running_loop().call_later(FIRST_TOKEN, self._token, TOKENS)
        else:
            self._transport.write(RESPONSE)

    def _token(self, left: int) -> None:
        if self._transport is None:
            return
        self._transport.write(TOKEN if left else END)
        if left:
            asyncio.get_running_loop().call_later(BETWEEN, self._token, left - 1)


async def main() -> None:
    """Serves on a free port of loopback."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
