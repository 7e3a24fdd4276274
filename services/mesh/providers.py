"""Requests to OpenAI-compatible providers: retries and fallback before the first token.

This module moves bytes; what is in them is the business of the services: chat answers with them or passes them on, sql
has its queries written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from services.mesh import provider_errors as errors
from services.mesh import telemetry
from services.mesh.provider_settings import ProviderSettings

if TYPE_CHECKING:
    from services.mesh.provider import Events, Provider

log = telemetry.get_logger(__name__)

# Longest wait before the same provider is tried again, in seconds: beyond that the caller does better to hear of it.
MAX_BACKOFF = 5.0
BACKOFF = 0.2


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A chat completion request for whichever provider offers the model.

    Attributes:
        model: The model's id here.
        payload: The request as an object.
        raw: The same as JSON bytes.
    """

    model: str
    payload: Mapping[str, Any]
    raw: bytes

    def body(self, name: str) -> bytes:
        """The bytes for a provider that calls the model `name`."""
        return self.raw if name == self.model else json.dumps({**self.payload, "model": name}).encode()


class Completion(NamedTuple):
    """A whole answer.

    Attributes:
        data: A chat completion in JSON.
        answer: The same, parsed.
    """

    data: bytes
    answer: dict[str, Any]


class Attempts:
    """Which provider is asked next, after each that failed.

    Args:
        providers: In the order of preference; at least one.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._left = list(providers)
        self._tries = 0

    @property
    def provider(self) -> Provider:
        """The one to ask now."""
        return self._left[0]

    async def failed(self, error: errors.UpstreamError) -> None:
        """Waits where the same provider is worth another try, else goes on to the next; raises where there is none."""
        wait = BACKOFF * 2**self._tries * random.uniform(0.5, 1.0)  # noqa: S311 — jitter, no secret
        if error.retry_after is not None and isinstance(error, errors.UpstreamRateLimited):
            wait = error.retry_after
        if error.same_again and self._tries < self.provider.retries and wait <= MAX_BACKOFF:
            self._tries += 1
            log.info("retrying provider", provider=self.provider.name, reason=error.reason, seconds=round(wait, 2))
            await asyncio.sleep(wait)
            return
        if not error.elsewhere or len(self._left) == 1:
            raise error
        log.warning("falling back to the next provider", provider=self.provider.name, reason=error.reason)
        del self._left[0]
        self._tries = 0


class Providers:
    """All providers of the deployment.

    Args:
        settings: One for each; their order is the order of preference.
    """

    def __init__(self, settings: Sequence[ProviderSettings]) -> None:
        self._providers = _made(settings)
        self._offers: dict[str, list[Provider]] = {}
        for provider in self._providers:
            for model in provider.models:
                self._offers.setdefault(model, []).append(provider)

    def renamed(self, model: str) -> bool:
        """Whether a provider of the model has another name for it, so that its answers carry that name."""
        return any(p.models[model] != model for p in self._offers[model])

    def offers(self) -> Mapping[str, Sequence[Provider]]:
        """The providers of each model, in the order of preference."""
        return self._offers

    async def complete(self, request: UpstreamRequest) -> Completion:
        """The answer of the first provider that gives one. Raises UpstreamError."""
        attempts = Attempts(self._offers[request.model])
        while True:
            provider = attempts.provider
            try:
                body = request.body(provider.models[request.model])
                found = completion(provider.name, await provider.complete(body))
                provider.meter.used(request.model, found.answer.get("usage"))
                return found
            except errors.UpstreamError as error:
                await attempts.failed(error)

    async def stream(self, request: UpstreamRequest) -> AsyncGenerator[Events, None]:
        """The events of the first provider that begins to answer. Raises UpstreamError."""
        attempts = Attempts(self._offers[request.model])
        while True:
            provider = attempts.provider
            begun = False
            usage: Any = None
            try:
                body = request.body(provider.models[request.model])
                async with contextlib.aclosing(provider.stream(body)) as stream:
                    async for events in stream:
                        begun = True
                        # Some say it with every event, summed up so far: the last one counts.
                        usage = next((said for c in reversed(events.chunks) if (said := c.get("usage"))), usage)
                        yield events
                return
            except errors.UpstreamError as error:
                if begun:
                    raise
                await attempts.failed(error)
            finally:
                provider.meter.used(request.model, usage)

    async def close(self) -> None:
        """Closes all connections."""
        for provider in self._providers:
            await provider.close()


def _made(settings: Sequence[ProviderSettings]) -> list[Provider]:
    """What talks to each provider."""
    if not settings:
        return []
    from services.mesh.provider import Provider  # here: without providers no process needs an HTTP client

    return [Provider(one) for one in settings]


def completion(provider: str, data: bytes) -> Completion:
    """The answer where it is a chat completion, with what OpenAI's clients rely on filled in.

    Raises:
        UpstreamFailed: It is something else.
    """
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise errors.UpstreamFailed(provider, "answered with something that is not JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise errors.UpstreamFailed(provider, "answered with something that is not a chat completion")
    if "id" in answer and "created" in answer and "model" in answer and "object" in answer:
        return Completion(data, answer)
    filled = {"id": new_id(), "object": "chat.completion", "created": int(time.time()), "model": "", **answer}
    return Completion(json.dumps(filled, ensure_ascii=False).encode(), filled)


def new_id() -> str:
    """An id for a chat completion."""
    return f"chatcmpl-{random.getrandbits(96):024x}"
