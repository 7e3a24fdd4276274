"""PhoWhisper in the real Triton and its own environment, on a tiny checkpoint in Hugging Face's format."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from services.mesh import errors
from services.mesh.triton import Triton
from tests.gpu_models.speech import RATE, alike, noise, recognise, text, well_formed, words

MODEL = "phowhisper"


async def test_a_stretch_gives_vietnamese_words_with_times(torch_client: Triton) -> None:
    answer = await recognise(torch_client, MODEL, noise(1), language="vi-VN")
    assert words(answer)
    well_formed(answer, 2.0)
    assert answer["language"][0] == b"vi"
    assert 0 < answer["language_probability"][0] <= 1
    assert text(answer).split() == words(answer)


async def test_what_is_heard_does_not_depend_on_the_company(torch_client: Triton) -> None:
    manners: list[dict[str, Any]] = [{}, {"language": "vi"}, {"hints": {"phrases": ["Hà Nội"]}}, {"alternatives": 2}]
    asked = [(noise(seed, 1 + seed % 2), manners[seed % len(manners)]) for seed in range(8)]
    alone = [await recognise(torch_client, MODEL, samples, **manner) for samples, manner in asked]
    together = await asyncio.gather(*(recognise(torch_client, MODEL, samples, **manner) for samples, manner in asked))
    assert sum(bool(words(answer)) for answer in alone) > len(asked) / 2
    assert [pair for pair in zip(alone, together, strict=True) if not alike(*pair)] == []


async def test_alternatives_come_best_first_and_begin_with_the_text(torch_client: Triton) -> None:
    answer = await recognise(torch_client, MODEL, noise(1), alternatives=2)
    found = [json.loads(one) for one in answer["alternatives"]]
    assert found[0]["text"] == text(answer)
    assert 0 < len(found) <= 2
    assert all(0 < one["confidence"] <= 1 for one in found)


async def test_nobody_is_heard_in_silence(torch_client: Triton) -> None:
    answer = await recognise(torch_client, MODEL, np.zeros(RATE, np.int16))
    assert text(answer) == ""
    well_formed(answer, 1)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [({"language": "en"}, "language"), ({"hints": {"grammar": "x"}}, "hints.grammar"), ({"task": "sing"}, "task")],
)
async def test_what_makes_no_sense_is_refused_by_name(
    torch_client: Triton, inputs: dict[str, object], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await recognise(torch_client, MODEL, noise(1), **inputs)
    assert caught.value.violations[0].field == field


async def test_a_caller_who_hangs_up_does_not_disturb_the_others(torch_client: Triton) -> None:
    alone = await recognise(torch_client, MODEL, noise(1))
    calls = [asyncio.create_task(recognise(torch_client, MODEL, noise(n))) for n in (5, 1, 6)]
    await asyncio.sleep(0.1)
    calls[0].cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert not isinstance(found[1], BaseException)
    assert alike(alone, found[1])
