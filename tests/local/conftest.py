"""A stack of small programs, run by the real supervisor in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import processes, stack, state
from deploy.local.settings import StackSettings
from deploy.local.supervisor import Event
from tests.conftest import free_port

Start = Callable[..., list[Event]]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Returns when the condition holds; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def groups(folder: Path) -> list[int]:
    """The process groups that a running stack has recorded."""
    known = state.read(folder)
    return [] if known is None else [component.pid for component in known.components if component.pid]


def gone(leaders: list[int]) -> bool:
    """Whether nothing is left of these process groups."""
    return not any(processes.group(leader) for leader in leaders)


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    """Settings with ports of their own, for two small programs."""
    return StackSettings(
        state=tmp_path / "state",
        port=free_port(),
        admin_port=free_port(),
        start_seconds=15,
        stop_seconds=1,
        components="tests.local.program:two",
    )


@pytest.fixture
def events(settings: StackSettings) -> Iterator[list[Event]]:
    """The running stack's events up to now; stopped after the test."""
    happened: list[Event] = []
    stack.detach(settings, happened.append)
    try:
        yield happened
    finally:
        stack.down(settings.state)
