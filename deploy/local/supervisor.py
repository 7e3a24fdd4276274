"""Starts components in their order, keeps them running, and stops them: one thread, one loop, no dependencies."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from deploy.local import logs, processes, state
from deploy.local.components import Component
from deploy.local.settings import StackSettings

Kind = Literal["starting", "ready", "up", "exited", "restarting", "stopping", "stopped"]
START_POLL, IDLE_POLL = 0.05, 0.5
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0
STABLE_SECONDS = 60.0


class Event(NamedTuple):
    """Something that happened to a stack, for a live display."""

    kind: Kind
    """What happened."""
    component: str
    """To which component; empty for the stack as a whole."""
    seconds: float
    """When, in seconds since the supervisor started."""
    detail: str = ""
    """More, in words."""


OnEvent = Callable[[Event], None]


class StartError(RuntimeError):
    """A component did not become ready; the message says in one line which, why and where its log is."""


class Supervised:
    """A component and its process.

    Args:
        component: What to run.
        settings: The stack's settings.
    """

    def __init__(self, component: Component, settings: StackSettings) -> None:
        self.component = component
        self.state = state.ComponentState(component.name, component.port)
        self.process: subprocess.Popen[bytes] | None = None
        self.next_start = 0.0
        self.since = 0.0
        self._failures = 0
        self._settings = settings

    def start(self, now: float) -> None:
        """Starts the process."""
        component = self.component
        log = state.log_file(self._settings.state, component.name)
        environment = {**os.environ, **component.environment}
        self.process = processes.spawn(component.command, environment, log, component.folder)
        self.since = now
        self.state.pid, self.state.started = self.process.pid, processes.start_time(self.process.pid)
        self.state.ready = False

    def exited(self, now: float) -> str:
        """Says how the process ended and schedules the next start; empty while it runs."""
        if self.process is None or (code := self.process.poll()) is None:
            return ""
        # What it had started must not outlive it, or the next one finds its ports taken.
        processes.end([self.process], 0)
        self.process, self.state.pid, self.state.ready = None, 0, False
        self._failures = 0 if now - self.since > STABLE_SECONDS else self._failures + 1
        self.next_start = now + min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** max(0, self._failures - 1))
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def fault(self, what: str) -> str:
        """One line about a failed start: what happened, the log's last words, where the log is."""
        log = state.log_file(self._settings.state, self.component.name)
        return f"{self.component.name} {what}: {logs.last_words(log) or 'it wrote nothing'} (log: {log})"


class Supervisor:
    """Runs components until told to stop.

    Args:
        settings: The stack's settings.
        components: What to run, in order.
        on_event: Hears of everything that happens, in the supervisor's thread.
    """

    def __init__(self, settings: StackSettings, components: Sequence[Component], on_event: OnEvent) -> None:
        self._settings = settings
        self._all = [Supervised(component, settings) for component in components]
        self._on_event = on_event
        self._began = time.monotonic()
        self._up = False
        self._stop = threading.Event()
        pid = os.getpid()
        self._state = state.StackState(pid, processes.start_time(pid), settings.url, [each.state for each in self._all])

    def stop(self) -> None:
        """Makes `run` stop everything and return. May be called from a signal handler or another thread."""
        self._stop.set()

    def run(self) -> None:
        """Starts everything, keeps it running, and stops it when told.

        Raises:
            StartError: A component ended or took too long before all were ready. Everything is stopped by then.
        """
        reaper = processes.start_reaper(state.state_file(self._settings.state))
        try:
            self._write()
            while not self._stop.is_set():
                self._tick()
                self._stop.wait(IDLE_POLL if self._up else START_POLL)
        finally:
            self._end()
            state.state_file(self._settings.state).unlink(missing_ok=True)
            assert reaper.stdin is not None
            reaper.stdin.close()
            reaper.wait()

    def _tick(self) -> None:
        """Looks at every component once."""
        ready = {each.component.name for each in self._all if each.state.ready}
        for each in self._all:
            now = time.monotonic()
            if each.process is None:
                if now >= each.next_start and (self._up or ready.issuperset(each.component.after)):
                    each.start(now)
                    self._tell("starting", each)
            elif ended := each.exited(now):
                self._ended(each, ended)
            elif not each.state.ready:
                self._look(each, now)
        if not self._up and all(each.state.ready for each in self._all):
            self._up = True
            self._emit("up", "", self._state.url)

    def _look(self, each: Supervised, now: float) -> None:
        """Asks a component that is starting whether it is ready."""
        if each.component.probe():
            each.state.ready = True
            self._tell("ready", each)
        elif now - each.since > self._settings.start_seconds:
            what = f"was not ready within {self._settings.start_seconds:g} s"
            if not self._up:
                raise StartError(each.fault(what))
            assert each.process is not None
            processes.end([each.process], self._settings.stop_seconds)

    def _ended(self, each: Supervised, ended: str) -> None:
        """A component ended unasked."""
        if not self._up:
            raise StartError(each.fault(ended))
        each.state.restarts += 1
        self._tell("exited", each, each.fault(ended))
        self._tell("restarting", each, f"in {each.next_start - time.monotonic():.1f} s")

    def _end(self) -> None:
        """Stops everything, the highest stage first."""
        for stage in sorted({each.component.stage for each in self._all}, reverse=True):
            ending = [each for each in self._all if each.component.stage == stage and each.process is not None]
            for each in ending:
                self._emit("stopping", each.component.name)
                if each.component.drain is not None:
                    each.component.drain(self._settings.stop_seconds / 2)
            processes.end([each.process for each in ending if each.process is not None], self._settings.stop_seconds)
            for each in ending:
                each.process, each.state.pid, each.state.ready = None, 0, False
                self._tell("stopped", each)

    def _tell(self, kind: Kind, each: Supervised, detail: str = "") -> None:
        """Writes the state down and reports what happened to a component."""
        self._write()
        self._emit(kind, each.component.name, detail)

    def _emit(self, kind: Kind, component: str, detail: str = "") -> None:
        """Reports what happened."""
        self._on_event(Event(kind, component, time.monotonic() - self._began, detail))

    def _write(self) -> None:
        """Writes the state down."""
        state.write(self._settings.state, self._state)
