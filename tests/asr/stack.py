"""A real Triton and a real asr service for tests."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local import ports
from deploy.local.triton import command
from services.asr.__main__ import compose
from services.asr.settings import AsrSettings
from services.mesh import server
from services.mesh.triton import Triton
from tests.conftest import ROOT
from triton_models.repository import SOURCE

SPEECH = ROOT.parent / "shared" / "data" / "speech"


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
        deadline = time.monotonic() + 30
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


@asynccontextmanager
async def serve_asr(triton: RealTriton, **settings: object) -> AsyncIterator[str]:
    """Serves asr on a Triton; yields host:port."""
    chosen = AsrSettings(triton_target=triton.target, drain_seconds=1, **settings)  # type: ignore[arg-type]  # by name
    client = Triton(triton.target)
    async with server.running(chosen, compose(chosen, client)) as address:
        yield address
    await client.close()
