"""A real Triton for tests."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from deploy.local import ports
from deploy.local.triton import command
from triton_models.repository import SOURCE


class RealTriton:
    """A Triton that a test may kill and start again.

    Args:
        models: What it serves.
        state: Its folder.
        parameters: For the models.
        source: The folder that holds the models.
    """

    def __init__(
        self, models: list[str], state: Path, parameters: dict[str, str] | None = None, source: Path = SOURCE
    ) -> None:
        self._models, self._state, self._parameters, self._source = models, state, parameters, source
        self.http, self.grpc, self.metrics = ports.free(3)
        self.log = state / "triton.log"

    @property
    def target(self) -> str:
        """Its gRPC address."""
        return f"127.0.0.1:{self.grpc}"

    def start(self) -> None:
        """Starts it and waits until its models are loaded."""
        arguments, environment = command(
            self._source, self._models, self.http, self.grpc, self.metrics, self._state, parameters=self._parameters
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(arguments, env=environment, stderr=log, stdout=log)
        deadline = time.monotonic() + 180  # torch alone takes some seconds to import
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/health/ready", timeout=2):
                    return
            except OSError:
                time.sleep(0.03)
        raise AssertionError(self.log.read_text()[-2000:])

    def kill(self) -> None:
        """Ends it the hard way."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
