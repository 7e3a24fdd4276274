"""How much memory there is: for weights that stay loaded, and for those who ask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

CGROUP = Path("/sys/fs/cgroup")
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class Memory(NamedTuple):
    """Bytes."""

    free: int
    total: int

    def told(self) -> dict[str, int]:
        """As the catalog says it."""
        return {"free": self.free, "used": self.total - self.free, "total": self.total}


def ram() -> Memory:
    """The machine's memory, or what a container may use of it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free, total = (int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    try:
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit, which reads "max"
        return Memory(free, total)
    return Memory(min(free, max(0, limit - used)), min(total, limit))


def resident(process: int) -> int:
    """Bytes of memory that a process holds; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError):
        return 0


def parse(text: str, total: int) -> int:
    """Bytes that a setting means: `6G`, `512M`, a plain number, or a share of what there is, `60%`.

    Raises:
        ValueError: it is none of these.
    """
    value = text.strip().lower().removesuffix("b").removesuffix("i")
    if value.endswith("%"):
        return int(total * float(value[:-1]) / 100)
    number = value.rstrip("kmgt")
    try:
        return int(float(number) * UNITS[value[len(number) :]])
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is no amount of memory: write 6G, 512M or 60%") from None
