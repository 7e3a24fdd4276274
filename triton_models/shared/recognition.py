"""The tensors that every recognition model has in common; see README.md for what they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.errors import InputError
from triton_models.shared.wire import Array, strings


def samples(request: Any) -> NDArray[np.int16]:
    """The audio of a request. Raises InputError when there is none."""
    from triton_models.shared import tensors  # Triton's own modules, which a worker does not have

    found = tensors.array(request, "samples")
    if found is None or found.size == 0:
        raise InputError("samples: there must be at least one")
    return found.reshape(-1)


def outputs(
    text: str,
    language: str,
    words: Sequence[tuple[str, float, float, float]],
    *,
    language_probability: float | None = None,
    alternatives: Sequence[tuple[str, float]] | None = None,
) -> dict[str, Array]:
    """The tensors of an answer.

    Args:
        text: The whole text.
        language: BCP 47 code; empty where the model does not know.
        words: Text, start, end (seconds from the first sample) and confidence (0 to 1) of each word.
        language_probability: How sure the model is of the language, 0 to 1; None where it does not say.
        alternatives: Other texts with their confidences, the best one, which is `text`, first; None where it has none.
    """
    answer = {
        "text": strings([text]),
        "language": strings([language]),
        "words": strings([word[0] for word in words]),
        "times": np.array([word[1:3] for word in words], np.float32).reshape(-1, 2),
        "confidences": np.array([word[3] for word in words], np.float32),
    }
    if language_probability is not None:
        answer["language_probability"] = np.array([language_probability], np.float32)
    if alternatives is not None:
        answer["alternatives"] = strings(
            [json.dumps({"text": said, "confidence": sure}, ensure_ascii=False) for said, sure in alternatives]
        )
    return answer
