"""Model providers: server-sent events, settings, and requests to a scripted provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic_settings import SettingsConfigDict

from services.mesh import provider_errors, settings
from services.mesh.provider import retry_after
from services.mesh.provider_settings import ProviderSettings, ProvidersSettings
from services.mesh.providers import Providers, UpstreamRequest
from services.mesh.sse import EventParser, EventTooLong


class Settings(ProvidersSettings):
    """Settings of a service that asks models."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_TEST_")


STREAM = b': comment\r\n\r\ndata: {"a": 1}\r\n\r\nevent: x\ndata:two\ndata: lines\n\n<html>\n\ndata: last'


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_do_not_depend_on_how_the_stream_was_cut(cuts: list[int]) -> None:
    parser = EventParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    events = [e for a, b in pairwise(edges) for e in parser.feed(STREAM[a:b])]
    assert [*events, *parser.close()] == [b'{"a": 1}', b"two\nlines", b"last"]


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_garbage_yields_no_error(chunks: list[bytes]) -> None:
    parser = EventParser()
    for chunk in chunks:
        parser.feed(chunk)
    parser.close()


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: xxxxxxxxxx\n" * 20])
def test_an_event_has_a_longest_length(data: bytes) -> None:
    with pytest.raises(EventTooLong):
        EventParser(limit=100).feed(data)


@pytest.mark.parametrize(("value", "low", "high"), [("17", 17, 17), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0)])
def test_retry_after_is_a_number_or_a_date(value: str, low: float, high: float) -> None:
    seconds = retry_after(value)
    assert seconds is not None
    assert low <= seconds <= high


def test_retry_after_may_be_nonsense() -> None:
    assert retry_after("soon") is None
    assert retry_after("") is None


PROVIDER = {"name": "p", "base_url": "http://p/v1", "api_key": "sk-secret", "models": ["m"]}


def test_providers_come_from_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_TEST_PROVIDERS", json.dumps([PROVIDER]))
    loaded = settings.load(Settings, [])
    assert loaded.providers[0].api_key.get_secret_value() == "sk-secret"
    assert "sk-secret" not in repr(loaded)
    monkeypatch.delenv("PARLEY_TEST_PROVIDERS")
    file = tmp_path / "providers.json"
    file.write_text(json.dumps([PROVIDER]))
    monkeypatch.setenv("PARLEY_TEST_PROVIDERS_FILE", str(file))
    assert settings.load(Settings, []).providers[0].name == "p"


@pytest.mark.parametrize("value", ["[{", '[{"name": "p", "api_key": "sk-secret"}]', "3"])
def test_providers_that_are_wrong_are_named_without_their_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("PARLEY_TEST_PROVIDERS", value)
    with pytest.raises(SystemExit):
        settings.load(Settings, [])
    said = capsys.readouterr().err
    assert said.startswith("PARLEY_TEST_PROVIDERS")
    assert "sk-secret" not in said


def test_a_providers_file_that_is_wrong_is_named_without_its_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "providers.json"
    monkeypatch.setenv("PARLEY_TEST_PROVIDERS_FILE", str(file))
    for text in (None, "[{", '[{"name": "p", "api_key": "sk-secret"}]'):
        if text is not None:
            file.write_text(text)
        with pytest.raises(SystemExit):
            settings.load(Settings, [])
        said = capsys.readouterr().err
        assert "providers_file" in said
        assert "sk-secret" not in said


class Script:
    """A provider that answers with the given statuses in turn, then with 200, and counts the requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statuses: list[int] = []
        self.models: list[str] = []
        self.delay = 0.0

    async def answer(self, request: web.Request) -> web.Response:
        """A completion, or an error."""
        self.models.append((await request.json())["model"])
        await asyncio.sleep(self.delay)
        if self.statuses:
            body = {"error": {"message": "no, sk-secret", "param": "messages"}}
            return web.json_response(body, status=self.statuses.pop(0))
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": "yes"}}]})

    def settings(self, **more: Any) -> ProviderSettings:
        """Settings for it."""
        return ProviderSettings.model_validate({**PROVIDER, "base_url": self.url, "retries": 0, **more})


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    found = Script("")
    app = web.Application()
    app.router.add_post("/v1/chat/completions", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield found
    await runner.cleanup()


async def complete(*offers: ProviderSettings) -> dict[str, Any]:
    """What these providers answer."""
    providers = Providers(offers)
    payload = {"model": "m", "messages": []}
    try:
        answer = await providers.complete(UpstreamRequest("m", payload, json.dumps(payload).encode()))
    finally:
        await providers.close()
    assert json.loads(answer.data) == answer.answer
    return answer.answer


async def test_an_answer_is_filled_with_what_clients_rely_on(script: Script) -> None:
    answer = await complete(script.settings(models=["m=theirs"]))
    assert answer["choices"][0]["message"]["content"] == "yes"
    assert answer["object"] == "chat.completion"
    assert script.models == ["theirs"]


async def test_a_failure_is_tried_again_then_elsewhere(script: Script) -> None:
    script.statuses = [500, 503]
    first, second = script.settings(name="a", retries=1, models=["m=one"]), script.settings(name="b", models=["m=two"])
    await complete(first, second)
    assert script.models == ["one", "one", "two"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, provider_errors.UpstreamUnauthenticated),
        (429, provider_errors.UpstreamRateLimited),
        (500, provider_errors.UpstreamFailed),
        (400, provider_errors.UpstreamRejected),
    ],
)
async def test_a_status_becomes_an_error_without_the_key(
    script: Script, status: int, error: type[provider_errors.UpstreamError]
) -> None:
    script.statuses = [status]
    with pytest.raises(error) as caught:
        await complete(script.settings())
    assert "sk-secret" not in str(caught.value.message)
    assert caught.value.metadata["provider"] == "p"


async def test_what_is_wrong_everywhere_is_not_tried_elsewhere(script: Script) -> None:
    script.statuses = [400]
    with pytest.raises(provider_errors.UpstreamRejected):
        await complete(script.settings(name="a"), script.settings(name="b"))
    assert len(script.models) == 1


async def test_silence_has_an_end(script: Script) -> None:
    script.delay = 1.0
    with pytest.raises(provider_errors.UpstreamTimeout):
        await complete(script.settings(timeout=0.1))


async def test_a_provider_that_is_away_is_named_without_its_address() -> None:
    away = ProviderSettings.model_validate({**PROVIDER, "base_url": "http://127.0.0.1:1/v1", "retries": 0})
    with pytest.raises(provider_errors.UpstreamFailed, match="cannot be reached") as caught:
        await complete(away)
    assert "127.0.0.1" not in caught.value.message
