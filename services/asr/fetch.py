"""Fetches recordings from https and s3 URLs, and from nowhere that this deployment has not allowed.

A service that opens URLs for its callers can be made to open what only it can reach (server-side request forgery,
OWASP API7:2023). So hosts and buckets are on a list, names must resolve to public addresses, the address that was
checked is the one that is connected to, and every redirect is checked like the first URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
import fsspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable

FIELD = "uri"
PIECE = 1 << 20
REDIRECTS = 3
CONNECT_SECONDS = 15
QUIET_SECONDS = 60
"""Longest wait for the next bytes."""
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which a retry makes sense."""


class SourceRefused(InvalidArgument):
    """The URL is not one that this deployment fetches from."""


class SourceFailed(FailedPrecondition):
    """The URL is allowed, and what is there cannot be fetched."""


class Fetcher:
    """Opens URLs.

    Args:
        allowed: Hosts for https and buckets for s3: `files.example.com`, `*.example.com`, `s3://bucket`, `host:8443`.
        private: Whether names may resolve to private addresses: for stores inside the own network.
    """

    def __init__(self, allowed: Sequence[str], *, private: bool = False) -> None:
        self._allowed = tuple(entry.lower() for entry in allowed)
        self._private = private

    def check(self, url: str) -> SplitResult:
        """Whether a URL may be fetched; nothing is opened. Raises SourceRefused."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise SourceRefused(FIELD, "is no URL. Give https://host/path or s3://bucket/key.") from None
        if parts.scheme not in ("https", "s3") or not parts.hostname or not parts.path.strip("/"):
            raise SourceRefused(FIELD, "must be https://host/path or s3://bucket/key")
        if parts.username is not None or parts.password is not None:
            raise SourceRefused(FIELD, "must hold no user and password. Use a signed URL.")
        if any(ord(char) <= 32 or ord(char) == 127 for char in url):
            raise SourceRefused(FIELD, "must hold no spaces and control characters; percent-encode them")
        if _address(parts.hostname) is not None and not self._reachable(parts.hostname):
            raise SourceRefused(FIELD, f"{parts.hostname} is not a public address, which is not fetched from")
        # A bucket's name is not one of a host: what stands for one does not allow the other.
        asked = f"s3://{parts.hostname}" if parts.scheme == "s3" else parts.hostname
        if port not in (None, 443):
            asked += f":{port}"
        if not any(fnmatchcase(asked.lower(), entry) for entry in self._allowed):
            raise SourceRefused(
                FIELD,
                f"{asked} is not on this deployment's list of sources. Upload the recording instead, or ask its "
                "operator to add it (PARLEY_ASR_SOURCES).",
            )
        return parts

    def _reachable(self, address: str) -> bool:
        """Whether recordings may come from an IP address."""
        return self._private or ipaddress.ip_address(address).is_global

    async def open(self, url: str) -> AsyncGenerator[bytes, None]:
        """The bytes behind a URL, piece by piece.

        Raises:
            SourceRefused: It, or where it leads to, is not allowed.
            SourceFailed: There is no such thing, or it may not be read.
            Unavailable: It cannot be reached now.
        """
        parts = self.check(url)
        pieces = self._s3(parts) if parts.scheme == "s3" else self._https(url)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _https(self, url: str) -> AsyncGenerator[bytes, None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=QUIET_SECONDS)
        # A context of its own: the library's was made on import, before anybody could say which authorities to trust.
        trust = ssl.create_default_context()
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(self._reachable), use_dns_cache=False, ssl=trust, force_close=True
        )
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
                for _ in range(REDIRECTS + 1):
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status in (301, 302, 303, 307, 308):
                            url = urljoin(url, answer.headers.get("location", ""))
                            if self.check(url).scheme != "https":
                                raise SourceRefused(FIELD, "leads away from https, which is not followed")
                            continue
                        _accept(answer.status)
                        async for piece in answer.content.iter_chunked(PIECE):
                            yield piece
                        return
            raise SourceFailed(f"The URL leads on more than {REDIRECTS} times. Give the one that it leads to.")
        except aiohttp.InvalidURL:
            raise SourceRefused(FIELD, "is no URL that is fetched from: write the host's name") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(refused := _cause(error), SourceRefused):
                raise refused from None
            raise Unavailable("The recording's server cannot be reached, or broke off.", retry_after=30) from error

    async def _s3(self, parts: SplitResult) -> AsyncGenerator[bytes, None]:
        try:
            file: Any = await asyncio.to_thread(fsspec.filesystem("s3").open, f"{parts.netloc}{parts.path}", "rb")
            try:
                while piece := await asyncio.to_thread(file.read, PIECE):
                    yield piece
            finally:
                await asyncio.to_thread(file.close)
        except FileNotFoundError:
            raise SourceFailed("There is no such object in the bucket.") from None
        except PermissionError:
            raise SourceFailed("The bucket does not let this service read the object.") from None
        except OSError as error:
            raise Unavailable("The object store cannot be reached, or broke off.", retry_after=30) from error


class _CheckedResolver(AbstractResolver):
    """Resolves names to addresses that may be reached: the connection goes to what was checked, not to a second answer.

    Args:
        reachable: Whether an address may be.
    """

    def __init__(self, reachable: Callable[[str], bool]) -> None:
        self._reachable = reachable
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        good = [one for one in found if self._reachable(one["host"])]
        if not good:
            raise _Refused(f"{host} is not a public address, which is not fetched from")
        return good

    async def close(self) -> None:
        await self._resolver.close()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is; None where it is a name."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    return None


class _Refused(OSError):
    """Carries a refusal through the client library, which lets only errors of the network pass."""


def _cause(error: BaseException) -> BaseException:
    """The refusal behind a client's error; else the error."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, _Refused):
            return SourceRefused(FIELD, str(inner))
        inner = inner.__cause__ or inner.__context__
    return error


def _accept(status: int) -> None:
    """Raises for an answer that is not the recording."""
    if status in BUSY:
        raise Unavailable(f"The recording's server answered {status}.", retry_after=30)
    if status != 200:
        raise SourceFailed(f"The recording's server answered {status}. Check the URL and whether it has expired.")
