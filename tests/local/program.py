"""Components for the supervisor's tests: small real programs, among them a gRPC server on the chassis.

The functions at the end make components out of a stack's settings, as `deploy.local.components.mesh` does.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from deploy.local import ports
from deploy.local.components import Component
from deploy.local.probes import grpc_serving, http_ready
from deploy.local.settings import StackSettings

# Serves HTTP on its port; starts a child of its own, as Triton does, which ignores requests to end.
PROGRAM = textwrap.dedent(
    """
    import http.server, os, signal, subprocess, sys
    subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
    print("serving", sys.argv[1], os.environ.get("GREETING", ""), flush=True)
    handler = http.server.SimpleHTTPRequestHandler
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
    """
)


def web(name: str, port: int, folder: Path, *, stage: int = 0, after: tuple[str, ...] = ()) -> Component:
    """A program that serves HTTP and has a stubborn child."""
    return Component(
        name=name,
        command=[sys.executable, "-c", PROGRAM, str(port)],
        environment={"GREETING": f"from {name}"},
        port=port,
        probe=http_ready(port, "/"),
        after=after,
        stage=stage,
        folder=folder,
    )


def two(settings: StackSettings) -> list[Component]:
    """A program, and another that waits for it."""
    first, second = ports.free(2)
    state = settings.state.resolve()
    return [web("first", first, state), web("second", second, state, stage=1, after=("first",))]


def grpc_service(settings: StackSettings) -> list[Component]:
    """The gateway tests' services: gRPC health decides when they are ready."""
    [port] = ports.free(1)
    return [
        Component(
            name="scripted",
            command=[sys.executable, "-m", "tests.gateway.scripted", f"127.0.0.1:{port}"],
            environment={},
            port=port,
            probe=grpc_serving(port, ["parley.chat.v1.ChatService", "parley.sql.v1.SqlService"]),
        )
    ]


def broken(settings: StackSettings) -> list[Component]:
    """A program that runs, and one that fails with an error."""
    failing = Component(
        name="broken",
        command=[sys.executable, "-c", "import time; time.sleep(0.3); raise OSError('the disk is full')"],
        environment={},
        port=0,
        probe=lambda: False,
    )
    return [*two(settings), failing]


def slow(settings: StackSettings) -> list[Component]:
    """A program that is never ready."""
    program = 'import time; print(\'{"event": "waiting for dependency"}\', flush=True); time.sleep(600)'
    command = [sys.executable, "-c", program]
    return [Component(name="slow", command=command, environment={}, port=0, probe=lambda: False)]
