"""PhoWhisper on transformers, many requests together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton_models.shared.hosted import HostedModel


class TritonPythonModel:
    """Answers with the words of one stretch of Vietnamese speech."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the model in its environment. Raises WorkerError when one of the two is not there."""
        self._model = HostedModel(args, "triton_models.shared.phowhisper:PhoWhisper")

    def execute(self, requests: list[Any]) -> None:
        """Takes requests, which are answered as soon as they are done."""
        self._model.execute(requests)

    def finalize(self) -> None:
        """Ends the model."""
        self._model.close()
