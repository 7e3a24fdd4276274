"""A model in a process of its own, with an interpreter of its own.

Triton's Python stub reads numpy arrays through the memory layout of numpy 1; under numpy 2 every output is empty and
every input repeats its first element. What needs numpy 2 (pyannote.audio) therefore cannot run inside a stub, whatever
environment the stub is given. And a stub that dies takes its deferred requests with it: their callers wait until their
deadlines. So a model that is large, or lives in another environment, runs in a worker: the stub holds the requests, and
when a worker dies its requests are told so at once, and the next one starts another.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from triton_models.shared.wire import Failure, Outcome, Tensors, pack, unpack

ROOT = Path(__file__).resolve().parents[2]
# Our code comes after the environment's own packages: installed, it lies among those of the other environment.
START = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module("triton_models.shared.worker_process", run_name="__main__", alter_sys=True)
"""
# Seconds between two looks at whether callers hung up, while the worker works: less than the shortest steps of work.
# Triton does not say it by itself, and to ask goes through its server: it takes no more than this share of the time.
POLL, LOOKING = 0.004, 0.05
# Meant for stubs: one thread for each of many instances, and where the stub's interpreter finds its modules.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LEFT_OUT = ("PYTHONHOME", "PYTHONPATH", *THREADS)


Part = Callable[[int, Tensors], None]
"""Takes a request's number and a part of what is said to it."""


class WorkerError(RuntimeError):
    """The worker could not start, or died; the message says which."""


class Worker:
    """Runs a model in a process; starts it when made, and again when it died and is needed.

    Args:
        model: `module:Class` of the model, imported by the worker; see `worker_process.Model`.
        parameters: What the class is made from. `threads` says how many the worker's libraries use on a CPU; without it
            that is for them to say.
        environment: Folder of the virtual environment whose interpreter runs the worker; empty for the running one.
            The parameter `lazy`, "true", has the process started with the first request instead.

    Raises:
        WorkerError: The model cannot be loaded.
    """

    def __init__(self, model: str, parameters: Mapping[str, str], environment: str = "") -> None:
        self._python = str(Path(environment) / "bin" / "python") if environment else sys.executable
        self._arguments = [model, json.dumps(dict(parameters))]
        self._threads = parameters.get("threads", "")
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self.state: Mapping[str, Any] = {}
        """What the model last said about itself (`worker_process.Telling`); empty while no process holds one."""
        if parameters.get("lazy") != "true":
            self._start()

    @property
    def pid(self) -> int:
        """The process that holds the model. Raises AssertionError while there is none."""
        assert self._process is not None
        return self._process.pid

    def run(
        self, inputs: Sequence[Tensors], cancelled: Sequence[Callable[[], bool]], part: Part | None = None
    ) -> list[Outcome]:
        """Answers requests together.

        Args:
            inputs: The tensors of each request.
            cancelled: For each request, whether its caller gave up; asked all the while.
            part: Takes what the model says to a request before its answer; None where nobody listens.

        Raises:
            WorkerError: the worker died, or does not start again; none of the requests has an answer.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        try:
            self._connection.send(("run", [pack(tensors) for tensors in inputs]))
            return self._hear(cancelled, part or (lambda _number, _tensors: None))
        except (EOFError, OSError):
            raise WorkerError(f"the worker died ({self._end()})") from None

    def close(self) -> None:
        """Ends the process for good, also while another thread waits for it in `run`, which then raises."""
        self._closed = True
        if process := self._process:
            process.kill()
            process.wait()

    def _hear(self, cancelled: Sequence[Callable[[], bool]], part: Part) -> list[Outcome]:
        """Waits for the answers, hands on what comes before them, and tells the worker meanwhile who gave up."""
        open_requests, pause = dict(enumerate(cancelled)), POLL
        while True:
            if self._connection.poll(pause):
                match self._connection.recv():
                    case ("part", number, packed):
                        part(number, unpack(packed))
                    case ("state", state):
                        self.state = state
                    case ("done", outcomes):
                        return [_outcome(kind, value) for kind, value in outcomes]
            began = time.monotonic()
            for number in [number for number, gone in open_requests.items() if gone()]:
                self._connection.send(("cancel", number))
                del open_requests[number]
            pause = max(POLL, (time.monotonic() - began) / LOOKING)

    def _start(self) -> None:
        if self._closed:
            raise WorkerError("the worker was closed")
        if self._process is not None:
            self._end()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [self._python, "-P", "-c", START, str(ROOT), str(theirs.fileno()), *self._arguments],
                pass_fds=[theirs.fileno()],
                env=_environment(self._threads),
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        try:
            failure = self._connection.recv()
        except EOFError:
            failure = "it died while it loaded the model"
        if failure:
            self._end()
            raise WorkerError(failure)

    def _end(self) -> str:
        """Lets the process go, and says how it went; closing its connection ends one that still runs."""
        assert self._process is not None
        process, self._process = self._process, None
        self.state = {}
        self._connection.close()
        try:
            status = process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        return f"signal {-status}" if status < 0 else f"exit {status}"


def _environment(threads: str) -> dict[str, str]:
    """The environment for a worker: this process's own, without what is meant for stubs."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    if threads:
        kept |= dict.fromkeys(THREADS, threads)
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}


def _outcome(kind: str, value: object) -> Outcome:
    return unpack(value) if kind == "ok" else Failure(kind, str(value))  # type: ignore[arg-type]  # as worker_process packs it
