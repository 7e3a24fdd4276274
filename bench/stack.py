"""Time until the whole stack is ready, time until it is stopped, and the memory that it holds idle.

    python -m bench.stack [--rounds 3] [--idle 20]

A stack in a folder and on ports of its own, started and stopped several times; the first round warms the file cache and
brings the schemas up. Memory is PSS summed over every process, the supervisor and what Triton starts included. Much is
loaded by the first call that needs it: what that costs is the time that a first transcription with speakers takes more
than the ones after it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import grpc

from deploy.local import demo_talk, ports, stack
from deploy.local.settings import StackSettings
from deploy.local.supervisor import Event
from parley.asr.v1 import asr_pb2, asr_pb2_grpc

READY_BAR, MEMORY_BAR, FIRST_BAR = 8.0, 800.0, 0.5
LATER = 4
"""Calls after the first; each model has an instance for each core, and any of them may be new to it."""


class Round(NamedTuple):
    """What one start and stop took."""

    ready: float
    """Seconds until the stack was up, that of the supervisor's own start included."""
    stopped: float
    """Seconds until it was down."""
    memory: dict[str, float]
    """MB of each component when idle, and of the supervisor."""
    first: float
    """Seconds that the first transcription with speakers took more than later ones."""
    events: list[Event]
    """What happened when."""


def once(folder: Path, idle: float, request: asr_pb2.RecognizeRequest) -> Round:
    """Starts a stack, lets it idle for so many seconds, asks it for something, and stops it."""
    port, admin = ports.free(2)
    settings = StackSettings(state=folder, port=port, admin_port=admin)
    events: list[Event] = []
    began = time.perf_counter()
    stack.detach(settings, events.append)
    ready = time.perf_counter() - began
    try:
        time.sleep(idle)
        status = stack.status(folder)
        memory = {component.name: component.memory / 1e6 for component in status.components}
        memory["supervisor"] = status.memory / 1e6 - sum(memory.values())
        first, *later = transcriptions(settings, request)
    finally:
        began = time.perf_counter()
        stack.down(folder)
    return Round(ready, time.perf_counter() - began, memory, first - min(later), events)


def transcriptions(settings: StackSettings, request: asr_pb2.RecognizeRequest) -> list[float]:
    """Seconds that each of several transcriptions takes, one after the other, through the gateway."""
    key = grpc.access_token_call_credentials(settings.key_file.read_text().strip())
    credentials = grpc.composite_channel_credentials(grpc.local_channel_credentials(), key)
    taken = []
    with grpc.secure_channel(f"{settings.host}:{settings.port}", credentials) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        for _ in range(1 + LATER):
            began = time.perf_counter()
            asr_pb2_grpc.SpeechRecognitionStub(channel).Recognize(request)
            taken.append(time.perf_counter() - began)
    return taken


def main() -> int:
    """Measures and prints; returns 1 when a bar was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds after the first")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds before memory is read")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        request = demo_talk.request(demo_talk.record(Path(folder)))
        rounds = [once(Path(folder), asked.idle, request) for _ in range(asked.rounds + 1)][1:]
    last = rounds[-1]
    for event in last.events:
        if event.kind == "ready":
            held = last.memory[event.component]
            print(f"  {event.component:10} ready after {event.seconds:5.2f} s, holds {held:5.0f} MB")
    print(f"  {'supervisor':10} {'':18} holds {last.memory['supervisor']:5.0f} MB")
    ready = statistics.median(each.ready for each in rounds)
    memory = statistics.median(sum(each.memory.values()) for each in rounds)
    stopped = statistics.median(each.stopped for each in rounds)
    print(f"stack: up to ready {ready:.2f} s (bar {READY_BAR:.0f} s); down {stopped:.2f} s")
    print(f"stack: idle memory {memory:.0f} MB (bar {MEMORY_BAR:.0f} MB)")
    # Whatever else runs on the machine only adds to it.
    first = min(each.first for each in rounds)
    print(f"stack: the first transcription with speakers takes {first:.2f} s more (bar {FIRST_BAR:.1f} s)")
    return 0 if ready <= READY_BAR and memory <= MEMORY_BAR and first <= FIRST_BAR else 1


if __name__ == "__main__":
    sys.exit(main())
