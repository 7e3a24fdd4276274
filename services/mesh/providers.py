"""Requests to OpenAI-compatible providers: one connection pool each, retries and fallback before the first token.

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
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import yarl

from services.mesh import provider_errors as errors
from services.mesh import telemetry
from services.mesh.provider_metrics import ProviderMeter
from services.mesh.provider_settings import ProviderSettings
from services.mesh.sse import DONE, EventParser, EventTooLong

log = telemetry.get_logger(__name__)

# Largest JSON answer that is taken from a provider, in bytes.
MAX_ANSWER = 32 << 20
# What is read of an error's body, in bytes.
MAX_ERROR = 64 << 10
# Longest wait before the same provider is tried again, in seconds: beyond that the caller does better to hear of it.
MAX_BACKOFF = 5.0
BACKOFF = 0.2
# Longest wait for the end of a stream after its last event, in seconds.
END_SECONDS = 0.05
# Statuses that say the request is wrong, wherever it goes.
REJECTIONS = frozenset({400, 409, 413, 415, 422})
# What the connection to a provider can raise.
FAULTS = (TimeoutError, EventTooLong, aiohttp.ClientError, OSError)


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


class Events(NamedTuple):
    """What one chunk of a stream brought.

    Attributes:
        data: The payloads of its events, JSON objects; `[DONE]` is not among them.
        chunks: The same, parsed.
    """

    data: list[bytes]
    chunks: list[dict[str, Any]]


class Provider:
    """One provider and its connections.

    Args:
        settings: Where it is and how to talk to it.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.name
        self.description = settings.description
        self.retries = settings.retries
        self.stream_usage = settings.stream_usage
        self.meter = ProviderMeter(settings.name)
        pairs = [m.partition("=") for m in settings.models]
        self.models = {model: name or model for model, _, name in pairs}
        self._url = yarl.URL(settings.base_url.rstrip("/") + "/chat/completions")
        self._headers = {"Content-Type": "application/json", "User-Agent": "parley"}
        self._secret = settings.api_key.get_secret_value()
        if self._secret:
            self._headers["Authorization"] = f"Bearer {self._secret}"
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.connect_timeout, sock_read=settings.timeout
        )
        self._max_connections = settings.max_connections
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, body: bytes) -> bytes:
        """The whole answer, as bytes. Raises UpstreamError."""
        response = None
        started = time.monotonic()
        try:
            response = await self._post(body)
            known = (response.content_length or MAX_ANSWER + 1) <= MAX_ANSWER
            answer = await (response.read() if known else self._bounded(response))
            self.meter.ended(time.monotonic() - started)
            return answer
        except FAULTS as error:
            raise self._fault(error) from None
        finally:
            # Does nothing to a response that was read to its end; otherwise closing tells the provider to stop.
            if response is not None:
                response.close()

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        """A body of unknown length. Raises UpstreamFailed where it is too long."""
        answer = bytearray()
        async for part in response.content.iter_any():
            answer += part
            if len(answer) > MAX_ANSWER:
                raise errors.UpstreamFailed(self.name, "answered with too much")
        return bytes(answer)

    async def stream(self, body: bytes) -> AsyncGenerator[Events, None]:
        """The events of an answer, as they come; ends after `[DONE]`. Raises UpstreamError."""
        parser = EventParser()
        finished = begun = False
        response = None
        started = time.monotonic()
        try:
            response = await self._post(body)
            async for chunk in response.content.iter_any():
                payloads = parser.feed(chunk)
                if not payloads:
                    continue
                if not begun:
                    begun = True
                    self.meter.began(time.monotonic() - started)
                done = DONE in payloads
                events, fault = self._parsed(payloads[: payloads.index(DONE)] if done else payloads)
                finished = finished or any(_is_last(c) for c in events.chunks)
                if events.data:
                    yield events
                if fault is not None:
                    raise fault
                if done:
                    self.meter.ended(time.monotonic() - started)
                    await self._end(response)
                    return
            rest, fault = self._parsed([p for p in parser.close() if p != DONE])
            if rest.data:
                yield rest
            if fault is not None:
                raise fault
        except FAULTS as error:
            raise self._fault(error) from None
        finally:
            # Also when we are cancelled or nobody wants more: closing tells the provider to stop.
            if response is not None:
                response.close()
        # Some providers forget [DONE]; one that has said why it finished was not cut off.
        if not finished and not any(_is_last(c) for c in rest.chunks):
            raise errors.UpstreamFailed(self.name, "broke off its answer")

    async def _end(self, response: aiohttp.ClientResponse) -> None:
        """Reads the end that follows `[DONE]`, so that the connection can be used again; nobody waits long for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await response.content.readany()

    def _parsed(self, payloads: Sequence[bytes]) -> tuple[Events, errors.UpstreamFailed | None]:
        """The payloads, parsed, up to the first that is no chunk or is an error, and what is to be raised for it.

        It is not raised here: what came before it in the same read was said, and is not lost.
        """
        chunks: list[dict[str, Any]] = []
        fault = None
        for payload in payloads:
            try:
                chunk = json.loads(payload)
            except (ValueError, RecursionError):
                fault = errors.UpstreamFailed(self.name, "sent something that is not JSON")
                break
            if not isinstance(chunk, dict):
                fault = errors.UpstreamFailed(self.name, "sent something that is not an event")
                break
            if chunk.get("error"):
                fault = errors.UpstreamFailed(self.name, f"failed: {self._said(chunk)[0]}")
                break
            chunks.append(chunk)
        return Events(list(payloads[: len(chunks)]), chunks), fault

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        """A response with status 200. Raises UpstreamError for others."""
        response = await self._connected().post(self._url, data=body, headers=self._headers)
        self.meter.responded(response.status, response.headers)
        if response.status == 200:
            return response
        try:
            raise await self._refusal(response)
        finally:
            response.close()

    def _fault(self, error: BaseException) -> errors.UpstreamError:
        """What went wrong on the way, without the transport's words: they name addresses."""
        if isinstance(error, TimeoutError):
            self.meter.failed("timeout")
            return errors.UpstreamTimeout(self.name)
        if isinstance(error, aiohttp.ClientConnectorError):
            self.meter.failed("unreachable")
            return errors.UpstreamFailed(self.name, "cannot be reached")
        self.meter.failed("broken")
        if isinstance(error, EventTooLong):
            return errors.UpstreamFailed(self.name, "sent an event that is too long")
        return errors.UpstreamFailed(self.name, "broke the connection")

    def _connected(self) -> aiohttp.ClientSession:
        """The session; made on first use, because it belongs to the running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=75, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=True,
            )
        return self._session

    async def _refusal(self, response: aiohttp.ClientResponse) -> errors.UpstreamError:
        """The error that a status stands for."""
        status = response.status
        if status in (401, 403):
            return errors.UpstreamUnauthenticated(self.name)
        if status == 429:
            return errors.UpstreamRateLimited(self.name, retry_after(response.headers.get("Retry-After", "")))
        if status in REJECTIONS:
            try:
                said = json.loads(await response.content.read(MAX_ERROR))
            except ValueError:
                said = {}
            return errors.UpstreamRejected(self.name, *self._said(said))
        return errors.UpstreamFailed(self.name, f"answered with status {status}")

    def _said(self, body: Any) -> tuple[str, str]:
        """What an error's body says, and which parameter it blames; without our key, which some providers repeat."""
        error = body.get("error") if isinstance(body, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        param = error.get("param") if isinstance(error, dict) else None
        text = message[:500] if isinstance(message, str) and message else "no reason given"
        if self._secret:
            text = text.replace(self._secret, "[key]")
        return text, param[:200] if isinstance(param, str) else ""

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def _is_last(chunk: Mapping[str, Any]) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(isinstance(c, dict) and c.get("finish_reason") for c in choices)


def retry_after(value: str) -> float | None:
    """Seconds that a Retry-After header names, as a number or a date; None where it is neither."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


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
        self._providers = [Provider(s) for s in settings]
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

    async def complete(self, request: UpstreamRequest) -> bytes:
        """The answer of the first provider that gives one: a chat completion in JSON. Raises UpstreamError."""
        attempts = Attempts(self._offers[request.model])
        while True:
            provider = attempts.provider
            try:
                body = request.body(provider.models[request.model])
                answer, data = completion(provider.name, await provider.complete(body))
                provider.meter.used(request.model, answer.get("usage"))
                return data
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


def completion(provider: str, data: bytes) -> tuple[dict[str, Any], bytes]:
    """The answer where it is a chat completion, with what OpenAI's clients rely on filled in: parsed, and its bytes.

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
        return answer, data
    filled = {"id": new_id(), "object": "chat.completion", "created": int(time.time()), "model": "", **answer}
    return filled, json.dumps(filled, ensure_ascii=False).encode()


def new_id() -> str:
    """An id for a chat completion."""
    return f"chatcmpl-{random.getrandbits(96):024x}"
