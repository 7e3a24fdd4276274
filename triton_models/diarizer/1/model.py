"""Speaker diarization on a CPU, with weights that come inside packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton_models.shared import orphan, recognition, tensors
from triton_models.shared.diarization.engine import Diarizer
from triton_models.shared.diarization.options import Options


class TritonPythonModel:
    """Answers with the turns of the speakers in one stretch of audio, and with their voices."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the networks. Raises FileNotFoundError, with what to do, where a package with weights is missing."""
        orphan.end_with_triton()
        del args
        self._diarizer = Diarizer()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch of requests, one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        samples = recognition.samples(request)
        options = Options.parse(tensors.text(request, "options"))
        known, likely = tensors.array(request, "known"), tensors.array(request, "speech")
        found = self._diarizer.diarize(samples, options, known, cancelled, likely)
        return found._asdict()
