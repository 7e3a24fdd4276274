"""Settings: what every service has, and how they are read and printed.

One class for each service, filled from environment variables with the prefix PARLEY_<SERVICE>_. The docstring under a
field is its documentation, here, in `python -m services.<service> --help` and in the docs.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.mesh.certificates import CertificateError, Certificates


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, extra="ignore", env_ignore_empty=True)

    listen: str = "127.0.0.1:0"
    """Address that the gRPC server listens on, host:port. Port 0 picks a free one."""
    tls_certificate_file: Path | None = None
    """This process's certificate, PEM. With it the server talks TLS and wants a certificate from whoever connects, and
    so do the calls to other services, each of which has to show one for its host; with an address name@host:port, for
    that name. Files that change are read anew. Empty: plaintext."""
    tls_key_file: Path | None = None
    """The private key of that certificate, PEM, without a password."""
    tls_ca_file: Path | None = None
    """The authority that signed the certificates of the mesh, PEM: whoever has one may claim to act for anybody, so it
    must sign nothing else."""
    allow_plaintext: bool = False
    """Listen without certificates on other addresses than loopback. Whoever reaches the port may then claim to act for
    anybody: only where network policies or a service mesh decide who does."""
    health_listen: str = ""
    """Address of a second server, plaintext, which answers grpc.health.v1 and nothing else, host:port: for those who
    have no certificate, as kubelets. Empty: off; the first one answers it too."""
    max_connection_age_seconds: float = Field(default=300.0, ge=0)
    """After how long clients are asked to connect anew, in seconds, so that replicas that were added get their share.
    Calls in flight end where they are. 0: never."""
    metrics_listen: str = ""
    """Address of the Prometheus metrics endpoint, host:port. Empty: off."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """Least severe level that is logged: debug, info, warning or error."""
    otlp_endpoint: str = ""
    """OTLP/gRPC collector that traces go to, e.g. http://127.0.0.1:4317. Empty: traces are passed on, not recorded."""
    drain_seconds: float = Field(default=20.0, ge=0, le=3600)
    """How long calls in flight may go on after SIGTERM, in seconds."""
    max_message_bytes: int = Field(default=72 * 1024 * 1024, ge=1024, le=1 << 30)
    """Largest gRPC message that is accepted, in bytes."""

    @property
    def certificates(self) -> Certificates | None:
        """The files of the certificate; None for plaintext."""
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        return Certificates(*files) if all(files) else None  # type: ignore[arg-type]  # none of them is None

    @model_validator(mode="after")
    def _strangers_stay_outside(self) -> Self:
        """Says that half a certificate is none, and that plaintext is for this machine."""
        listen, certificate, key, authority, allow = (
            environment_name(type(self), field)
            for field in ("listen", "tls_certificate_file", "tls_key_file", "tls_ca_file", "allow_plaintext")
        )
        files = {certificate: self.tls_certificate_file, key: self.tls_key_file, authority: self.tls_ca_file}
        absent = [name for name, file in files.items() if file is None]
        if 0 < len(absent) < len(files):
            raise ValueError(f"{' and '.join(absent)} must be set too: certificate, key and authority go together")
        if absent and not self.allow_plaintext and not _is_loopback(self.listen):
            raise ValueError(
                f"{listen}={self.listen} would let whoever reaches it claim to act for anybody. Give {', '.join(files)}"
                f", or say {allow}=true where something else decides who reaches it"
            )
        return self


class ReportingSettings(ServiceSettings):
    """What a service can be told that has work to report."""

    identity_target: str = ""
    """Address of the identity service, host:port: hears what callers used, for reports and limits, and what they did,
    for the audit log. Empty: nobody does."""


def _is_loopback(address: str) -> bool:
    """Whether only this machine reaches a host:port."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listed(value: object) -> object:
    """A list as a variable has it: texts separated by commas, or JSON; for validators in mode `before`."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            # As the Helm chart writes lists. `[::1]:5432` is none.
            return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


S = TypeVar("S", bound=ServiceSettings)
SECRETS = "PARLEY_SECRETS_DIR"


def load(settings: type[S], arguments: Sequence[str] | None = None) -> S:
    """The settings from the environment, and from the files in the folder that PARLEY_SECRETS_DIR names, if any.

    A file there has a variable's name and holds its value, as a mounted Secret of Kubernetes does; a variable that is
    set goes first. With `--help` among the arguments it prints them all and exits with 0; where a value does not fit it
    says which variable is wrong and why, and exits with 2; so it does where the certificate cannot be used.
    """
    if {"--help", "-h"} & set(sys.argv[1:] if arguments is None else arguments):
        sys.stdout.write(describe(settings))
        raise SystemExit(0)
    try:
        made = settings(_secrets_dir=os.environ.get(SECRETS) or None)  # type: ignore[call-arg]  # of every BaseSettings
        if made.certificates is not None:
            made.certificates.load()
        return made
    except CertificateError as error:
        sys.stderr.write(f"{environment_name(settings, 'tls_certificate_file')}: {error}\n")
        raise SystemExit(2) from None
    except ValidationError as error:
        for fault in error.errors():
            name = environment_name(settings, str(fault["loc"][0])) if fault["loc"] else settings.__name__
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        raise SystemExit(2) from None


def environment_name(settings: type[ServiceSettings], field: str) -> str:
    """The variable that sets a field."""
    return (settings.model_config.get("env_prefix", "") + field).upper()


def describe(settings: type[ServiceSettings]) -> str:
    """All settings of a service as text: variable, default, documentation."""
    lines = [(settings.__doc__ or "").strip().splitlines()[0], ""]
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else f"default: {field.get_default(call_default_factory=True)!r}"
        lines += [f"{environment_name(settings, name)}  ({default})", f"    {field.description}"]
    return "\n".join(lines) + "\n"
