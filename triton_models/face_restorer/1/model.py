"""Clearer faces, by networks in ONNX's format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from triton_models.shared import orphan, tensors
from triton_models.shared.faces import shelf


class TritonPythonModel:
    """Answers with a picture whose faces are drawn anew, or with what there is to draw them with."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Leaves loading to the first picture."""
        orphan.end_with_triton()
        self._parameters = tensors.parameters(args)
        self._loaded: tuple[Any, Any] = (None, None)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers pictures one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        if tensors.array(request, "request") is not None:
            names = list(shelf.networks(self._parameters))
            return {"catalog": tensors.strings([json.dumps({"face_restorers": names})])}
        image = tensors.array(request, "image")
        path = shelf.find(self._parameters, tensors.text(request, "name").decode(errors="replace"))
        if image is None or 0 in image.shape or image.size > 3 * int(self._parameters["pixels"]):
            raise tensors.InputError(f"image: not a picture of at most {self._parameters['pixels']} pixels")
        # Here, because two large libraries come with it: who never restores a face does without them.
        from triton_models.shared.faces import restore

        if self._loaded[0] != path:
            self._loaded = path, restore.Network(path, int(self._parameters["threads"] or 0))
        return {"image": restore.restore(self._loaded[1], image, cancelled)}
