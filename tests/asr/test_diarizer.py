"""The diarizer on the real Triton: its tensors, hints, refusals, several at once and a caller who hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from services.mesh.errors import InvalidArgument
from services.mesh.triton import Tensor, Triton
from tests.asr.stack import RealTriton
from tests.diarization.conversations import MAN, WOMAN, talk
from triton_models.repository import cores


@pytest.fixture(scope="module")
def diarizing(make_triton: Callable[..., RealTriton]) -> RealTriton:
    """A Triton with the diarizer alone."""
    return make_triton(["diarizer"])


@pytest.fixture
async def client(diarizing: RealTriton) -> AsyncIterator[Triton]:
    """A client of it."""
    made = Triton(diarizing.target)
    yield made
    await made.close()


async def test_the_tensors_of_a_conversation(client: Triton) -> None:
    found = await client.infer("diarizer", {"samples": talk([WOMAN, MAN, WOMAN, MAN]).samples})
    shapes = {name: (value.dtype.name, value.shape[1:]) for name, value in found.items()}
    assert shapes == {
        "turns": ("float32", (2,)),
        "speakers": ("int32", ()),
        "centroids": ("float32", (256,)),
        "seconds": ("float32", ()),
        "overlap": ("float32", (2,)),
    }
    assert found["speakers"].tolist() == [0, 1, 0, 1]
    assert len(found["centroids"]) == len(found["seconds"]) == 2


async def test_hints_and_known_voices_travel(client: Triton) -> None:
    samples = talk([WOMAN, MAN, WOMAN, MAN]).samples
    one = await client.infer("diarizer", {"samples": samples, "options": [b'{"speakers": 1}']})
    assert set(one["speakers"].tolist()) == {0}
    both = await client.infer("diarizer", {"samples": samples})
    swapped = await client.infer("diarizer", {"samples": samples, "known": both["centroids"][::-1].copy()})
    assert swapped["speakers"].tolist() == [1, 0, 1, 0]


async def test_silence_gives_empty_tensors(client: Triton) -> None:
    silence = np.zeros(1600, np.int16)
    found = await client.infer("diarizer", {"samples": silence})
    assert {name: value.shape for name, value in found.items()} == {
        "turns": (0, 2),
        "speakers": (0,),
        "centroids": (0, 256),
        "seconds": (0,),
        "overlap": (0, 2),
    }
    known = await client.infer("diarizer", {"samples": silence, "known": np.eye(3, 256, dtype=np.float32)})
    assert known["centroids"].shape == (3, 256)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"samples": np.zeros(0, np.int16)}, "samples: there must be at least one"),
        ({"options": [b"two"]}, "options: not JSON"),
        ({"options": [b'{"speakers": 99}']}, r"options\.speakers: must be a whole number from 1 to 32"),
        ({"known": np.ones((1, 3), np.float32)}, "known: must be rows of 256 numbers"),
    ],
)
async def test_inputs_that_make_no_sense_are_refused_by_name(
    client: Triton, inputs: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        await client.infer("diarizer", {"samples": np.zeros(1600, np.int16), **inputs})


async def test_requests_at_once_do_not_mix(client: Triton) -> None:
    every = [talk(voices).samples for voices in ([WOMAN], [WOMAN, MAN, WOMAN], [MAN], [MAN, WOMAN, MAN])]
    alone = [await client.infer("diarizer", {"samples": samples}) for samples in every]
    together = await asyncio.gather(*(client.infer("diarizer", {"samples": samples}) for samples in every * 3))
    for place, found in enumerate(together):
        for name, value in alone[place % len(every)].items():
            assert (found[name] == value).all(), name


async def test_a_caller_who_hangs_up_stops_the_work(client: Triton) -> None:
    short = talk([WOMAN, MAN]).samples
    long = np.tile(short, 180 * 16000 // len(short))

    async def computed() -> float:
        return (await client.statistics("diarizer")).compute_seconds

    before = await computed()
    await client.infer("diarizer", {"samples": long})
    # Triton counts a request shortly after it has answered it.
    for _attempt in range(1000):
        if whole := await computed() - before:
            break
        await asyncio.sleep(0.02)
    calls = [asyncio.create_task(client.infer("diarizer", {"samples": long})) for _ in range(6)]
    await asyncio.sleep(0.3)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    # Requests are answered in turn: when these are done, whatever was left of those is done as well.
    await asyncio.gather(*(client.infer("diarizer", {"samples": short}) for _ in range(4 * cores())))
    assert await computed() - before - whole < 3 * whole
