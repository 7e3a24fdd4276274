"""Whisper in the real Triton, on a tiny randomly initialised checkpoint in CTranslate2's format."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.triton import Triton
from tests.gpu_models.conftest import served
from tests.gpu_models.speech import RATE, alike, noise, recognise, text, well_formed, words
from triton_models.repository import present, profile


def workers_of(pid: int) -> list[int]:
    """The worker processes of a Triton: children of its stubs."""

    def children(parent: int) -> list[int]:
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
        return [int(child) for child in found.stdout.split()]

    return [worker for stub in children(pid) for worker in children(stub)]


def test_only_models_whose_weights_are_there_are_loaded(models: Path, tmp_path: Path) -> None:
    names = ["vad", "whisper", "whisper_turbo"]
    assert set(names) <= set(profile("gpu"))
    assert present(names, {"model_directory": str(models)}) == names
    assert present(names, {"model_directory": str(tmp_path)}) == present(names, {}) == ["vad"]


def test_a_model_with_an_environment_needs_that_too(tmp_path: Path) -> None:
    (tmp_path / "pyannote").mkdir()
    parameters = {"model_directory": str(tmp_path), "environment": str(tmp_path / "venv")}
    assert present(["pyannote"], parameters) == []
    interpreter = tmp_path / "venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.touch()
    assert present(["pyannote"], parameters) == ["pyannote"]


def test_what_a_model_can_do_without_need_not_be_there(tmp_path: Path) -> None:
    names = ["diffusion", "upscaler", "face_restorer"]
    assert set(names) <= set(profile("embedded"))
    assert present(names, {}) == ["upscaler"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    assert present(names, {"environment": str(tmp_path)}) == ["diffusion", "upscaler"]


def test_a_model_whose_files_may_come_later_needs_a_model_directory(tmp_path: Path) -> None:
    assert present(["face_restorer"], {}) == []
    assert present(["face_restorer"], {"model_directory": str(tmp_path / "absent")}) == []
    assert present(["face_restorer"], {"model_directory": str(tmp_path)}) == ["face_restorer"]


async def test_a_stretch_gives_words_with_times_and_the_language(whisper: Triton) -> None:
    answer = await recognise(whisper, "whisper", noise(1), language="vi-VN")
    assert words(answer)
    well_formed(answer, 2.0)
    assert answer["language"][0] == b"vi"
    assert answer["language_probability"][0] == 1.0
    assert text(answer).split() == words(answer)


async def test_the_language_is_detected_with_its_probability(whisper: Triton) -> None:
    answer = await recognise(whisper, "whisper", noise(1))
    assert answer["language"][0]
    assert 0 < answer["language_probability"][0] < 1


async def test_two_checkpoints_share_the_code(whisper: Triton) -> None:
    one, other = [await recognise(whisper, name, noise(1), language="en") for name in ("whisper", "whisper_turbo")]
    assert words(one)
    assert text(one) != text(other)


async def test_what_is_heard_does_not_depend_on_the_company(whisper: Triton) -> None:
    manners: list[dict[str, Any]] = [
        {"language": "en"},
        {"language": "vi"},
        {},
        {"language": "en", "hints": {"phrases": ["w5 w7"]}},
        {"language": "en", "task": "translate"},
        {"language": "en", "alternatives": 3},
    ]
    asked = [(noise(seed, 1 + seed % 3), manners[seed % len(manners)]) for seed in range(12)]
    alone = [await recognise(whisper, "whisper", samples, **manner) for samples, manner in asked]
    together = await asyncio.gather(*(recognise(whisper, "whisper", samples, **manner) for samples, manner in asked))
    assert sum(bool(words(answer)) for answer in alone) > len(asked) / 2
    assert [pair for pair in zip(alone, together, strict=True) if not alike(*pair)] == []


async def test_hints_and_the_task_reach_the_decoder(whisper: Triton) -> None:
    seeds = range(3)
    plain = [text(await recognise(whisper, "whisper", noise(n), language="en")) for n in seeds]
    hints = {"phrases": ["w11 w12"]}
    hinted = [text(await recognise(whisper, "whisper", noise(n), language="en", hints=hints)) for n in seeds]
    translated = [text(await recognise(whisper, "whisper", noise(n), language="en", task="translate")) for n in seeds]
    assert plain != hinted
    assert plain != translated


async def test_alternatives_come_best_first_and_begin_with_the_text(whisper: Triton) -> None:
    answer = await recognise(whisper, "whisper", noise(1), language="en", alternatives=3)
    found = [json.loads(one) for one in answer["alternatives"]]
    assert found[0]["text"] == text(answer)
    assert 1 < len({one["text"] for one in found}) == len(found) <= 3
    assert all(0 < one["confidence"] <= 1 for one in found)


async def test_what_is_longer_than_a_window_is_heard_in_pieces(whisper: Triton) -> None:
    samples = np.concatenate([noise(seed, 23) for seed in range(3)])
    answer = await recognise(whisper, "whisper", samples, language="en")
    well_formed(answer, 69.0)
    assert answer["times"].max() > 40


async def test_nobody_is_heard_in_silence(whisper: Triton) -> None:
    for samples in (np.zeros(RATE, np.int16), np.zeros(RATE * 40, np.int16), np.array([3, -3] * 500, np.int16)):
        answer = await recognise(whisper, "whisper", samples)
        assert text(answer) == ""
        well_formed(answer, 40)


@pytest.mark.parametrize("samples", [1, 160, 399, 1600])
async def test_clips_of_any_length_are_answered(whisper: Triton, samples: int) -> None:
    answer = await recognise(whisper, "whisper", np.full(samples, 2000, np.int16), language="en")
    well_formed(answer, samples / RATE)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"language": "xx"}, "language"),
        ({"hints": {"grammar": "#JSGF V1.0;"}}, "hints.grammar"),
        ({"hints": "{not json"}, "hints"),
        ({"task": "sing"}, "task"),
        ({"alternatives": 99}, "alternatives"),
        ({"alternatives": -1}, "alternatives"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name_and_harms_nobody(
    whisper: Triton, inputs: dict[str, object], field: str
) -> None:
    good, bad = await asyncio.gather(
        recognise(whisper, "whisper", noise(1), language="en"),
        recognise(whisper, "whisper", noise(1), **inputs),
        return_exceptions=True,
    )
    assert isinstance(bad, errors.InvalidArgument)
    assert bad.violations[0].field == field
    assert not isinstance(good, BaseException)
    assert words(good)


async def test_no_samples_are_refused(whisper: Triton) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await recognise(whisper, "whisper", np.zeros(0, np.int16))
    assert caught.value.violations[0].field == "samples"


async def test_a_caller_who_hangs_up_does_not_disturb_the_others(whisper: Triton) -> None:
    alone = await recognise(whisper, "whisper", noise(1), language="en")
    calls = [asyncio.create_task(recognise(whisper, "whisper", noise(n), language="en")) for n in (5, 6, 1, 7)]
    await asyncio.sleep(0.05)
    for call in calls[:2]:
        call.cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert not isinstance(found[2], BaseException)
    assert alike(alone, found[2])


async def test_when_the_model_dies_its_callers_are_told_and_the_next_one_is_served(
    models: Path, tmp_path: Path
) -> None:
    for triton in served(["whisper"], models, tmp_path):
        client = Triton(triton.target)
        try:
            alone = await recognise(client, "whisper", noise(1), language="en")
            (worker,) = workers_of(triton.process.pid)
            os.kill(worker, signal.SIGSTOP)
            call = asyncio.create_task(recognise(client, "whisper", noise(1), language="en"))
            await asyncio.sleep(0.3)
            os.kill(worker, signal.SIGKILL)
            with pytest.raises(errors.Unavailable):
                await call
            assert alike(alone, await recognise(client, "whisper", noise(1), language="en"))
        finally:
            await client.close()


def test_no_worker_outlives_its_triton(models: Path, tmp_path: Path) -> None:
    for triton in served(["whisper"], models, tmp_path):
        (worker,) = workers_of(triton.process.pid)
        triton.kill()
        deadline = time.monotonic() + 30
        while Path(f"/proc/{worker}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
