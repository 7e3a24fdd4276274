"""What the embedded models hold before anybody asks them: no runtime of networks."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from services.mesh.triton import Triton
from tests.real_triton import RealTriton
from triton_models.shared import heap

RUNTIME = "onnxruntime"


def holding(triton: RealTriton) -> int:
    """How many of the models' processes have the runtime in memory."""
    tasks = Path(f"/proc/{triton.process.pid}/task").glob("*/children")
    stubs = [int(pid) for task in tasks for pid in task.read_text().split()]
    assert stubs
    return sum(RUNTIME in Path(f"/proc/{pid}/maps").read_text() for pid in stubs)


async def test_networks_are_loaded_by_the_first_request(tmp_path: Path) -> None:
    triton = RealTriton(["vad", "diarizer"], tmp_path)
    triton.start()
    client = Triton(triton.target)
    try:
        assert holding(triton) == 0
        silence = np.zeros(16_000, np.int16)
        answer = await client.infer("vad", {"samples": silence[:15_872].astype(np.float32)})
        assert answer["probabilities"].shape == (31,)
        assert holding(triton) == 1
        answer = await client.infer("diarizer", {"samples": silence})
        assert len(answer["turns"]) == 0
        assert holding(triton) == 2
    finally:
        await client.close()
        triton.stop()


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_what_was_freed_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    piece, pieces = 64 * 1024, 1024
    held = [libc.malloc(piece) for _ in range(pieces)]
    for one in held:
        ctypes.memset(one, 1, piece)
    # The last one stays: glibc gives back by itself what is free at the heap's end.
    for one in held[:-1]:
        libc.free(ctypes.c_void_p(one))
    before = resident()
    heap.give_back()
    libc.free(ctypes.c_void_p(held[-1]))
    assert before - resident() > piece * pieces // 2
