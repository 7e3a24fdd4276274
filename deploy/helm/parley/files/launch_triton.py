"""Becomes Triton in a container: renders the model repository for this machine, then executes the server in its place.

What it is told comes from the environment, which the chart sets:
    PARLEY_TRITON_PROFILE       a profile of triton_models/profiles.toml
    PARLEY_TRITON_MODELS        the models of it to load, separated by commas; all when empty
    PARLEY_TRITON_PARAMETERS    values for the models' parameters, a JSON object
    PARLEY_TRITON_EXIT_SECONDS  how long inferences may go on after SIGTERM
    PARLEY_TRITON_TLS           a folder with tls.crt, tls.key and ca.crt; absent: plaintext
    PARLEY_TRITON_OTLP          an OTLP/HTTP collector of traces; absent: none
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Mapping

from triton_models import tracing
from triton_models.repository import TORCH_ENVIRONMENT, present, profile, render

REPOSITORY = pathlib.Path("/repository")


def models(environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The models to load and the values of their parameters.

    A model of the list whose weights are not there is left out, and said: Triton would not start with it. One that this
    image does not know is left out too, where the profile is a newer chart's.

    Raises:
        KeyError: There is no such profile.
    """
    parameters = {"environment": str(TORCH_ENVIRONMENT)}
    parameters |= {str(key): str(value) for key, value in json.loads(environment["PARLEY_TRITON_PARAMETERS"]).items()}
    known = profile(environment["PARLEY_TRITON_PROFILE"])
    wanted = [name for name in environment["PARLEY_TRITON_MODELS"].split(",") if name] or known
    loadable = present([name for name in wanted if name in known], parameters)
    for name in wanted:
        if name not in loadable:
            sys.stderr.write(
                f"{name} is not loaded: its weights are not in {parameters.get('model_directory', '')!r}, or the image "
                f"was built without {parameters['environment']}\n"
            )
    return loadable, parameters


def arguments(environment: Mapping[str, str], repository: pathlib.Path, loaded: list[str]) -> list[str]:
    """Triton's arguments. It listens on all interfaces: network policies say who reaches it."""
    flags = {
        "model-repository": repository,
        "model-control-mode": "explicit",
        "disable-auto-complete-config": None,
        "http-address": "0.0.0.0",
        "http-port": 8000,
        "grpc-address": "0.0.0.0",
        "grpc-port": 8001,
        "metrics-address": "0.0.0.0",
        "metrics-port": 8002,
        "exit-timeout-secs": environment["PARLEY_TRITON_EXIT_SECONDS"],
        "log-info": "false",
    }
    tls = environment.get("PARLEY_TRITON_TLS", "")
    if tls:
        flags |= {
            "grpc-use-ssl": "true",
            "grpc-use-ssl-mutual": "true",
            "grpc-server-cert": f"{tls}/tls.crt",
            "grpc-server-key": f"{tls}/tls.key",
            "grpc-root-cert": f"{tls}/ca.crt",
        }
    made = [f"--{name}" if value is None else f"--{name}={value}" for name, value in flags.items()]
    made += tracing.flags(environment.get("PARLEY_TRITON_OTLP", ""))
    return [*made, *(f"--load-model={name}" for name in loaded)]


def main(environment: Mapping[str, str], repository: pathlib.Path = REPOSITORY) -> None:
    """Executes Triton. Raises SystemExit where there is nothing to serve or no server."""
    loaded, parameters = models(environment)
    if not loaded:
        raise SystemExit("there is no model to load: are the weights where `modelCache` says?")
    server = shutil.which("tritonserver")
    if server is None:
        raise SystemExit("tritonserver is not on PATH: this is not the image of Triton")
    # In a folder of its own: the volume itself is not this user's to remove.
    rendered = render(loaded, repository / "models", parameters=parameters)
    command = [server, *arguments(environment, rendered, loaded)]
    os.execve(server, command, dict(environment))  # noqa: S606 — no shell is the point


if __name__ == "__main__":
    main(os.environ)
