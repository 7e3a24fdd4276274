"""The supervisor in a process of its own: what `deploy.local.stack.detach` starts.

    python -m deploy.local SETTINGS_JSON

Says on standard output, a JSON object a line, what happens until the stack is up, or `{"error": …}`.
"""

from __future__ import annotations

import json
import os
import sys

from deploy.local import certificates, ports, stack, state, supervisor
from deploy.local.settings import StackSettings
from gateway import config
from gateway.settings import SettingsError

EXPECTED = (
    ports.PortTakenError,
    state.AlreadyRunningError,
    supervisor.StartError,
    certificates.CertificatesError,
    config.EnvoyMissingError,
    SettingsError,
)


def report(event: supervisor.Event) -> None:
    """Tells the starter, until the stack is up; after that the log."""
    sys.stdout.write(json.dumps(event._asdict(), ensure_ascii=False) + "\n")
    sys.stdout.flush()
    if event.kind == "up":
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main(settings: StackSettings) -> int:
    """Runs the stack; returns the exit code."""
    try:
        stack.up(settings, report)
    except EXPECTED as error:
        sys.stdout.write(json.dumps({"error": str(error)}, ensure_ascii=False) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(StackSettings.from_json(sys.argv[1])))
