"""Speaker diarization on a CPU, with weights that come inside packages."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from triton_models.shared import heap, orphan, recognition, tensors, weights
from triton_models.shared.diarization.engine import Diarizer
from triton_models.shared.diarization.options import Options


class TritonPythonModel:
    """Answers with the turns of the speakers in one stretch of audio, and with their voices."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Leaves loading to the first request: whoever asks for no speakers does without 35 MB for each core.

        Raises FileNotFoundError, with what to do, where a package with weights is missing.
        """
        orphan.end_with_triton()
        del args
        weights.silero()
        weights.voices()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch of requests, one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        samples = recognition.samples(request)
        options = Options.parse(tensors.text(request, "options"))
        known, likely = tensors.array(request, "known"), tensors.array(request, "speech")
        return self._diarizer.diarize(samples, options, known, cancelled, likely)._asdict()

    @functools.cached_property
    def _diarizer(self) -> Diarizer:
        """The engine; a tenth of a second when it is asked for first."""
        made = Diarizer()
        # The weights are read, rearranged and copied: of three times their size one is needed.
        heap.give_back()
        return made
