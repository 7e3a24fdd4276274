"""The real service in its own process, on the real Triton: killed, and asked to stop, in the middle of a drawing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local import ports
from parley.image.v1 import image_pb2 as pb2
from parley.image.v1 import image_pb2_grpc
from services.mesh import channels
from tests.conftest import ROOT
from tests.image.easel import of_kind
from tests.real_triton import RealTriton


@asynccontextmanager
async def process(triton: RealTriton, storage: Path) -> AsyncIterator[tuple[subprocess.Popen[bytes], Any]]:
    """The service as a process; yields it and a stub for it."""
    port = ports.free(1)[0]
    environment = {
        **os.environ,
        "PARLEY_IMAGE_LISTEN": f"127.0.0.1:{port}",
        "PARLEY_IMAGE_TRITON_TARGET": triton.target,
        "PARLEY_IMAGE_DATABASE_URL": f"sqlite:///{storage}/image.db",
        "PARLEY_IMAGE_PICTURES_URL": str(storage / "pictures"),
        "PARLEY_IMAGE_LEASE_SECONDS": "2",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
    }
    with (storage / "log").open("ab") as log:
        command = [sys.executable, "-m", "services.image"]
        running = subprocess.Popen(command, env=environment, stderr=log, stdout=log)  # noqa: ASYNC220 — quick enough
    try:
        async with channels.channel(f"127.0.0.1:{port}") as channel:
            stub: Any = image_pb2_grpc.ImageServiceStub(channel)
            await stub.ListModels(pb2.ListModelsRequest(), wait_for_ready=True, timeout=120)
            yield running, stub
    finally:
        running.kill()
        running.wait()


async def begun(stub: Any, job_id: str, **settings: Any) -> tuple[Any, list[Any]]:
    """A drawing that has come to its first step, and its events so far."""
    call = stub.Generate(pb2.GenerateRequest(settings=pb2.Settings(prompt="x", **settings), job_id=job_id))
    events = []
    async for response in call:
        events.append(response.event)
        if response.event.WhichOneof("event") == "progress":
            break
    return call, events


async def test_a_process_that_is_killed_leaves_no_job_that_seems_to_run(triton: RealTriton, tmp_path: Path) -> None:
    async with process(triton, tmp_path) as (running, stub):
        await begun(stub, "mine", steps=150, width=256, height=256)
        running.kill()
    async with process(triton, tmp_path) as (_running, stub):
        request = pb2.GetJobRequest(name="imageJobs/mine")
        async with asyncio.timeout(20):
            while (job := (await stub.GetJob(request)).job).state != pb2.JOB_STATE_FAILED:  # noqa: ASYNC110 — polled
                await asyncio.sleep(0.1)
        assert job.error.message.startswith("The service that drew it ended")
        asked = pb2.GenerateRequest(settings=pb2.Settings(prompt="x", steps=1))
        events = [response.event async for response in stub.Generate(asked)]
        assert len(of_kind(events, "image")) == 1


async def test_a_process_that_is_told_to_stop_finishes_what_it_draws(triton: RealTriton, tmp_path: Path) -> None:
    async with process(triton, tmp_path) as (running, stub):
        call, events = await begun(stub, "mine", steps=40)
        running.send_signal(signal.SIGTERM)
        events += [response.event async for response in call]
        assert len(of_kind(events, "image")) == 1
        assert events[-1].job.state == pb2.JOB_STATE_SUCCEEDED
        assert await asyncio.to_thread(running.wait, 30) == 0
