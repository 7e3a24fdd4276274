"""What the processes of a running stack hold and use, read from /proc while something happens."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import NamedTuple, Self

from deploy.local import processes, state

INTERVAL = 0.2
"""Seconds between two readings."""


class Reading(NamedTuple):
    """A component at one moment."""

    pss: int
    """Bytes that it holds, what it shares with others counted in proportion."""
    alone: int
    """Bytes that it would hold with nobody to share with, as in a pod: what it wrote to, and the files that the largest
    of its processes has mapped. The others of its processes have the same ones."""
    files: int
    """Bytes of the files that it has open below the folder of temporary ones, those without a name included."""
    cpu: float
    """Seconds of processor time since it started, ended children included."""


def read(leader: int, temporary: Path) -> Reading:
    """Reads the group of processes that `leader` leads; processes that end meanwhile count for nothing."""
    pss = written = mapped = 0
    cpu = 0.0
    files: dict[tuple[int, int], int] = {}
    for pid in processes.group(leader):
        with contextlib.suppress(OSError):
            place = Path("/proc", str(pid))
            held = _kilobytes(place / "smaps_rollup")
            pss += held["Pss"]
            written += held["Pss_Anon"] + held["Pss_Shmem"]
            mapped = max(mapped, _kilobytes(place / "status")["RssFile"])
            # user, system, and the same of children that were waited for: fields 14 to 17 of proc(5).
            cpu += sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:15])) / processes.TICKS
            files |= _open_files(place / "fd", temporary)
    return Reading(pss, written + mapped, sum(files.values()), cpu)


def _kilobytes(file: Path) -> dict[str, int]:
    """The sizes in a file of /proc, in bytes."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[2:] == ["kB"]}


def _open_files(descriptors: Path, below: Path) -> dict[tuple[int, int], int]:
    """The bytes that open files below a folder take, by device and inode."""
    found = {}
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):
            if descriptor.readlink().is_relative_to(below):
                status = descriptor.stat()
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return found


class Meter(threading.Thread):
    """Reads every component of a stack, again and again, while the block runs.

    Args:
        folder: The stack's state folder.
        temporary: Its folder for temporary files.
    """

    def __init__(self, folder: Path, temporary: Path) -> None:
        super().__init__(daemon=True)
        known = state.read(folder)
        assert known is not None, "no stack runs"
        self._leaders = {component.name: component.pid for component in known.components}
        self._temporary = temporary
        self._ended = threading.Event()
        self.readings: dict[str, list[Reading]] = {name: [] for name in self._leaders}
        """By component, in order."""
        self.seconds = 0.0
        """How long it was."""

    def run(self) -> None:
        """Reads until the block ends."""
        while not self._ended.wait(INTERVAL):
            self._read()

    def _read(self) -> None:
        for name, leader in self._leaders.items():
            self.readings[name].append(read(leader, self._temporary))

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._read()
        self.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self._ended.set()
        self.join()
        self._read()
        self.seconds = time.monotonic() - self._began

    def cpu(self, name: str) -> float:
        """Seconds of processor time that a component used."""
        return self.readings[name][-1].cpu - self.readings[name][0].cpu
