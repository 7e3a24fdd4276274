"""Voice activity detection with Silero VAD."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from triton_models.shared import orphan, tensors, weights
from triton_models.shared.silero import WINDOW, Silero


class TritonPythonModel:
    """Answers with one probability for each window, and the state for the audio that follows."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Leaves loading to the first request. Raises FileNotFoundError where faster-whisper is not installed."""
        orphan.end_with_triton()
        del args
        weights.silero()

    @functools.cached_property
    def _silero(self) -> Silero:
        """The network; some hundredths of a second when it is asked for first."""
        return Silero()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch of requests, one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        samples, state = tensors.array(request, "samples"), tensors.array(request, "state")
        if samples is None or len(samples) == 0 or len(samples) % WINDOW:
            raise tensors.InputError(f"samples: their number must be a multiple of {WINDOW}, and not 0")
        probabilities, after = self._silero.probabilities(samples, state, cancelled)
        return {"probabilities": probabilities, "state": after}
