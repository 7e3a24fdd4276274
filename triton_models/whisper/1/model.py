"""Whisper on CTranslate2, many requests together; `whisper_turbo` is the same with another checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton_models.shared.hosted import HostedModel


class TritonPythonModel:
    """Answers with the words of one stretch of speech, in the language asked for or detected."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the model. Raises WorkerError when its directory is not there."""
        self._model = HostedModel(args, "triton_models.shared.whisper:Whisper")

    def execute(self, requests: list[Any]) -> None:
        """Takes requests, which are answered as soon as they were decoded."""
        self._model.execute(requests)

    def finalize(self) -> None:
        """Ends the model."""
        self._model.close()
