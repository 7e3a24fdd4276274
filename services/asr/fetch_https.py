"""Fetches over https: redirects one by one, names resolved to addresses that are checked and then connected to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from urllib.parse import SplitResult, urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from services.asr.fetch import FIELD, PIECE, SourceFailed, SourceRefused
from services.mesh.errors import Unavailable

REDIRECTS = 3
CONNECT_SECONDS = 15
QUIET_SECONDS = 60
"""Longest wait for the next bytes."""
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which a retry makes sense."""


async def pieces(
    url: str, check: Callable[[str], SplitResult], reachable: Callable[[str, int], bool]
) -> AsyncGenerator[bytes, None]:
    """The bytes behind a URL, piece by piece.

    Args:
        url: With the scheme https; it was checked.
        check: Raises SourceRefused where a URL that it leads to may not be fetched.
        reachable: Whether recordings may come from an IP address and port.

    Raises:
        SourceRefused: Where it leads to is not allowed.
        SourceFailed: There is no such thing, or it may not be read.
        Unavailable: It cannot be reached now.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=QUIET_SECONDS)
    # A context of its own: the library's was made on import, before anybody could say which authorities to trust.
    trust = ssl.create_default_context()
    connector = aiohttp.TCPConnector(
        resolver=_CheckedResolver(reachable), use_dns_cache=False, ssl=trust, force_close=True
    )
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            for _ in range(REDIRECTS + 1):
                async with session.get(url, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308):
                        url = urljoin(url, answer.headers.get("location", ""))
                        if check(url).scheme != "https":
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


class _CheckedResolver(AbstractResolver):
    """Resolves names to addresses that may be reached: the connection goes to what was checked, not to a second answer.

    Args:
        reachable: Whether an address may be.
    """

    def __init__(self, reachable: Callable[[str, int], bool]) -> None:
        self._reachable = reachable
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        good = [one for one in found if self._reachable(one["host"], port)]
        if not good:
            raise _Refused(f"{host} is not a public address, which is not fetched from")
        return good

    async def close(self) -> None:
        await self._resolver.close()


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
