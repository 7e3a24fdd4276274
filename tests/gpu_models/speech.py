"""Audio and questions for the speech models."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.mesh.triton import Array, Tensor, Triton

RATE = 16000


def noise(seed: int, seconds: float = 2.0) -> NDArray[np.int16]:
    """Bursts of noise with silence between them; a model with random weights hears something in it."""
    random = np.random.default_rng(seed)
    count = int(RATE * seconds)
    bursts = np.repeat(random.random(count // 4000 + 1) > 0.3, 4000)[:count]
    return (random.normal(0, 3000, count) * bursts).astype(np.int16)


async def recognise(client: Triton, model: str, samples: NDArray[np.int16], **inputs: Any) -> dict[str, Array]:
    """What a model makes of samples; texts and hints as str and dict."""
    tensors: dict[str, Tensor] = {"samples": samples}
    for name, value in inputs.items():
        if isinstance(value, int):
            tensors[name] = np.array([value], np.int32)
        else:
            tensors[name] = [(json.dumps(value) if isinstance(value, dict) else value).encode()]
    return await client.infer(model, tensors, within=240)


def text(answer: dict[str, Array]) -> str:
    """The text of an answer."""
    return str(answer["text"][0].decode())


def words(answer: dict[str, Array]) -> list[str]:
    """The words of an answer."""
    return [word.decode() for word in answer["words"]]


def well_formed(answer: dict[str, Array], seconds: float) -> None:
    """Fails where the tensors of an answer do not fit together, or its times run backwards."""
    times = answer["times"]
    assert len(answer["words"]) == len(times) == len(answer["confidences"])
    assert answer["text"].shape == answer["language"].shape == answer["language_probability"].shape == (1,)
    edges = times.reshape(-1)
    assert np.all(np.diff(edges) >= 0), times
    assert not len(edges) or (edges[0] >= 0 and edges[-1] <= seconds + 1e-4)
    assert np.all((answer["confidences"] >= 0) & (answer["confidences"] <= 1))


def alike(one: dict[str, Array], other: dict[str, Array]) -> bool:
    """Whether two answers say the same, of the same language, equally sure.

    Not at the same time: random weights pay the same attention to all of the audio, and where a word begins hangs on
    the last bit of a sum, whose order depends on the size of a batch.
    """
    sure = ("confidences", "language_probability")
    return all(np.array_equal(one[name], other[name]) for name in ("text", "words", "language")) and all(
        np.allclose(one[name], other[name], atol=1e-3) for name in sure
    )
