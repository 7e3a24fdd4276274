"""Starts, stops and describes a stack: what `parley up`, `down`, `status` and `logs` call.

up(settings, on_event)         runs in this process until SIGINT or SIGTERM
detach(settings, on_event)     starts a process of its own that does, and returns when the stack is up
down(state)                    stops whatever runs, and whatever a killed supervisor left
status(state)                  what runs
log_lines(state, component)    what it wrote
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from deploy.local import logs, ports, processes, state
from deploy.local.components import LOOPBACK, Component
from deploy.local.settings import StackSettings
from deploy.local.supervisor import Event, OnEvent, StartError, Supervisor

DOWN_SECONDS = 60.0
SUPERVISOR = "supervisor"


class UnknownComponentError(ValueError):
    """No component of that name has a log; the message names those that have."""


class ComponentStatus(NamedTuple):
    """A component now."""

    name: str
    """Its name."""
    running: bool
    """Whether its process runs."""
    ready: bool
    """Whether it has been ready since its start."""
    pid: int
    """Its process; 0 while it does not run."""
    port: int
    """The port that it serves on."""
    uptime: float
    """Seconds since its start; 0 while it does not run."""
    memory: int
    """Bytes that it and what it started hold (PSS)."""
    restarts: int
    """How often it ended unasked and was started again."""


class StackStatus(NamedTuple):
    """A stack now."""

    running: bool
    """Whether its supervisor runs. Where it does not, components listed as running are leftovers for `down`."""
    pid: int
    """The supervisor; 0 where there is none."""
    url: str
    """Base URL of the gateway."""
    memory: int
    """Bytes that the supervisor and all components hold (PSS)."""
    components: list[ComponentStatus]
    """Its components."""


def up(settings: StackSettings, on_event: OnEvent) -> None:
    """Runs a stack in this process, which must be in its main thread, until SIGINT or SIGTERM; then stops it.

    Raises:
        deploy.local.ports.PortTakenError: A port is in use; nothing was started.
        deploy.local.state.AlreadyRunningError: The state folder is another stack's.
        deploy.local.supervisor.StartError: A component failed to start; everything is stopped again.
        gateway.config.EnvoyMissingError: Envoy is not installed.
    """
    # Conversations, logs and secrets are nobody else's business; what is started here inherits this.
    os.umask(0o077)
    settings.state.mkdir(parents=True, exist_ok=True)
    with state.held(settings.state):
        left = state.read(settings.state)
        if left is not None:
            left.kill()
        ports.require(settings.host, settings.port, "--port")
        ports.require(LOOPBACK, settings.admin_port, "--admin-port")
        components = _components(settings)
        for component in components:
            logs.rotate(state.log_file(settings.state, component.name))
        supervisor = Supervisor(settings, components, on_event)
        with _stopping(supervisor.stop):
            supervisor.run()


def _components(settings: StackSettings) -> list[Component]:
    """What the settings say to supervise."""
    module, _, function = settings.components.partition(":")
    made: list[Component] = getattr(importlib.import_module(module), function)(settings)
    return made


@contextlib.contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` when this process is told to end, while the block runs."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def detach(settings: StackSettings, on_event: OnEvent) -> int:
    """Starts a process that runs a stack on its own, and returns its pid when the stack is up.

    Raises:
        deploy.local.supervisor.StartError: It could not be started; the message says why, as `up` would.
    """
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = state.log_file(settings.state, SUPERVISOR)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", settings.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout as told:
        for line in told:
            record = json.loads(line)
            if "error" in record:
                process.wait()
                raise StartError(record["error"])
            event = Event(**record)
            on_event(event)
            if event.kind == "up":
                # It goes on by itself: the object must not complain of a child that nobody waits for.
                process.returncode = 0
                return process.pid
    process.wait()
    raise StartError(f"the supervisor {logs.last_words(log) or 'ended'} (log: {log})")


def down(folder: Path) -> bool:
    """Stops the stack of a state folder, with whatever a killed supervisor left; returns whether there was any."""
    running = state.read(folder)
    if running is None:
        return False
    if running.supervised:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        while running.supervised and time.monotonic() < deadline:
            time.sleep(0.05)
        if running.supervised:
            os.kill(running.pid, signal.SIGKILL)
    (state.read(folder) or running).kill()
    state.state_file(folder).unlink(missing_ok=True)
    return True


def status(folder: Path) -> StackStatus:
    """What runs of the stack of a state folder."""
    known = state.read(folder)
    if known is None:
        return StackStatus(False, 0, "", 0, [])
    components = [_component_status(component) for component in known.components]
    own = processes.memory([known.pid]) if known.supervised else 0
    total = own + sum(component.memory for component in components)
    return StackStatus(known.supervised, known.pid if known.supervised else 0, known.url, total, components)


def _component_status(known: state.ComponentState) -> ComponentStatus:
    """A component now."""
    running = processes.alive(known.pid, known.started)
    return ComponentStatus(
        name=known.name,
        running=running,
        ready=running and known.ready,
        pid=known.pid if running else 0,
        port=known.port,
        uptime=processes.uptime(known.started) if running else 0.0,
        memory=processes.memory(processes.group(known.pid)) if running else 0,
        restarts=known.restarts,
    )


def log_lines(
    folder: Path, component: str | None = None, *, lines: int = 50, follow: bool = False
) -> Iterator[logs.Line]:
    """The last lines that a component, or each, has written; then, if asked, what it writes from now on, without end.

    Raises:
        UnknownComponentError: There is no log of that name.
    """
    place = state.log_file(folder, SUPERVISOR).parent
    names = sorted(path.stem for path in place.glob("*.log"))
    if component is not None and component not in names:
        raise UnknownComponentError(f"No log of {component!r}; there are: {', '.join(names) or 'none'}.")
    return _lines(place, names if component is None else [component], lines, follow)


def _lines(place: Path, names: Sequence[str], lines: int, follow: bool) -> Iterator[logs.Line]:
    """The lines of these logs."""
    yield from logs.read(place, names, lines)
    if follow:
        yield from logs.follow(place, names)
