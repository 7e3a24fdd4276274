"""Larger pictures: Lanczos here, checkpoints in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton_models.shared import tensors
from triton_models.shared.hosted import HostedModel
from triton_models.shared.upscaling import request


class TritonPythonModel:
    """Answers with a larger picture, or with what there is to enlarge with."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Leaves loading to the first request that needs it."""
        answerer = request.answerer(tensors.parameters(args))
        self._model = HostedModel(args, "triton_models.shared.upscaling.engine:Upscaler", at_once=answerer)

    def execute(self, requests: list[Any]) -> None:
        """Takes requests, which are answered as soon as they are done."""
        self._model.execute(requests)

    def finalize(self) -> None:
        """Ends the model."""
        self._model.close()
