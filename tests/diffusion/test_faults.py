"""What goes wrong with the diffusion model harms those only whom it concerns, and is said by name."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.triton import Triton
from tests.diffusion.conftest import PARAMETERS
from tests.diffusion.draw import catalog, draw, events
from tests.real_triton import RealTriton

ROOM = "4.5M"  # for three of the tiny checkpoints, or one and one of its ControlNets


def spoil(file: Path) -> None:
    """Keeps the sizes that a safetensors file declares, and fills its numbers with NaN."""
    content = file.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    numbers = np.full((len(content) - start) // 4, np.nan, np.float32)
    file.write_bytes(content[:start] + numbers.tobytes())


@pytest.fixture(scope="module")
def shelf(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory on which much is broken."""
    base = tmp_path_factory.mktemp("shelf")
    shutil.copytree(models / "diffusion", base / "diffusion")
    checkpoints = base / "diffusion" / "checkpoints"
    for name in ("truncated", "unsaid", "other", "mismatched", "overflowing", "preferring"):
        shutil.copytree(checkpoints / "small", checkpoints / name)
    weights = checkpoints / "truncated" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    (checkpoints / "unsaid" / "model_index.json").write_text("{")
    index = checkpoints / "other" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "FluxPipeline"}))
    config = checkpoints / "mismatched" / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "cross_attention_dim": 48}))
    spoil(checkpoints / "overflowing" / "unet" / "diffusion_pytorch_model.safetensors")
    preferences = {"title": "Preferring", "size": 128, "steps": 2, "guidance_scale": 3, "sampler": "ddim"}
    (checkpoints / "preferring" / "parley.json").write_text(json.dumps(preferences))
    shutil.rmtree(base / "diffusion" / "configs")
    (checkpoints / "nothing.safetensors").write_bytes(b"not at all")
    (base / "diffusion" / "loras" / "broken.safetensors").write_bytes(b"neither")
    return base


@pytest.fixture(scope="module")
def server(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton whose diffusion model has that directory, and little memory."""
    parameters = {**PARAMETERS, "model_directory": str(shelf), "memory": ROOM}
    triton = RealTriton(["diffusion"], tmp_path_factory.mktemp("faults"), parameters)
    triton.start()
    yield triton
    triton.stop()


@pytest.fixture
async def client(server: RealTriton) -> AsyncIterator[Triton]:
    """A client for it."""
    made = Triton(server.target)
    yield made
    await made.close()


def worker_of(server: RealTriton) -> int:
    """The process of the model's worker, a child of the stub."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            grandparent = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # gone meanwhile
            continue
        if b"shared.diffusion.engine" in command and int(grandparent) == server.process.pid:
            return int(folder.name)
    raise AssertionError("no worker runs")


def wait_for_the_end(process: int) -> None:
    """Returns when a process is gone; fails where it stays."""
    for _attempt in range(600):
        if not Path(f"/proc/{process}").exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"process {process} is still there")


def fault(found: dict[str, Any], name: str) -> str:
    """What the catalog says is wrong with a model."""
    return str(next(model for model in found["models"] if model["id"] == name)["fault"])


async def test_the_catalog_names_what_is_broken_before_anything_is_loaded(client: Triton) -> None:
    found = await catalog(client)
    assert {model["id"] for model in found["models"] if not model["fault"]} >= {"small", "xl", "inpainting"}
    assert "not complete" in fault(found, "truncated")
    assert "model_index.json" in fault(found, "unsaid")
    assert "FluxPipeline" in fault(found, "other")
    assert "safetensors" in fault(found, "nothing")
    assert "diffusion/configs/sd" in fault(found, "single")
    assert [lora["id"] for lora in found["loras"] if lora["fault"]] == ["broken"]
    assert [control["id"] for control in found["controlnets"]] == ["depth", "edges", "xl-edges"]
    assert found["memory"]["ram"]["total"] > found["memory"]["ram"]["free"] > 0
    assert {"name": "DPM++ 2M Karras", "aliases": ["k_dpmpp_2m_ka"]} in found["samplers"]
    (preferring,) = [model for model in found["models"] if model["id"] == "preferring"]
    wanted = {"title": "Preferring", "default_size": 128, "default_steps": 2, "default_sampler": "DDIM"}
    assert preferring.items() >= wanted.items()
    assert preferring["architecture"] == "sd"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated", "not complete"),
        ("unsaid", "model_index.json"),
        ("mismatched", "cannot be loaded"),
        ("overflowing", "drew nothing"),
    ],
)
async def test_a_broken_checkpoint_is_named_and_the_others_draw(client: Triton, name: str, reason: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=reason) as caught:
        await draw(client, model=name)
    assert caught.value.violations[0].field == "model"
    assert name in str(caught.value)
    assert (await draw(client)).shape == (1, 64, 64, 3)
    if reason == "cannot be loaded":
        assert fault(await catalog(client), name)


async def test_a_broken_lora_is_named(client: Triton) -> None:
    with pytest.raises(errors.InvalidArgument, match="broken") as caught:
        await draw(client, loras=[{"name": "broken"}])
    assert caught.value.violations[0].field == "loras[0].name"


async def test_what_a_checkpoint_prefers_is_drawn(client: Triton) -> None:
    (*_, last) = [event async for event in events(client, model="preferring", steps=0, sampler="")]
    assert last.images is not None
    assert last.images.shape == (1, 128, 128, 3)
    assert (last.said["steps"], last.said["sampler"], last.said["guidance_scale"]) == (2, "DDIM", 3)


async def test_what_was_not_used_for_longest_makes_room(client: Triton) -> None:
    async def loaded() -> set[str]:
        return {model["id"] for model in (await catalog(client))["models"] if model["loaded"]}

    first = await draw(client, model="small")
    assert "small" in await loaded()
    for name in ("inpainting", "xl", "preferring"):
        await draw(client, model=name)
        assert name in await loaded()
    assert "small" not in await loaded()
    assert np.array_equal(await draw(client, model="small"), first)
    async for event in events(client, task="unload", model="small"):
        assert event.said == {"event": "unloaded", "model": "small"}
    assert "small" not in await loaded()


async def test_what_does_not_fit_beside_the_model_is_refused(client: Triton) -> None:
    hints = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(errors.InvalidArgument, match="does not fit into the models' memory") as caught:
        await draw(client, controls=[{"name": "edges"}, {"name": "depth"}], control_images=hints)
    assert caught.value.violations[0].field.startswith("controls[")
    assert (await draw(client)).shape == (1, 64, 64, 3)


async def test_the_catalog_does_not_wait_for_a_drawing(client: Triton) -> None:
    stream = events(client, steps=150, width=256, height=256, seeds=list(range(8)))
    first = await anext(stream)
    assert first.said["event"] == "progress"
    assert fault(await catalog(client), "small") == ""
    busy = asyncio.ensure_future(anext(stream))
    assert (await busy).said["event"] == "progress"
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, declared as the iterator that it is


async def test_who_waits_for_a_worker_that_is_killed_is_told_and_the_next_one_is_served(
    client: Triton, server: RealTriton
) -> None:
    before = await draw(client)
    stream = events(client, steps=150, width=256, height=256)
    await anext(stream)
    os.kill(worker_of(server), signal.SIGKILL)
    with pytest.raises(errors.Unavailable):
        async for _event in stream:
            pass
    assert np.array_equal(await draw(client), before)


async def test_pictures_that_are_put_there_while_it_runs_are_found(client: Triton, shelf: Path) -> None:
    checkpoints = shelf / "diffusion" / "checkpoints"
    with pytest.raises(errors.InvalidArgument, match="there is no 'late'"):
        await draw(client, model="late")
    shutil.copytree(checkpoints / "small", checkpoints / "late")
    first = await draw(client, model="late")
    assert np.array_equal(first, await draw(client, model="small"))
    # Replaced, it is loaded anew.
    shutil.rmtree(checkpoints / "late")
    shutil.copytree(checkpoints / "inpainting", checkpoints / "late")
    assert not np.array_equal(await draw(client, model="late"), first)


async def test_nothing_is_left_of_a_triton_that_is_killed(models: Path, tmp_path: Path) -> None:
    triton = RealTriton(["diffusion"], tmp_path, {**PARAMETERS, "model_directory": str(models)})
    triton.start()
    client = Triton(triton.target)
    try:
        stream = events(client, steps=150, width=256, height=256)
        await anext(stream)
        worker = worker_of(triton)
        triton.kill()
        with pytest.raises(errors.Unavailable):
            async for _event in stream:
                pass
        wait_for_the_end(worker)
    finally:
        await client.close()
        triton.stop()
