"""Speaker diarization with pyannote.audio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton_models.shared.hosted import HostedModel


class TritonPythonModel:
    """Answers with who speaks when in one stretch of audio."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the model in its environment. Raises WorkerError when one of the two is not there."""
        self._model = HostedModel(args, "triton_models.shared.pyannote:Diarizer")

    def execute(self, requests: list[Any]) -> None:
        """Takes requests, which are answered as soon as they are done."""
        self._model.execute(requests)

    def finalize(self) -> None:
        """Ends the model."""
        self._model.close()
