"""Reads the components' log files."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

POLL = 0.2
TAIL_BYTES = 1 << 16
# An exception's last line in Python, or what other programs put before their errors.
ERROR = re.compile(r"(^\w*(Error|Exception)\b|^error\b|\b\w+Error: |\[(error|critical)\])", re.IGNORECASE)


class Line(NamedTuple):
    """A line of a component's log."""

    component: str
    """Which component wrote it."""
    text: str
    """The line, without its end."""


def last_words(log: Path) -> str:
    """What a log says at its end: the last line that tells of an error, else the last; empty when there is none."""
    lines = [text for text in (_message(line.strip()) for line in _tail(log, 50)) if text]
    errors = [text for text in lines if ERROR.search(text)]
    return (errors or lines or [""])[-1][:500]


def _message(line: str) -> str:
    """What a line says: of JSON the message alone, nothing where there is no word."""
    if not any(character.isalnum() for character in line):
        return ""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return ""
    return ": ".join(str(record[key]) for key in ("event", "error") if key in record)


def rotate(log: Path) -> None:
    """Puts the log of the run before aside, as `<name>.1`."""
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def read(folder: Path, components: Sequence[str], lines: int) -> Iterator[Line]:
    """The last lines of each component's log, component by component."""
    for component in components:
        for text in _tail(folder / f"{component}.log", lines):
            yield Line(component, text)


def follow(folder: Path, components: Sequence[str]) -> Iterator[Line]:
    """What components write from now on, as it comes; never ends by itself."""
    offsets = {component: _size(folder / f"{component}.log") for component in components}
    rest = dict.fromkeys(components, "")
    while True:
        for component in components:
            log = folder / f"{component}.log"
            if _size(log) < offsets[component]:
                offsets[component] = 0  # A new run has begun.
            if _size(log) == offsets[component]:
                continue
            with log.open("rb") as file:
                file.seek(offsets[component])
                data = file.read()
            offsets[component] += len(data)
            *complete, rest[component] = (rest[component] + data.decode(errors="replace")).split("\n")
            for text in complete:
                yield Line(component, text)
        time.sleep(POLL)


def _size(log: Path) -> int:
    """Bytes of a log; 0 when there is none."""
    return log.stat().st_size if log.exists() else 0


def _tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log, at most TAIL_BYTES of them; none when it does not exist."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, _size(log) - TAIL_BYTES))
        return list(deque(file.read().decode(errors="replace").splitlines(), maxlen=lines))
