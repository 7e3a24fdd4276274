"""Processes: started on a leash, asked after in /proc, ended with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.reaper import start_time as start_time

HERE = Path(__file__).resolve().parent
BARE_PYTHON = [sys.executable, "-I", "-S"]
TICKS = os.sysconf("SC_CLK_TCK")


def spawn(
    command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path | None
) -> subprocess.Popen[bytes]:
    """Starts a command in a session of its own, its output appended to `log`. It dies with this process.

    Args:
        command: What to execute.
        environment: All of its environment.
        log: File for its output.
        cwd: Folder that it runs in; this process's when None.
    """
    leashed = [*BARE_PYTHON, str(HERE / "leash.py"), str(os.getpid()), *command]
    with log.open("ab") as out:
        return subprocess.Popen(
            leashed,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def start_reaper(state_file: Path) -> subprocess.Popen[bytes]:
    """Starts what cleans up when this process is killed. Closing its standard input lets it go."""
    return subprocess.Popen(
        [*BARE_PYTHON, str(HERE / "reaper.py"), str(state_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def alive(pid: int, started: int) -> bool:
    """Whether the process that had this pid and start time still runs; a zombie does not."""
    if not pid or start_time(pid) != started:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def uptime(started: int) -> float:
    """Seconds since a start time as /proc gives it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / TICKS


def group(pid: int) -> list[int]:
    """The processes of the group that `pid` leads, those that have ended and only wait to be collected left out."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            status, _parent, leader = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(leader) == pid and status != "Z":
                members.append(int(entry.name))
    return members


def memory(pids: Sequence[int]) -> int:
    """Bytes of memory that processes hold, what they share with others counted in proportion (PSS)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def end(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Asks processes to end, all at once, waits, then kills what is left of their groups."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
