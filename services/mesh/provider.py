"""One OpenAI-compatible provider and its pool of connections.

This module moves bytes; what is in them is the business of the services. It is loaded where a provider is configured:
its HTTP client takes 5 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import yarl

from services.mesh import provider_errors as errors
from services.mesh.provider_metrics import ProviderMeter
from services.mesh.provider_settings import ProviderSettings
from services.mesh.sse import DONE, EventParser, EventTooLong

# Largest JSON answer that is taken from a provider, in bytes.
MAX_ANSWER = 32 << 20
# What is read of an error's body, in bytes.
MAX_ERROR = 64 << 10
# Longest wait for the end of a stream after its last event, in seconds.
END_SECONDS = 0.05
# Statuses that say the request is wrong, wherever it goes.
REJECTIONS = frozenset({400, 409, 413, 415, 422})
# What the connection to a provider can raise.
FAULTS = (TimeoutError, EventTooLong, aiohttp.ClientError, OSError)


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
