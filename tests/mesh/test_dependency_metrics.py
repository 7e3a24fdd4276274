"""What Prometheus is told of what services depend on: their own databases, and providers of models."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.mesh import provider_errors
from services.mesh.database import THREADS, Database
from services.mesh.provider_settings import ProviderSettings
from services.mesh.providers import Providers, UpstreamRequest

QUOTA = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "40",
    "x-ratelimit-limit-tokens": "unlimited",
    "x-ratelimit-remaining-tokens": "9",
}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def value(name: str, **labels: str) -> float:
    """A sample of this process's metrics; 0 where there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(("kind", "limit"), [("sqlite", 1), ("postgres", THREADS)])
async def test_a_busy_database_shows(kind: str, limit: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/x.db" if kind == "sqlite" else request.getfixturevalue("postgres")
    before = value("parley_database_connections")
    counted = value("parley_database_transaction_seconds_count")
    database = Database(url, tmp_path)
    assert value("parley_database_connections") - before == limit
    go, busy = threading.Event(), threading.Semaphore(0)

    def work(session: Session) -> None:
        session.execute(text("SELECT 1"))
        busy.release()
        go.wait(10)

    asked = [asyncio.ensure_future(database.run(work)) for _ in range(limit + 3)]
    for _ in range(limit):
        assert await asyncio.to_thread(busy.acquire, timeout=10)
    assert value("parley_database_connections_in_use") == limit
    assert value("parley_database_transactions") == limit + 3
    asked[-1].cancel()
    go.set()
    await asyncio.gather(*asked, return_exceptions=True)
    await database.close()
    assert value("parley_database_connections_in_use") == value("parley_database_transactions") == 0
    assert value("parley_database_transaction_seconds_count") - counted >= limit + 2
    assert value("parley_database_connections") == before


@pytest.fixture
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[ProviderSettings]:
    """A provider whose model `broke` stops in the middle, `limited` answers 429, and others answer with usage."""

    async def answer(asked: web.Request) -> web.StreamResponse:
        payload = await asked.json()
        if payload["model"] == "limited":
            return web.json_response({}, status=429, headers={**QUOTA, "x-ratelimit-remaining-requests": "0"})
        if not payload.get("stream"):
            return web.json_response({"choices": [], "usage": USAGE}, headers=QUOTA)
        response = web.StreamResponse(headers=QUOTA)
        await response.prepare(asked)
        # Some providers send what was used so far with every event.
        for usage in ({**USAGE, "completion_tokens": 3}, USAGE):
            event = {"choices": [{"delta": {"content": "x"}, "finish_reason": None}], "usage": usage}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        if payload["model"] == "broke":
            assert asked.transport is not None
            asked.transport.abort()
            return response
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = {"base_url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1", "retries": 0}
    models = ["m=fine", "broke", "limited"]
    # Metrics are the process's: each test looks at a provider of its own.
    yield ProviderSettings.model_validate({"name": request.node.name, "models": models, **settings})
    await runner.cleanup()


async def ask(provider: ProviderSettings, model: str, *, stream: bool) -> None:
    """Asks it once."""
    providers = Providers([provider])
    payload = {"model": model, "messages": [], "stream": stream}
    request = UpstreamRequest(model, payload, json.dumps(payload).encode())
    try:
        if stream:
            _ = [events async for events in providers.stream(request)]
        else:
            await providers.complete(request)
    finally:
        await providers.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_times_and_quotas_of_a_provider_show(provider: ProviderSettings, stream: bool) -> None:
    name = provider.name
    await ask(provider, "m", stream=stream)
    assert value("parley_provider_responses_total", provider=name, code="200") == 1
    assert value("parley_provider_tokens_total", provider=name, model="m", kind="prompt") == 11
    assert value("parley_provider_tokens_total", provider=name, model="m", kind="completion") == 7
    assert value("parley_provider_answer_seconds_count", provider=name) == 1
    assert value("parley_provider_first_event_seconds_count", provider=name) == int(stream)
    assert value("parley_provider_quota_limit", provider=name, quota="requests") == 500
    assert value("parley_provider_quota_remaining", provider=name, quota="requests") == 40
    unread = REGISTRY.get_sample_value("parley_provider_quota_limit", {"provider": name, "quota": "tokens"})
    assert unread is None, "a limit that is no number"


async def test_refusals_and_faults_of_a_provider_show(provider: ProviderSettings) -> None:
    name = provider.name
    with pytest.raises(provider_errors.UpstreamRateLimited):
        await ask(provider, "limited", stream=False)
    assert value("parley_provider_responses_total", provider=name, code="429") == 1
    assert value("parley_provider_quota_remaining", provider=name, quota="requests") == 0
    with pytest.raises(provider_errors.UpstreamFailed):
        await ask(provider, "broke", stream=True)
    assert value("parley_provider_responses_total", provider=name, code="broken") == 1
    assert value("parley_provider_tokens_total", provider=name, model="broke", kind="completion") == 7
    away = provider.model_copy(update={"base_url": "http://127.0.0.1:1/v1"})
    with pytest.raises(provider_errors.UpstreamFailed):
        await ask(away, "m", stream=False)
    assert value("parley_provider_responses_total", provider=name, code="unreachable") == 1
