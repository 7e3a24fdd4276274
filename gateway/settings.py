"""What a gateway can be told, from environment variables PARLEY_GATEWAY_….

With the standard library alone: the supervisor of `parley up` fills Envoy's folder, and shall stay small.
"""

from __future__ import annotations

import dataclasses
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "PARLEY_GATEWAY_"


class SettingsError(ValueError):
    """A setting does not fit; the message names the variable and says why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{PREFIX}{field.upper()}: {why}")


@dataclasses.dataclass(frozen=True)
class Issuer:
    """Somebody else whose tokens (JWT) are let through to services/identity."""

    issuer: str
    """The claim `iss` of its tokens."""
    jwks_uri: str
    """Where its keys are; https, or http on loopback."""
    audiences: tuple[str, ...]
    """What `aud` has to hold one of: the name that this deployment has there."""


@dataclasses.dataclass(frozen=True)
class GatewaySettings:
    """Settings of the gateway. Lists are JSON in the environment."""

    tls_certificate_file: Path | None = None
    """The gateway's certificate for clients, PEM, with whatever is between it and their authorities. With it the port
    speaks TLS alone. Files that are replaced, by renaming others over them, are read anew. Empty: plaintext."""
    tls_key_file: Path | None = None
    """The private key of that certificate, PEM, without a password."""
    hsts_seconds: int = 31_536_000
    """With TLS: for how long browsers shall not ask in plaintext (Strict-Transport-Security), in seconds. 0: not
    said."""
    mesh_certificate_file: Path | None = None
    """The certificate that the gateway shows to the services, PEM. With it calls to them are TLS, and each has to show
    one with its own name (`chat`, `identity`, …). Read anew when replaced. Empty: plaintext."""
    mesh_key_file: Path | None = None
    """The private key of that certificate, PEM."""
    mesh_ca_file: Path | None = None
    """The authority that signed the certificates of the services, PEM."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the gateway from a browser, e.g. `["https://chat.example.com"]`; `["*"]`: all. They
    need a credential as everybody does."""
    requests_per_second: int = 5000
    """Requests that one address (IPv6: one network, /64) may make in a second, twice as many at once; more are answered
    with 429, before anybody is asked who it is."""
    max_connections: int = 10_000
    """Connections that are open at once; more are closed as they come."""
    max_connections_per_address: int = 1000
    """Connections that one address (IPv6: one network, /64) has open at once; more are closed as they come. 0: as many
    as it likes. Behind a proxy (`trusted_hops`) nothing is counted: all its clients come from its address."""
    trusted_hops: int = 0
    """Proxies before the gateway that add to x-forwarded-for. The client's address is taken from there: set it behind a
    load balancer, or all clients count as one address. More than there are lets clients say who they are."""
    issuer: str = ""
    """What identity calls itself in tokens (PARLEY_IDENTITY_ISSUER). Empty: only identity looks at it."""
    otlp_endpoint: str = ""
    """OTLP/gRPC collector that spans go to, e.g. http://otel-collector:4317. Empty: traces are passed on, not
    recorded."""
    trace_percent: int = 100
    """With a collector: of the requests that bring no trace of their own, how many percent are recorded. One that does
    says itself whether it is."""
    issuers: tuple[Issuer, ...] = ()
    """Others whose tokens are let through: `[{"issuer": …, "jwks_uri": …, "audiences": […]}]`."""

    def __post_init__(self) -> None:
        """Raises SettingsError for what does not fit."""
        least_of = {"requests_per_second": 1, "max_connections": 1, "max_connections_per_address": 0, "trusted_hops": 0}
        for field, least in least_of.items():
            if getattr(self, field) < least:
                raise SettingsError(field, f"must be at least {least}")
        if not 0 <= self.trace_percent <= 100:
            raise SettingsError("trace_percent", "must be from 0 to 100")
        collector = urlsplit(self.otlp_endpoint)
        if self.otlp_endpoint and (collector.scheme not in ("http", "https") or not collector.hostname):
            raise SettingsError("otlp_endpoint", f"{self.otlp_endpoint!r} is no URL such as http://otel-collector:4317")
        if self.hsts_seconds < 0:
            raise SettingsError("hsts_seconds", "must not be negative")
        self._fit("tls_certificate_file", "tls_key_file")
        self._fit("mesh_certificate_file", "mesh_key_file", "mesh_ca_file")
        for origin in self.cors_origins:
            parts = urlsplit(origin)
            if origin != "*" and (not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}"):
                raise SettingsError("cors_origins", f"{origin!r} is no origin such as https://chat.example.com")
        for other in self.issuers:
            parts = urlsplit(other.jwks_uri)
            loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
            if not parts.hostname or (parts.scheme != "https" and not loopback):
                raise SettingsError("issuers", f"{other.jwks_uri!r} is no https URL")
            if not other.issuer or not other.audiences:
                # Tokens that are meant for somebody else would do.
                raise SettingsError("issuers", "each needs an issuer and at least one audience")

    def _fit(self, certificate: str, key: str, authority: str = "") -> None:
        """Says that files of a certificate are missing or do not belong together."""
        names = [name for name in (certificate, key, authority) if name]
        files = {name: getattr(self, name) for name in names}
        if not any(files.values()):
            return
        for name, file in files.items():
            if file is None:
                raise SettingsError(name, f"is needed too: {', '.join(names)} go together")
        for name, file in files.items():
            if not file.is_file():
                raise SettingsError(name, f"{file} is no file")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_cert_chain(files[certificate], files[key])
        except OSError as error:
            raise SettingsError(certificate, f"it and its key do not fit together: {error}") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> GatewaySettings:
        """The settings that the environment says; the default for what it does not, or leaves empty.

        Raises:
            SettingsError: One does not fit.
        """
        given = os.environ if environment is None else environment
        values = {}
        for field in dataclasses.fields(cls):
            text = given.get(f"{PREFIX}{field.name.upper()}", "")
            if text:
                values[field.name] = _read(field.name, text, field.default)
        return cls(**values)


def _read(field: str, text: str, default: object) -> Any:
    """A value from its text, which is as its default is. Raises SettingsError."""
    try:
        if default is None:
            return Path(text).resolve()
        if isinstance(default, int):
            return int(text)
        if isinstance(default, str):
            return text
        listed = json.loads(text)
        if not isinstance(listed, list):
            raise SettingsError(field, "must be a JSON list")
        if field == "issuers":
            return tuple(Issuer(**{**item, "audiences": tuple(item["audiences"])}) for item in listed)
        return tuple(map(str, listed))
    except (TypeError, KeyError) as error:
        raise SettingsError(field, f"an entry does not fit: {error}") from None
    except json.JSONDecodeError as error:
        raise SettingsError(field, f"is not JSON: {error}") from None
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(field, f"{text!r} is no number") from None
