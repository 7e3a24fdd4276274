"""Measures Whisper through Triton against a bare batched faster-whisper loop: python -m bench.gpu_asr [--smoke].

A randomly initialised model with the dimensions of large-v3 in float16, stretches of 30 s, beams of 5, times for every
word. The same audio, model and batch size go once through faster-whisper's own batched pipeline in this process, and
once through the asr service's client, gRPC, Triton, the stub and its worker, with twice as many stretches in flight as
fit into a batch. Each side runs in turns and its fastest run counts. What random weights say has the length of speech
(some 100 tokens) and no sense.

Without a GPU nothing is measured; --smoke runs everything with a tiny model on the CPU, where the overhead has
nothing to hide behind: its figures say that the benchmark works, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ctranslate2
import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel
from numpy.typing import NDArray

from services.asr.engine import TritonEngine
from services.mesh.triton import Triton
from tests.gpu_models import random_whisper
from tests.gpu_models.random_whisper import LARGE_V3, TINY, Size
from tests.real_triton import RealTriton

RATE, SECONDS = 16000, 30
BEAM = 5
GOAL = 0.9


class Setup(NamedTuple):
    """What is measured, and how often."""

    size: Size
    device: str
    quantization: str | None
    batches: tuple[int, ...]
    rounds: int


FULL = Setup(LARGE_V3, "cuda", "float16", (1, 8, 16), 3)
SMOKE = Setup(TINY, "cpu", None, (1, 4), 1)


def stretches(count: int) -> list[NDArray[np.float32]]:
    """Audio of 30 s each: bursts of noise."""
    random = np.random.default_rng(1)
    length = RATE * SECONDS
    bursts = np.repeat(random.random((count, length // 4000)) > 0.3, 4000, axis=1)
    return list((random.normal(0, 0.1, (count, length)) * bursts).astype(np.float32))


def bare(model: WhisperModel, audio: list[NDArray[np.float32]], batch: int) -> float:
    """Seconds that faster-whisper's batched pipeline takes for the stretches."""
    clips = [{"start": number * SECONDS, "end": (number + 1) * SECONDS} for number in range(len(audio))]
    started = time.perf_counter()
    segments, _ = BatchedInferencePipeline(model).transcribe(
        np.concatenate(audio),
        language="en",
        beam_size=BEAM,
        word_timestamps=True,
        clip_timestamps=clips,
        batch_size=batch,
    )
    for _ in segments:
        pass
    return time.perf_counter() - started


async def through_triton(engine: TritonEngine, audio: list[NDArray[np.float32]], batch: int) -> float:
    """Seconds that the same takes through the service's client and Triton."""
    places = asyncio.Semaphore(2 * batch)

    async def hear(samples: NDArray[np.float32]) -> None:
        async with places:
            await engine.hear("whisper", samples, "en", b"")

    started = time.perf_counter()
    await asyncio.gather(*map(hear, audio))
    return time.perf_counter() - started


@contextmanager
def served(setup: Setup, models: Path, batch: int) -> Iterator[str]:
    """A Triton with the model; yields its address."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as state:
        parameters = {"model_directory": str(models), "device": setup.device, "beam_size": str(BEAM)}
        triton = RealTriton(["whisper"], Path(state), {**parameters, "batch": str(batch)})
        triton.start()
        try:
            yield triton.target
        finally:
            triton.stop()


async def measure(setup: Setup, models: Path, batch: int) -> tuple[float, float]:
    """The fastest of some runs of both sides, in seconds of work for a second of audio: bare, and through Triton."""
    audio = stretches(4 * batch if batch > 1 else 4)
    model = WhisperModel(str(models / "whisper"), device=setup.device)
    ours, theirs = [], []
    with served(setup, models, batch) as target:
        client = Triton(target)
        engine = TritonEngine(client)
        try:
            bare(model, audio[:batch], batch)  # what is loaded and allocated at first use
            await through_triton(engine, audio[:batch], batch)
            for _ in range(setup.rounds):
                theirs.append(bare(model, audio, batch))
                ours.append(await through_triton(engine, audio, batch))
        finally:
            await client.close()
    del model
    gc.collect()
    seconds = SECONDS * len(audio)
    return min(theirs) / seconds, min(ours) / seconds


async def main(setup: Setup) -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-models-") as folder:
        random_whisper.write(Path(folder) / "whisper", size=setup.size, quantization=setup.quantization)
        for batch in setup.batches:
            theirs, ours = await measure(setup, Path(folder), batch)
            print(
                f"gpu_asr: batch {batch:2}: real-time factor bare {theirs:.5f}, through Triton {ours:.5f}; "
                f"speed of the latter over the former {theirs / ours:.2f}  (goal >= {GOAL})",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a tiny model on the CPU, to see that this works")
    if parser.parse_args().smoke:
        print("gpu_asr: a smoke test on the CPU; these figures mean nothing")
        asyncio.run(main(SMOKE))
    elif ctranslate2.get_cuda_device_count() == 0:
        print("gpu_asr: not measured: there is no GPU here (--smoke runs it on the CPU)")
    else:
        asyncio.run(main(FULL))
