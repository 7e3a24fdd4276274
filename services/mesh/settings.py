"""Settings: what every service has, and how they are read and printed.

One class for each service, filled from environment variables with the prefix PARLEY_<SERVICE>_. The docstring under a
field is its documentation, here, in `python -m services.<service> --help` and in the docs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True, extra="ignore", env_ignore_empty=True)

    listen: str = "127.0.0.1:0"
    """Address that the gRPC server listens on, host:port. Port 0 picks a free one. Plaintext: keep it on loopback."""
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


S = TypeVar("S", bound=ServiceSettings)
SECRETS = "PARLEY_SECRETS_DIR"


def load(settings: type[S], arguments: Sequence[str] | None = None) -> S:
    """The settings from the environment, and from the files in the folder that PARLEY_SECRETS_DIR names, if any.

    A file there has a variable's name and holds its value, as a mounted Secret of Kubernetes does; a variable that is
    set goes first. With `--help` among the arguments it prints them all and exits with 0; where a value does not fit it
    says which variable is wrong and why, and exits with 2.
    """
    if {"--help", "-h"} & set(sys.argv[1:] if arguments is None else arguments):
        sys.stdout.write(describe(settings))
        raise SystemExit(0)
    try:
        return settings(_secrets_dir=os.environ.get(SECRETS) or None)  # type: ignore[call-arg]  # of every BaseSettings
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
