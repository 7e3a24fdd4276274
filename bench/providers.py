"""The client for model providers against the `openai` package, before the same canned provider.

Run as ``python -m bench.providers [--seconds S] [--rounds N]``. Both ask for a completion and have to have it as JSON
again, because the OpenAI façade passes it on: plain, as one object; streamed, as one event for each token. 16
connections each, one process, rounds alternate. Plain answers are compared by requests/s; streamed ones, whose pace is
the provider's, by the CPU time of the client for each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

import uvloop
from openai import AsyncOpenAI

from bench.chat import upstream
from services.mesh.provider_settings import ProviderSettings
from services.mesh.providers import Providers, UpstreamRequest

CONNECTIONS = 16
MODEL = "canned"
MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
Call = Callable[[], Awaitable[int]]


class Load(NamedTuple):
    """What a round did."""

    per_second: float
    """Requests a second."""
    cpu: float
    """CPU time of this process for each, in milliseconds."""


def ours(providers: Providers) -> tuple[Call, Call]:
    """Calls that return the size of a plain and of a streamed answer, by services.mesh.providers."""
    plain: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
    streamed = {**plain, "stream": True}
    raw, raw_streamed = json.dumps(plain).encode(), json.dumps(streamed).encode()

    async def complete() -> int:
        return len(await providers.complete(UpstreamRequest(MODEL, plain, raw)))

    async def stream() -> int:
        size = 0
        async with aclosing(providers.stream(UpstreamRequest(MODEL, streamed, raw_streamed))) as parts:
            async for events in parts:
                size += sum(map(len, events.data))
        return size

    return complete, stream


def theirs(client: AsyncOpenAI) -> tuple[Call, Call]:
    """The same calls by the `openai` package, as its documentation writes them."""

    async def complete() -> int:
        answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        return len(answer.model_dump_json(exclude_unset=True))

    async def stream() -> int:
        parts = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        return sum([len(chunk.model_dump_json(exclude_unset=True)) async for chunk in parts])

    return complete, stream


async def load(call: Call, seconds: float) -> Load:
    """Calls on all connections for so long; every answer must have content."""
    done = 0
    until = time.perf_counter() + seconds

    async def connection() -> None:
        nonlocal done
        while time.perf_counter() < until:
            if await call() < 100:
                raise SystemExit("an answer was empty")
            done += 1

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return Load(done / (time.perf_counter() - started), (time.process_time() - cpu) / done * 1000)


async def compare(name: str, one: Call, other: Call, seconds: float, rounds: int) -> tuple[Load, Load]:
    """Medians of alternating rounds of both, printed."""
    found: tuple[list[Load], list[Load]] = ([], [])
    for _ in range(rounds):
        for call, loads in zip((one, other), found, strict=True):
            loads.append(await load(call, seconds))
    medians = [Load(*(statistics.median(values) for values in zip(*loads, strict=True))) for loads in found]
    for client, figures in zip(("aiohttp, ours", "openai package"), medians, strict=True):
        print(f"{name:9} {client:15} {figures.per_second:7.0f} requests/s  {figures.cpu:6.2f} ms CPU each")
    return medians[0], medians[1]


async def main() -> None:
    """Prints the figures and their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each")
    arguments = parser.parse_args()
    with upstream() as url:
        settings = {"name": "canned", "base_url": url, "api_key": "sk-bench", "models": [MODEL]}
        providers = Providers([ProviderSettings.model_validate(settings)])
        async with AsyncOpenAI(base_url=url, api_key="sk-bench", max_retries=0) as client:
            complete, stream = ours(providers)
            their_complete, their_stream = theirs(client)
            # Connections, and pydantic's models, are made on first use.
            for call in (complete, stream, their_complete, their_stream):
                await load(call, 0.3)
            plain = await compare("plain", complete, their_complete, arguments.seconds, arguments.rounds)
            streamed = await compare("streamed", stream, their_stream, arguments.seconds, arguments.rounds)
        await providers.close()
    print(f"plain: {plain[0].per_second / plain[1].per_second:.1f} times the requests/s of the openai package")
    print(f"streamed: {streamed[1].cpu / streamed[0].cpu:.1f} times the CPU for an answer in the openai package")


if __name__ == "__main__":
    uvloop.run(main())
