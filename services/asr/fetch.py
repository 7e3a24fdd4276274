"""Fetches recordings from https and s3 URLs, and from nowhere that this deployment has not allowed.

A service that opens URLs for its callers can be made to open what only it can reach (server-side request forgery,
OWASP API7:2023). So hosts and buckets are on a list, names must resolve to public addresses, the address that was
checked is the one that is connected to, and every redirect is checked like the first URL.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import SplitResult, urlsplit

import fsspec

from services.mesh import hosts
from services.mesh.errors import FailedPrecondition, InvalidArgument, Unavailable

FIELD = "uri"
BUCKET = "s3://"
PIECE = 1 << 20


class SourceRefused(InvalidArgument):
    """The URL is not one that this deployment fetches from."""


class SourceFailed(FailedPrecondition):
    """The URL is allowed, and what is there cannot be fetched."""


class Fetcher:
    """Opens URLs.

    Args:
        allowed: Hosts for https, as services.mesh.hosts has them, and buckets for s3: `s3://bucket`. A host stands for
            port 443 where it names none.
        private: Whether hosts may be private addresses: for stores inside the own network. Loopback, link-local and
            the like have to be on the list themselves, besides.

    Raises:
        ValueError: An entry of the list is none of these.
    """

    def __init__(self, allowed: Sequence[str], *, private: bool = False) -> None:
        self._buckets = tuple(entry.lower() for entry in allowed if entry.lower().startswith(BUCKET))
        self._hosts = hosts.HostList((entry for entry in allowed if not entry.lower().startswith(BUCKET)), port=443)
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
        # A bucket's name is not one of a host: what stands for one does not allow the other.
        known = self._bucket(parts.netloc) if parts.scheme == "s3" else self._host(parts.hostname, port or 443)
        if not known:
            asked = f"{BUCKET}{parts.netloc}" if parts.scheme == "s3" else parts.netloc
            raise SourceRefused(
                FIELD,
                f"{asked} is not on this deployment's list of sources. Upload the recording instead, or ask its "
                "operator to add it (PARLEY_ASR_SOURCES).",
            )
        return parts

    def _bucket(self, name: str) -> bool:
        """Whether a bucket is on the list."""
        return any(fnmatchcase(f"{BUCKET}{name}".lower(), entry) for entry in self._buckets)

    def _host(self, host: str, port: int) -> bool:
        """Whether a host is on the list; raises SourceRefused where it is none, or an address that never is."""
        try:
            name = hosts.normal(host)
        except ValueError:
            raise SourceRefused(FIELD, "is no URL that is fetched from: write the host's name") from None
        address = hosts.address_of(name)
        if address is None:
            return self._hosts.names(name, port)
        if not self._reachable(name, port):
            raise SourceRefused(FIELD, f"{host} is not a public address, which is not fetched from")
        return self._hosts.names(name, port) or self._hosts.holds(address, port)

    def _reachable(self, address: str, port: int) -> bool:
        """Whether recordings may come from an IP address."""
        found = hosts.reached(ipaddress.ip_address(address))
        if hosts.special(found):
            return self._private and self._hosts.holds(found, port)
        return self._private or found.is_global

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

    def _https(self, url: str) -> AsyncGenerator[bytes, None]:
        from services.asr import fetch_https  # here: nobody else needs an HTTP client, 7 MB

        return fetch_https.pieces(url, self.check, self._reachable)

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
