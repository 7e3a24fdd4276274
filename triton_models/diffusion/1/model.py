"""Diffusion with diffusers: many requests together, each with a stream of events of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton_models.shared import tensors
from triton_models.shared.diffusion import catalog, request
from triton_models.shared.hosted import HostedModel


class TritonPythonModel:
    """Answers with progress, previews and then the pictures; or with what there is to draw with."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Starts the worker, or leaves that to the first request that needs it. Raises WorkerError."""
        answerer = catalog.answerer(tensors.parameters(args))
        self._model = HostedModel(args, "triton_models.shared.diffusion.engine:Diffusion", request.kind, answerer)

    def execute(self, requests: list[Any]) -> None:
        """Takes requests, which are answered bit by bit."""
        self._model.execute(requests)

    def finalize(self) -> None:
        """Ends the model."""
        self._model.close()
