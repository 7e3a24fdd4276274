"""`parley up`, `down`, `status` and `logs` as the command line calls them, over real processes."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.local import logs, ports, processes, stack, state
from deploy.local.settings import StackSettings
from deploy.local.supervisor import Event, StartError, Supervisor
from tests.local.conftest import gone, groups, wait_for


def test_components_start_in_order_and_report(settings: StackSettings, events: list[Event]) -> None:
    assert [(event.kind, event.component) for event in events] == [
        ("starting", "first"),
        ("ready", "first"),
        ("starting", "second"),
        ("ready", "second"),
        ("up", ""),
    ]
    assert events[-1].detail == f"http://127.0.0.1:{settings.port}"
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)


def test_status_says_what_runs(settings: StackSettings, events: list[Event]) -> None:
    status = stack.status(settings.state)
    assert status.running
    assert status.url == f"http://127.0.0.1:{settings.port}"
    assert [component.name for component in status.components] == ["first", "second"]
    for component in status.components:
        assert component.running
        assert component.ready
        assert component.restarts == 0
        assert 0 < component.uptime < 60
        # Two interpreters each: the child is counted.
        assert 5_000_000 < component.memory < 200_000_000
        assert len(processes.group(component.pid)) == 2
    assert status.memory > sum(component.memory for component in status.components)


def test_down_stops_everything_and_the_state_folder_can_be_removed(
    settings: StackSettings, events: list[Event]
) -> None:
    leaders = groups(settings.state)
    assert len(leaders) == 2
    assert stack.down(settings.state)
    assert gone(leaders)
    assert not stack.down(settings.state)
    assert stack.status(settings.state) == stack.StackStatus(False, 0, "", 0, [])
    shutil.rmtree(settings.state)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(settings: StackSettings, events: list[Event], number: signal.Signals) -> None:
    leaders, supervisor = groups(settings.state), stack.status(settings.state).pid
    os.kill(supervisor, number)
    wait_for(lambda: gone(leaders), "the components' end")
    wait_for(lambda: state.read(settings.state) is None, "the supervisor's end")


def test_nothing_outlives_a_killed_supervisor(settings: StackSettings, events: list[Event]) -> None:
    leaders, supervisor = groups(settings.state), stack.status(settings.state).pid
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: gone(leaders), "the components' end", 5)
    assert not stack.status(settings.state).running
    # What it left behind hinders nobody.
    again: list[Event] = []
    stack.detach(settings, again.append)
    assert again[-1].kind == "up"


def test_down_reaches_what_a_killed_supervisor_left(settings: StackSettings, events: list[Event]) -> None:
    leaders, supervisor = groups(settings.state), stack.status(settings.state).pid
    for helper in Path("/proc").glob("[0-9]*/stat"):
        fields = helper.read_text().rpartition(")")[2].split() if helper.exists() else []
        if fields and int(fields[1]) == supervisor and int(helper.parent.name) not in leaders:
            os.kill(int(helper.parent.name), signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    assert stack.down(settings.state)
    wait_for(lambda: gone(leaders), "the components' end", 5)


def test_a_crashed_component_is_started_again(settings: StackSettings, events: list[Event]) -> None:
    first = stack.status(settings.state).components[0]
    os.kill(first.pid, signal.SIGKILL)

    def back() -> bool:
        now = stack.status(settings.state).components[0]
        return now.ready and now.pid != first.pid

    wait_for(back, "the restart")
    now = stack.status(settings.state).components
    assert (now[0].restarts, now[1].restarts) == (1, 0)
    assert now[0].port == first.port
    assert gone([first.pid])


def test_restarts_are_spaced_further_and_further(settings: StackSettings) -> None:
    broken = dataclasses.replace(settings, components="tests.local.program:two")
    with state.held(broken.state):
        happened: list[Event] = []
        supervisor = Supervisor(broken, stack._components(broken), happened.append)
        thread = threading.Thread(target=supervisor.run)
        thread.start()
        try:
            wait_for(lambda: bool(happened) and happened[-1].kind == "up", "up")

            def restarted(count: int) -> bool:
                return [event.kind for event in happened].count("restarting") == count

            for count in (1, 2, 3):
                pid = groups(broken.state)[0]
                os.kill(pid, signal.SIGKILL)
                wait_for(functools.partial(restarted, count), "a restart")
                wait_for(lambda: all(c.ready for c in stack.status(broken.state).components), "ready again")
        finally:
            supervisor.stop()
            thread.join()
    waits = [float(event.detail.split()[1]) for event in happened if event.kind == "restarting"]
    assert waits == [0.5, 1.0, 2.0]


def test_a_taken_port_is_named_before_anything_starts(settings: StackSettings) -> None:
    happened: list[Event] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.port))
        taken.listen()
        with pytest.raises(ports.PortTakenError) as caught:
            stack.up(settings, happened.append)
        with pytest.raises(StartError, match=f"Port {settings.port} is taken by "):
            stack.detach(settings, happened.append)
    message = str(caught.value)
    name = Path("/proc/self/comm").read_text().strip()
    assert message.startswith(
        f"Port {settings.port} is taken by {name} (pid {os.getpid()}). Choose another one with --port"
    )
    assert "\n" not in message
    assert happened == []
    assert not stack.status(settings.state).running


def test_the_admin_port_is_checked_too(settings: StackSettings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.admin_port))
        taken.listen()
        with pytest.raises(ports.PortTakenError, match="--admin-port"):
            stack.up(settings, lambda _event: None)


def test_a_second_stack_in_the_same_folder_is_refused(settings: StackSettings, events: list[Event]) -> None:
    other = dataclasses.replace(settings, port=ports.free(1)[0], admin_port=ports.free(1)[0])
    with pytest.raises(state.AlreadyRunningError, match=r"running already \(pid \d+, http.*`parley down`"):
        stack.up(other, lambda _event: None)
    with pytest.raises(StartError, match="running already"):
        stack.detach(other, lambda _event: None)
    assert stack.status(settings.state).running


def test_a_failed_start_says_what_why_and_where(settings: StackSettings) -> None:
    broken = dataclasses.replace(settings, components="tests.local.program:broken")
    happened: list[Event] = []
    with pytest.raises(StartError) as caught:
        stack.up(broken, happened.append)
    log = state.log_file(broken.state, "broken")
    assert str(caught.value) == f"broken ended with exit code 1: OSError: the disk is full (log: {log})"
    # What had started was stopped, in reverse order.
    stopped = [event.component for event in happened if event.kind == "stopped"]
    assert stopped[-1] == "first"
    assert stack.status(broken.state).components == []
    with pytest.raises(StartError, match="the disk is full"):
        stack.detach(broken, lambda _event: None)


def test_a_start_that_takes_too_long_fails(settings: StackSettings) -> None:
    slow = dataclasses.replace(settings, components="tests.local.program:slow", start_seconds=0.5)
    with pytest.raises(StartError, match=r"slow was not ready within 0.5 s: waiting for dependency \(log: "):
        stack.up(slow, lambda _event: None)


def test_readiness_of_a_grpc_service_is_its_health(settings: StackSettings) -> None:
    scripted = dataclasses.replace(settings, components="tests.local.program:grpc_service")
    happened: list[Event] = []
    stack.detach(scripted, happened.append)
    try:
        assert [event.kind for event in happened] == ["starting", "ready", "up"]
    finally:
        stack.down(scripted.state)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Traceback (most recent call last):\n  File x\nOSError: full\n", "OSError: full"),
        ('{"event": "listening"}\n{"event": "no database", "error": "locked"}\n', "no database: locked"),
        (
            "error: creating server: load failed\n\nAt:\n  <frozen importlib>(1): _find\n;\n",
            "error: creating server: load failed",
        ),
        ("one\ntwo\n\n---\n", "two"),
        ("", ""),
    ],
)
def test_the_last_words_of_a_log_tell_of_the_error(tmp_path: Path, written: str, said: str) -> None:
    log = tmp_path / "x.log"
    assert logs.last_words(log) == ""
    log.write_text(written)
    assert logs.last_words(log) == said


def test_logs_are_read_and_followed(settings: StackSettings, events: list[Event]) -> None:
    folder = settings.state
    [line] = [line for line in stack.log_lines(folder, "second") if "serving" in line.text]
    assert line.text.endswith("from second")
    assert {line.component for line in stack.log_lines(folder)} >= {"first", "second"}
    with pytest.raises(stack.UnknownComponentError, match="there are: first, second, supervisor"):
        stack.log_lines(folder, "third")
    following = stack.log_lines(folder, "first", lines=0, follow=True)

    def write() -> None:
        time.sleep(0.3)
        with state.log_file(folder, "first").open("a") as log:
            log.write("half of ")
            log.flush()
            time.sleep(0.3)
            log.write("a line\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert next(following).text == "half of a line"
    writer.join()


def test_settings_survive_the_way_to_another_process(settings: StackSettings) -> None:
    full = dataclasses.replace(settings, sqlite_root=Path("/data"), model_parameters={"a": "b"})
    assert StackSettings.from_json(full.to_json()) == full
    assert StackSettings.from_json(settings.to_json()) == settings


def test_the_supervisor_loads_nothing_heavy() -> None:
    heavy = ["grpc", "google.protobuf", "numpy", "asyncio", "pydantic", "rich"]
    command = f"import sys, deploy.local.__main__; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True, text=True).stdout
    assert out.strip() == "[]"


def test_nobody_else_may_read_what_a_stack_writes(settings: StackSettings, events: list[Event]) -> None:
    assert events
    assert settings.state.stat().st_mode & 0o077 == 0
    made = [path for path in settings.state.rglob("*") if path.parent.name in ("run", "data", "secrets")]
    assert made
    assert all(path.stat().st_mode & 0o077 == 0 for path in made), made
