"""Pictures through the whole path against diffusers' own pipeline; four at once against four in turn; stopping.

    python -m bench.image [--rounds 5] [--steps 20] [--threads 0] [--checkpoint FOLDER | --sdxl]

A stack of its own (Envoy, the image service, Triton and its worker) and a bare pipeline in a process of its own draw in
turns: the same checkpoint, sampler, size and steps, as many threads, the same priority. What a step takes is the
difference between drawings of many and of few steps, so that what a request takes once (queue, database, PNG) is not
counted; the whole request is printed beside it. The checkpoint is the project's own, --checkpoint's, or --sdxl's: a
random SDXL in its real dimensions in half precision, for which a GPU is needed; without one, nothing is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import grpc

from deploy.local import ports, stack
from deploy.local.settings import StackSettings
from parley.image.v1 import image_pb2, image_pb2_grpc
from triton_models.repository import TORCH_ENVIRONMENT
from triton_models.shared.diffusion.shelf import EMBEDDED

ROOT = Path(__file__).resolve().parent.parent
PYTHON = str(TORCH_ENVIRONMENT / "bin" / "python")
STEP_BAR, BATCH_BAR = 1.05, 1.5
SAMPLER, GUIDANCE = "Euler", 5.0
TOGETHER = 4
LONG = 150  # steps of the drawing that is stopped
LARGE = 256  # pixels: a step takes longer there than it takes a hang-up to travel through the mesh
STOP_BAR = 1.0


class Bare:
    """diffusers' own pipeline in a process of its own.

    Args:
        checkpoint: What it draws with.
        threads: How many; 0: as many as torch likes.
    """

    def __init__(self, checkpoint: Path, threads: int) -> None:
        command = [PYTHON, "-m", "bench.image_bare", "draw", str(checkpoint), SAMPLER]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(threads),
            # As the stack is: Linux divides a busy machine between sessions.
            start_new_session=True,
        )

    def draw(self, steps: int) -> float:
        """Seconds that a picture of so many steps takes."""
        told, said = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        told.write(f"{steps}\n")
        told.flush()
        return float(said.readline())

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


class Whole:
    """The whole path: a client of the gateway.

    Args:
        address: host:port of the gateway.
        key: An API key.
    """

    def __init__(self, address: str, key: str) -> None:
        credentials = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(), grpc.access_token_call_credentials(key)
        )
        self._channel = grpc.aio.secure_channel(address, credentials)
        # The generated stub has no annotations for asynchronous channels.
        self._stub = cast("Any", image_pb2_grpc.ImageServiceStub(self._channel))

    def _call(self, steps: int, seed: int, pixels: int = 0) -> Any:
        settings = image_pb2.Settings(
            prompt="a red circle",
            steps=steps,
            sampler=SAMPLER,
            guidance_scale=GUIDANCE,
            seed=seed,
            width=pixels,
            height=pixels,
        )
        return self._stub.Generate(image_pb2.GenerateRequest(settings=settings))

    async def draw(self, steps: int, seed: int = 1, pixels: int = 0) -> float:
        """Seconds that a picture of so many steps takes."""
        began = time.perf_counter()
        async for _answer in self._call(steps, seed, pixels=pixels):
            pass
        return time.perf_counter() - began

    async def freed(self, pixels: int = 0) -> float:
        """Seconds from a client's hanging up in the middle of a long drawing to the end of another's first step."""
        call = self._call(LONG, 1, pixels=pixels)
        async for answer in call:
            if answer.event.progress.step:
                break
        began = time.perf_counter()
        call.cancel()
        following = self._call(LONG, 2, pixels=pixels)
        async for answer in following:
            if answer.event.progress.step:
                break
        passed = time.perf_counter() - began
        following.cancel()
        return passed

    async def first_step(self, pixels: int = 0) -> float:
        """Seconds from a request, with nothing else to do, to the end of its first step."""
        began = time.perf_counter()
        call = self._call(LONG, 2, pixels=pixels)
        async for answer in call:
            if answer.event.progress.step:
                break
        passed = time.perf_counter() - began
        call.cancel()
        await asyncio.sleep(0.5)
        return passed

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close()


class Measured(NamedTuple):
    """Medians over the rounds, in seconds."""

    bare_step: float
    path_step: float
    bare_whole: float
    path_whole: float
    in_turn: float
    at_once: float
    freed: float
    first_step: float
    large_step: float
    large_freed: float
    large_first_step: float


def environment(threads: int = 0) -> dict[str, str]:
    """For processes of the torch models' environment, which do not have the project installed."""
    limited = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    return {**os.environ, **limited, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "gen")])}


@contextlib.contextmanager
def running(folder: Path, checkpoint: Path, threads: int) -> Iterator[tuple[str, str]]:
    """A stack that draws with this checkpoint; gives host:port of its gateway, and a key."""
    place = folder / "models" / "diffusion" / "checkpoints" / "measured"
    place.parent.mkdir(parents=True)
    place.symlink_to(checkpoint, target_is_directory=True)
    port, admin = ports.free(2)
    parameters = {"model_directory": str(folder / "models"), "default_model": "measured"}
    parameters |= {"threads": str(threads)} if threads else {}
    settings = StackSettings(state=folder / "stack", port=port, admin_port=admin, model_parameters=parameters)
    stack.detach(settings, lambda _event: None)
    try:
        yield f"127.0.0.1:{port}", settings.key_file.read_text().strip()
    finally:
        stack.down(settings.state)


async def measure(address: str, key: str, bare: Bare, steps: int, rounds: int) -> Measured:
    """Draws in turns."""
    path = Whole(address, key)
    few, many = steps, 3 * steps
    seeds = itertools.count(10)
    bare.draw(few)
    await path.draw(few)
    found: list[Measured] = []
    for _ in range(rounds):
        alone = [bare.draw(number) for number in (few, many)]
        whole = [await path.draw(number) for number in (few, many)]
        began = time.perf_counter()
        for _picture in range(TOGETHER):
            await path.draw(few, next(seeds))
        in_turn = time.perf_counter() - began
        began = time.perf_counter()
        await asyncio.gather(*(path.draw(few, next(seeds)) for _picture in range(TOGETHER)))
        at_once = time.perf_counter() - began
        first = await path.first_step()
        freed = await path.freed()
        await asyncio.sleep(0.5)
        large = [await path.draw(number, pixels=LARGE) for number in (2, 8)]
        large_first = await path.first_step(LARGE)
        large_freed = await path.freed(LARGE)
        await asyncio.sleep(0.5)
        apart = many - few
        found.append(
            Measured(
                (alone[1] - alone[0]) / apart,
                (whole[1] - whole[0]) / apart,
                alone[0],
                whole[0],
                in_turn,
                at_once,
                freed,
                first,
                (large[1] - large[0]) / 6,
                large_freed,
                large_first,
            )
        )
    await path.close()
    return Measured(*(statistics.median(values) for values in zip(*found, strict=True)))


def report(found: Measured, steps: int) -> bool:
    """Prints what was measured; whether the bars were held."""
    step, together = found.path_step / found.bare_step, found.in_turn / found.at_once
    late = (found.freed - found.first_step) / found.path_step
    print(f"time per step, whole path over bare pipeline: {step:.3f} (bar {STEP_BAR})")
    print(f"  {found.path_step * 1e3:.2f} ms over {found.bare_step * 1e3:.2f} ms")
    whole = found.path_whole / found.bare_whole
    print(f"  a whole request of {steps} steps: {whole:.3f} ({found.path_whole:.3f} s over {found.bare_whole:.3f} s)")
    print(f"{TOGETHER} at once over {TOGETHER} in turn, pictures/s: {together:.2f} (bar {BATCH_BAR})")
    print(f"  {TOGETHER / found.at_once:.2f} over {TOGETHER / found.in_turn:.2f}")
    print(f"hung up to another's first step, beyond what that takes anyway: {late:.2f} steps")
    print(f"  {found.freed * 1e3:.0f} ms, {found.first_step * 1e3:.0f} ms when idle")
    late = (found.large_freed - found.large_first_step) / found.large_step
    print(
        f"the same at {LARGE} x {LARGE}, a step of {found.large_step * 1e3:.0f} ms: {late:.2f} steps (bar {STOP_BAR})"
    )
    print(f"  {found.large_freed * 1e3:.0f} ms, {found.large_first_step * 1e3:.0f} ms when idle")
    return step <= STEP_BAR and together >= BATCH_BAR


def main() -> int:
    """Measures and prints; returns 1 when a bar was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0, help="of both sides; 0: as many as torch likes")
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED / "checkpoints" / "shapes")
    parser.add_argument("--sdxl", action="store_true", help="a random SDXL at 1024x1024; needs a GPU")
    asked = parser.parse_args()
    if not Path(PYTHON).exists():
        print("nothing measured: `make image-models` makes the environment of the models that draw")
        return 0
    if asked.sdxl and not Path("/dev/nvidiactl").exists():
        print("nothing measured: there is no GPU here")
        return 0
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name, contextlib.ExitStack() as opened:
        folder, checkpoint = Path(name), asked.checkpoint.resolve()
        if asked.sdxl or not checkpoint.exists():
            size, checkpoint = "sdxl" if asked.sdxl else "tiny", folder / "checkpoint"
            command = [PYTHON, "-m", "bench.image_bare", "write", str(checkpoint), size]
            subprocess.run(command, check=True, cwd=ROOT, env=environment())
            print(f"checkpoint: random, {size}")
        address, key = opened.enter_context(running(folder, checkpoint, asked.threads))
        bare = opened.enter_context(contextlib.closing(Bare(checkpoint, asked.threads)))
        found = asyncio.run(measure(address, key, bare, asked.steps, asked.rounds))
    return 0 if report(found, asked.steps) else 1


if __name__ == "__main__":
    raise SystemExit(main())
