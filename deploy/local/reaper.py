"""Cleans up after a supervisor that was killed outright.

A file of its own, run without site-packages:

    python -I -S reaper.py STATE_FILE

Its standard input is a pipe from the supervisor: end of file means that the supervisor is gone. Then every process
group that the state file records is killed. The leash kills the components themselves; what they started in turn
(Triton's Python backends) only this reaches.
"""

import json
import os
import signal
import sys


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none of that pid."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 — pathlib would double this process's memory
            return int(stat.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def kill_group(pid: int, started: int) -> None:
    """Kills the process group that `pid` led, unless the pid belongs to another process by now."""
    if start_time(pid) in (0, started):
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            return


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    try:
        with open(sys.argv[1]) as file:  # noqa: PTH123 — as above
            components = json.load(file)["components"]
    except (OSError, ValueError):
        # Stopped in order: the state file is gone.
        components = []
    for component in components:
        if component["pid"]:
            kill_group(component["pid"], component["started"])
