"""What a running stack leaves on disk for others to see: one JSON file, replaced as a whole, and the log files."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from deploy.local import processes
from deploy.local.reaper import kill_group


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds this state folder; the message names it."""


@dataclasses.dataclass
class ComponentState:
    """A component as last written down."""

    name: str
    """Its name."""
    port: int
    """The port that it serves on."""
    pid: int = 0
    """Its process, which leads a group of its own; 0 while it does not run."""
    started: int = 0
    """When that process started, in clock ticks since boot."""
    ready: bool = False
    """Whether it was seen ready since."""
    restarts: int = 0
    """How often it ended unasked and was started again."""


@dataclasses.dataclass
class StackState:
    """A stack as last written down."""

    pid: int
    """The supervisor."""
    started: int
    """When it started, in clock ticks since boot."""
    url: str
    """Base URL of the gateway."""
    components: list[ComponentState]
    """Its components, in order of their start."""

    @property
    def supervised(self) -> bool:
        """Whether the supervisor still runs."""
        return processes.alive(self.pid, self.started)

    def kill(self) -> None:
        """Kills whatever still runs of the components."""
        for component in self.components:
            if component.pid:
                kill_group(component.pid, component.started)


def state_file(folder: Path) -> Path:
    """Where a state folder keeps the description of its running stack."""
    return folder.resolve() / "run" / "state.json"


def log_file(folder: Path, component: str) -> Path:
    """Where a component's output goes."""
    return folder.resolve() / "logs" / f"{component}.log"


def read(folder: Path) -> StackState | None:
    """The stack of a state folder; None when none was started, or it was stopped in order."""
    try:
        values = json.loads(state_file(folder).read_text())
    except FileNotFoundError:
        return None
    return StackState(**{**values, "components": [ComponentState(**c) for c in values["components"]]})


def write(folder: Path, state: StackState) -> None:
    """Replaces the description."""
    target = state_file(folder)
    draft = target.with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(state)))
    draft.replace(target)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a state folder for one supervisor; the lock goes with the process, however it ends.

    Raises:
        AlreadyRunningError: Another one holds it.
    """
    for name in ("run", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = read(folder)
            who = f"pid {running.pid}, {running.url}" if running else "it is just starting"
            raise AlreadyRunningError(
                f"A stack with its state in {folder} is running already ({who}). Stop it with `parley down`."
            ) from None
        yield
    finally:
        os.close(descriptor)
