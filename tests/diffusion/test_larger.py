"""Pictures become larger, and faces clearer, with the real Triton."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.mesh import errors
from services.mesh.triton import Tensor, Triton
from tests.conftest import ROOT
from tests.diffusion.conftest import PYTHON
from tests.diffusion.draw import WITHIN, Picture, apart
from tests.real_triton import RealTriton
from triton_models.repository import TORCH_ENVIRONMENT
from triton_models.shared import onnx

GREY = 128


def inverting(file: Path) -> None:
    """A network for faces that turns dark into light: one sees where it was."""
    shape = [1, 3, 64, 64]
    content = onnx.model([onnx.Node("Neg", ["input"], ["output"])], {}, {"input": shape}, {"output": shape})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def face() -> Picture:
    """A picture, 320 pixels wide and high, of something that the cascade takes for a face; around it is grey."""
    image = np.full((320, 320, 3), GREY, np.uint8)

    def oval(x: int, y: int, wide: int, high: int, colour: tuple[int, int, int]) -> None:
        cv2.ellipse(image, (x, y), (wide, high), 0, 0, 360, colour, -1, cv2.LINE_AA)

    oval(160, 160, 80, 105, (215, 180, 155))
    oval(160, 85, 84, 45, (60, 40, 30))
    oval(160, 110, 70, 35, (220, 185, 160))
    for x in (128, 192):
        oval(x, 125, 24, 6, (70, 45, 35))
        oval(x, 145, 22, 14, (150, 115, 100))
        oval(x, 146, 17, 8, (240, 240, 240))
        oval(x, 146, 8, 8, (40, 30, 30))
    oval(160, 170, 10, 28, (232, 200, 178))
    for x in (150, 170):
        oval(x, 192, 7, 4, (120, 80, 70))
    oval(160, 222, 32, 9, (150, 70, 70))
    oval(160, 220, 30, 2, (80, 30, 30))
    return cv2.GaussianBlur(image, (0, 0), 3).astype(np.uint8)


def flat(height: int = 40, width: int = 60, level: int = 200) -> Picture:
    """A picture of one colour, with a darker corner."""
    found = np.full((height, width, 3), level, np.uint8)
    found[: height // 2, : width // 2] = 30
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with a network for faces, and with checkpoints where torch is there to write them."""
    base = tmp_path_factory.mktemp("larger")
    inverting(base / "face_restorers" / "inverting.onnx")
    (base / "face_restorers" / "broken.onnx").write_bytes(b"nothing")
    if PYTHON.exists():
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        folder = base / "upscalers"
        subprocess.run([PYTHON, "-m", "tests.diffusion.tiny_esrgan", folder], check=True, cwd=ROOT, env=environment)
    return base


@pytest.fixture(scope="module")
def server(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton with both models."""
    parameters = {"model_directory": str(directory), "device": "cpu", "threads": "1"}
    triton = RealTriton(["upscaler", "face_restorer"], tmp_path_factory.mktemp("larger-triton"), parameters)
    triton.start()
    yield triton
    triton.stop()


@pytest.fixture
async def client(server: RealTriton) -> AsyncIterator[Triton]:
    """A client for it."""
    made = Triton(server.target)
    yield made
    await made.close()


async def enlarge(client: Triton, image: Picture, scale: float, name: str = "Lanczos") -> Picture:
    """The larger picture."""
    inputs: dict[str, Tensor] = {"image": image, "scale": np.array([scale], np.float32), "name": [name.encode()]}
    return (await client.infer("upscaler", inputs, within=WITHIN))["image"]


async def restore(client: Triton, image: Picture, name: str = "inverting") -> Picture:
    """The picture with other faces."""
    return (await client.infer("face_restorer", {"image": image, "name": [name.encode()]}, within=WITHIN))["image"]


async def listed(client: Triton, model: str) -> object:
    """What a model says that it has."""
    answer = await client.infer(model, {"request": [b'{"task": "catalog"}']})
    return json.loads(answer["catalog"][0])


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 4.0])
async def test_lanczos_enlarges_by_any_factor(client: Triton, scale: float) -> None:
    larger = await enlarge(client, flat(), scale)
    assert larger.shape == (round(40 * scale), round(60 * scale), 3)
    corner, rest = larger[2, 2], larger[-3, -3]
    assert tuple(corner) == (30, 30, 30)
    assert tuple(rest) == (200, 200, 200)


@pytest.mark.skipif(not (TORCH_ENVIRONMENT / ".installed").exists(), reason="`make image-models` makes the environment")
async def test_checkpoints_of_all_three_kinds_of_names_are_the_same_network(client: Triton) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    larger = [await enlarge(client, image, 4, name) for name in ("4x-new", "4x-paper", "4x-first")]
    assert all(one.shape == (160, 240, 3) for one in larger)
    assert apart(larger[0], larger[1]) == apart(larger[0], larger[2]) == 0
    assert larger[0].std() > 1
    assert (await enlarge(client, image, 3, "4x-new")).shape == (120, 180, 3)


@pytest.mark.skipif(not (TORCH_ENVIRONMENT / ".installed").exists(), reason="`make image-models` makes the environment")
async def test_tiles_do_not_show(client: Triton) -> None:
    """A picture of more than one tile is what its parts are, away from their edges."""
    image = np.random.default_rng(2).integers(0, 256, (41, 301, 3), dtype=np.uint8)
    whole = await enlarge(client, image, 2, "2x-folded")
    assert whole.shape == (82, 602, 3)
    part = await enlarge(client, np.ascontiguousarray(image[:, 160:230]), 2, "2x-folded")
    assert apart(whole[:, 360:420], part[:, 40:100]) <= 1


@pytest.mark.skipif(not (TORCH_ENVIRONMENT / ".installed").exists(), reason="`make image-models` makes the environment")
async def test_a_checkpoint_that_is_none_is_named_and_runs_no_code(client: Triton) -> None:
    for name in ("other", "code"):
        with pytest.raises(errors.InvalidArgument, match=name) as caught:
            await enlarge(client, flat(), 2, name)
        assert caught.value.violations[0].field == "name"
    assert (await enlarge(client, flat(), 2)).shape == (80, 120, 3)


@pytest.mark.skipif(not (TORCH_ENVIRONMENT / ".installed").exists(), reason="`make image-models` makes the environment")
async def test_what_there_is_to_enlarge_with_is_listed(client: Triton) -> None:
    found = await listed(client, "upscaler")
    assert isinstance(found, dict)
    scales = {one["name"]: one["scale"] for one in found["upscalers"]}
    assert scales.items() >= {"Lanczos": 0.0, "4x-new": 4.0, "2x-folded": 2.0}.items()


@pytest.mark.parametrize(
    ("image", "scale", "name", "field"),
    [
        (flat(), 0.0, "Lanczos", "scale"),
        (flat(), float("nan"), "Lanczos", "scale"),
        (flat(), 100.0, "Lanczos", "scale"),
        (flat(4000, 2000), 8.0, "Lanczos", "scale"),
        (flat(), 2.0, "nobody", "name"),
        (flat(), 2.0, "../face_restorers/inverting", "name"),
        (np.zeros((0, 4, 3), np.uint8), 2.0, "Lanczos", "image"),
    ],
)
async def test_what_cannot_be_enlarged_is_refused_by_name(
    client: Triton, image: Picture, scale: float, name: str, field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await enlarge(client, image, scale, name)
    assert caught.value.violations[0].field == field


async def test_faces_are_drawn_anew_and_all_else_stays(client: Triton) -> None:
    given = np.full((480, 640, 3), GREY, np.uint8)
    given[80:400, 200:520] = face()
    found = await restore(client, given)
    assert np.array_equal(found[:, :150], given[:, :150])
    assert np.array_equal(found[:60], given[:60])
    skin = given[225:235, 355:365].astype(int)
    assert np.abs(found[225:235, 355:365] - (255 - skin)).max() < 30


async def test_a_face_at_the_edge_is_drawn_anew_too(client: Triton) -> None:
    given = np.ascontiguousarray(face()[:, 30:300])
    found = await restore(client, given)
    assert found.shape == given.shape
    assert np.abs(found.astype(int) - given).mean() > 5


async def test_a_picture_without_faces_stays_as_it_is(client: Triton) -> None:
    assert np.array_equal(await restore(client, flat()), flat())
    assert await listed(client, "face_restorer") == {"face_restorers": ["broken", "inverting"]}


@pytest.mark.parametrize("name", ["nobody", "broken"])
async def test_a_restorer_that_does_not_work_is_named(client: Triton, name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=name) as caught:
        await restore(client, face(), name)
    assert caught.value.violations[0].field == "name"


async def test_without_networks_it_is_said_how_to_add_them(tmp_path: Path) -> None:
    parameters = {"environment": str(tmp_path), "model_directory": str(tmp_path)}
    triton = RealTriton(["upscaler", "face_restorer"], tmp_path, parameters)
    triton.start()
    client = Triton(triton.target)
    try:
        with pytest.raises(errors.Unsupported, match="folder face_restorers/"):
            await restore(client, face(), "GFPGAN")
        assert await listed(client, "face_restorer") == {"face_restorers": []}
        assert await listed(client, "upscaler") == {"upscalers": [{"name": "Lanczos", "scale": 0.0}]}
        assert (await enlarge(client, flat(), 2)).shape == (80, 120, 3)
    finally:
        await client.close()
        triton.stop()
