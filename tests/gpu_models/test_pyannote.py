"""pyannote.audio in the real Triton and its own environment, on random checkpoints in the format of its version 3.1."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.triton import Array, Tensor, Triton
from tests.gpu_models.speech import RATE, noise
from tests.real_triton import RealTriton

SHORT = noise(1, 3.0)


async def diarize(
    client: Triton, samples: NDArray[np.int16], known: Array | None = None, **options: Any
) -> dict[str, Array]:
    """Who speaks when."""
    inputs: dict[str, Tensor] = {"samples": samples, "options": [json.dumps(options).encode()]}
    if known is not None:
        inputs["known"] = known
    return await client.infer("pyannote", inputs, within=300)


def well_formed(found: dict[str, Array], seconds: float) -> None:
    """Fails where an answer breaks the promises of every diarization model."""
    turns, speakers, centroids = found["turns"], found["speakers"], found["centroids"]
    assert len(turns) == len(speakers)
    assert np.all(turns[:, 0] < turns[:, 1])
    assert np.all(np.diff(turns[:, 0]) >= 0)
    assert turns.min(initial=0) >= 0
    assert turns.max(initial=0) <= seconds + 1e-4
    assert len(centroids) == len(found["seconds"]) > speakers.max(initial=-1)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-4)
    spoken = [(turns[speakers == number, 1] - turns[speakers == number, 0]).sum() for number in range(len(centroids))]
    assert np.allclose(spoken, found["seconds"], atol=1e-3)
    assert np.all(found["overlap"][:, 0] < found["overlap"][:, 1])
    assert np.all(found["overlap"][1:, 0] > found["overlap"][:-1, 1])


def rttm(found: dict[str, Array]) -> list[str]:
    """The turns as NIST's Rich Transcription Time Marked lines."""
    return [
        f"SPEAKER audio 1 {start:.3f} {end - start:.3f} <NA> <NA> speaker_{speaker} <NA> <NA>"
        for (start, end), speaker in zip(found["turns"], found["speakers"], strict=True)
    ]


async def test_speech_gives_turns_voices_and_rttm(torch_client: Triton) -> None:
    found = await diarize(torch_client, SHORT)
    well_formed(found, 3.0)
    assert len(found["turns"])
    for line in rttm(found):
        kind, _, channel, start, duration, *_, speaker, confidence, lookahead = line.split()
        assert (kind, channel, confidence, lookahead) == ("SPEAKER", "1", "<NA>", "<NA>")
        assert float(start) >= 0
        assert float(duration) > 0
        assert speaker.startswith("speaker_")


async def test_the_number_of_speakers_that_is_asked_for_is_found(torch_client: Triton) -> None:
    samples = noise(1, 11.0)
    one, two = [await diarize(torch_client, samples, speakers=count) for count in (1, 2)]
    well_formed(one, 11.0)
    well_formed(two, 11.0)
    assert set(one["speakers"]) == {0}
    assert set(two["speakers"]) == {0, 1}
    at_most = await diarize(torch_client, samples, max_speakers=1)
    assert set(at_most["speakers"]) == {0}


async def test_a_known_voice_keeps_its_number_and_a_stranger_comes_after(torch_client: Triton) -> None:
    voice = (await diarize(torch_client, SHORT, speakers=1))["centroids"]
    assert voice.shape == (1, 256)
    again = await diarize(torch_client, SHORT, np.concatenate([-voice, voice]), speakers=1)
    well_formed(again, 3.0)
    assert set(again["speakers"]) == {1}
    assert again["seconds"][0] == 0
    assert np.allclose(again["centroids"][0], -voice[0], atol=1e-4)
    stranger = await diarize(torch_client, SHORT, -voice, speakers=1)
    assert set(stranger["speakers"]) == {1}
    assert np.allclose(stranger["centroids"][0], -voice[0], atol=1e-4)


async def test_silence_and_clips_too_short_for_a_voice_have_no_speakers(torch_client: Triton) -> None:
    known = np.eye(1, 256, dtype=np.float32)
    for samples in (np.zeros(2 * RATE, np.int16), noise(1, 0.1), np.ones(1, np.int16)):
        found = await diarize(torch_client, samples)
        assert [found[name].shape for name in ("turns", "speakers", "centroids", "seconds", "overlap")] == [
            (0, 2),
            (0,),
            (0, 256),
            (0,),
            (0, 2),
        ]
        remembered = await diarize(torch_client, samples, known)
        assert np.array_equal(remembered["centroids"], known)
        assert list(remembered["seconds"]) == [0]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"speakers": 0}, "options"),
        ({"speakers": 1000}, "options"),
        ({"min_speakers": 3, "max_speakers": 2}, "options.min_speakers"),
    ],
)
async def test_numbers_of_speakers_that_make_no_sense_are_refused(
    torch_client: Triton, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await diarize(torch_client, SHORT, **options)
    assert caught.value.violations[0].field == field


async def test_voices_of_another_model_are_refused(torch_client: Triton) -> None:
    for known in (np.ones((1, 3), np.float32), np.full((1, 256), np.nan, np.float32)):
        with pytest.raises(errors.InvalidArgument) as caught:
            await diarize(torch_client, SHORT, known)
        assert caught.value.violations[0].field == "known"


async def test_work_stops_when_its_caller_hangs_up(torch_client: Triton) -> None:
    call = asyncio.create_task(diarize(torch_client, noise(1, 300.0)))
    await asyncio.sleep(1)
    call.cancel()
    # Were the five minutes to be finished, this would wait for hundreds of voices.
    well_formed(await diarize(torch_client, SHORT), 3.0)


def test_a_checkpoint_that_is_missing_is_named(torch_models: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(torch_models / "pyannote", weights / "pyannote")
    shutil.rmtree(weights / "pyannote" / "segmentation-3.0")
    triton = RealTriton(["pyannote"], tmp_path, {"model_directory": str(weights), "device": "cpu"})
    with pytest.raises(AssertionError, match="segmentation is missing: put the segmentation checkpoint"):
        triton.start()
