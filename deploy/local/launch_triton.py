"""Becomes Triton: works out its command and environment, then executes it in this process's place.

python -m deploy.local.launch_triton SETTINGS_JSON GRPC,METRICS
"""

from __future__ import annotations

import os
import sys

from deploy.local import triton
from deploy.local.settings import StackSettings
from triton_models import repository


def main(settings: StackSettings, grpc: int, metrics: int) -> None:
    """Executes Triton with the profile's models. Raises SystemExit with the reason where it cannot run here."""
    try:
        command, environment = triton.command(
            repository.SOURCE,
            repository.profile(settings.profile),
            None,
            grpc,
            metrics,
            settings.state / "run" / "triton",
            certificates=settings.certificate("triton"),
            parameters=settings.model_parameters,
            otlp_http_endpoint=settings.otlp_http_endpoint,
        )
    except (triton.TritonMissingError, FileNotFoundError, KeyError) as error:
        raise SystemExit(str(error.args[0])) from None
    os.execve(command[0], command, environment)  # noqa: S606 — no shell is the point


if __name__ == "__main__":
    main(StackSettings.from_json(sys.argv[1]), *(int(port) for port in sys.argv[2].split(",")))
