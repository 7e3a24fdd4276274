"""An HTTP/1.1 load generator on raw sockets: keep-alive connections that each send the next request after an answer.

Run as ``python -m bench.http_load URL --connections N --seconds S [--stream]`` in a process of its own, so that it does
not take turns with what it measures; prints one JSON object. PARLEY_API_KEY may hold several keys, separated by commas:
connections take turns with them. A client library would cost more than what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import re
import statistics
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TIMEOUT = 20.0


@dataclass
class Tally:
    """What was measured: seconds to the first token (streams) or the whole answer, for each request."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    example: str = ""


def request(url: str, model: str, key: str, *, stream: bool) -> bytes:
    """A chat completion request as bytes."""
    parts = urlsplit(url)
    messages = [{"role": "user", "content": "Say something about foxes, dogs and the speed of proxies."}]
    body = json.dumps({"model": model, "messages": messages, "stream": stream}).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, float]:
    """A whole answer and when its first token came."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    if length:
        body = await reader.readexactly(int(length.group(1)))
        return head + body, time.perf_counter()
    first, parts = 0.0, [head]
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        part = (await reader.readexactly(size + 2))[:-2]
        if not size:
            return b"".join(parts), first or time.perf_counter()
        if not first and b'"content"' in part and b'"content": ""' not in part and b'"content":""' not in part:
            first = time.perf_counter()
        parts.append(part)


async def client(url: str, data: bytes, until: float, tally: Tally) -> None:
    """Sends requests over one connection until the time has come."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        while (start := time.perf_counter()) < until:
            writer.write(data)
            answer, first = await asyncio.wait_for(read_answer(reader), TIMEOUT)
            if answer.startswith(b"HTTP/1.1 200"):
                tally.latencies.append(first - start)
            else:
                tally.errors += 1
                tally.example = answer[:500].decode(errors="replace")
    except (OSError, EOFError, TimeoutError) as error:
        tally.errors += 1
        tally.example = repr(error)
    finally:
        writer.close()


async def main(arguments: argparse.Namespace) -> None:
    """Runs the clients and prints the result."""
    tally = Tally()
    keys = os.environ.get("PARLEY_API_KEY", "sk-bench").split(",")
    data = [request(arguments.url, arguments.model, key, stream=arguments.stream) for key in keys]
    start = time.perf_counter()
    until = start + arguments.seconds
    clients = zip(range(arguments.connections), itertools.cycle(data), strict=False)
    await asyncio.gather(*(client(arguments.url, one, until, tally) for _, one in clients))
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "rate": len(tally.latencies) / seconds,
                "median_ms": statistics.median(tally.latencies) * 1000 if tally.latencies else None,
                "requests": len(tally.latencies),
                "errors": tally.errors,
                "example": tally.example,
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--model", default="canned")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--stream", action="store_true")
    uvloop.run(main(parser.parse_args()))
