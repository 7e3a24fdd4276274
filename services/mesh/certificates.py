"""A process's certificate: it shows it to whoever it talks to, and wants one of the same authority from them.

The authority signs nothing but the components of one mesh. So whoever may connect is a component of it, and what a
component says about who is calling may be believed. Files that change are read anew: a certificate that was renewed
counts from the next connection on, and no process has to be started again.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import grpc

from services.mesh import telemetry

log = telemetry.get_logger(__name__)

T = TypeVar("T")

CHECK_SECONDS = 1.0
"""How often the files are looked at, at most."""


class CertificateError(ValueError):
    """Certificate, key and authority cannot be used together; the message names the file and what is wrong with it."""


class Loaded(NamedTuple):
    """What the files hold, in PEM."""

    certificate: bytes
    key: bytes
    authority: bytes


class Certificates(NamedTuple):
    """The files of a process."""

    certificate: Path
    """Its certificate, with whatever is between that and the authority."""
    key: Path
    """The private key of the certificate."""
    authority: Path
    """Certificates of the authority that signed those of all others."""

    def load(self) -> Loaded:
        """What the files hold now, which fits together. Raises CertificateError."""
        try:
            loaded = Loaded(*(file.read_bytes() for file in self))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._fit(context)
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error
        if loaded != Loaded(*(file.read_bytes() for file in self)):
            raise CertificateError(f"{self.certificate} and {self.key} are just being replaced")
        return loaded

    def _fit(self, context: ssl.SSLContext) -> None:
        """Raises CertificateError where the key is not that of the certificate, or a file is no PEM."""
        try:
            # A key that wants a password would ask for it on the terminal.
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except ssl.SSLError as error:
            raise CertificateError(f"{self.certificate} and {self.key} do not fit together: {error.reason}") from error
        try:
            context.load_verify_locations(self.authority)
        except ssl.SSLError as error:
            raise CertificateError(f"{self.authority} holds no certificate: {error.reason}") from error

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Differs after one of the files was replaced or written to. Raises OSError where one is away."""
        return tuple((found.st_ino, found.st_mtime_ns) for found in (file.stat() for file in self))


class Renewed(Generic[T]):
    """What is made of certificates, made anew after their files changed.

    Where the new files cannot be used, what there was goes on, and the log says so.

    Args:
        certificates: The files.
        make: Makes it.

    Raises:
        CertificateError: The files cannot be used.
    """

    def __init__(self, certificates: Certificates, make: Callable[[Loaded], T]) -> None:
        self._certificates = certificates
        self._make = make
        self.current = make(certificates.load())
        self._stamp = certificates.stamp()
        self._next_check = time.monotonic() + CHECK_SECONDS

    def renew(self) -> T | None:
        """What is made of the files where they have changed; None where they have not."""
        now = time.monotonic()
        if now < self._next_check:
            return None
        self._next_check = now + CHECK_SECONDS
        try:
            stamp = self._certificates.stamp()
            if stamp == self._stamp:
                return None
            self.current = self._make(self._certificates.load())
        except (OSError, CertificateError) as error:
            log.error("the new certificates cannot be used; the old ones are", error=str(error))
            return None
        self._stamp = stamp
        log.info("new certificates", certificate=str(self._certificates.certificate))
        return self.current


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """What a server needs to show its certificate, and to want one of whoever connects.

    Raises:
        CertificateError: The files cannot be used.
    """
    renewed = Renewed(certificates, _server_configuration)
    fetch: Any = renewed.renew  # The stubs do not know that it may give None, for no change.
    return grpc.dynamic_ssl_server_credentials(renewed.current, fetch, require_client_authentication=True)


def _server_configuration(loaded: Loaded) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(loaded.key, loaded.certificate)], loaded.authority)


def channel_credentials(loaded: Loaded) -> grpc.ChannelCredentials:
    """What a client needs for the same."""
    return grpc.ssl_channel_credentials(loaded.authority, loaded.key, loaded.certificate)
