"""The tensors that every recognition model has in common; see README.md for what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triton_models.shared import tensors


def samples(request: Any) -> NDArray[np.int16]:
    """The audio of a request. Raises InputError when there is none."""
    found = tensors.array(request, "samples")
    if found is None or found.size == 0:
        raise tensors.InputError("samples: there must be at least one")
    return found.reshape(-1)


def outputs(text: str, language: str, words: Sequence[tuple[str, float, float, float]]) -> dict[str, tensors.Array]:
    """The tensors of an answer.

    Args:
        text: The whole text.
        language: BCP 47 code; empty where the model does not know.
        words: Text, start, end (seconds from the first sample) and confidence (0 to 1) of each word.
    """
    return {
        "text": tensors.strings([text]),
        "language": tensors.strings([language]),
        "words": tensors.strings([word[0] for word in words]),
        "times": np.array([word[1:3] for word in words], np.float32).reshape(-1, 2),
        "confidences": np.array([word[3] for word in words], np.float32),
    }
