"""Silero VAD (https://github.com/snakers4/silero-vad, MIT), from the weights inside the faster-whisper wheel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from triton_models.shared import tensors

WINDOW = 512  # samples at 16 kHz that the network judges at a time
CONTEXT = 64  # samples before the window that it sees besides
HIDDEN = 128  # size of the LSTM's state h, and of c
BATCH = 1024  # windows to a run: half a minute of audio, some 20 MB of activations


class TritonPythonModel:
    """Answers with one probability for each window, and the state for the audio that follows."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the network. Raises FileNotFoundError where faster-whisper is not installed."""
        del args
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        weights = tensors.package_file("faster_whisper", "assets/silero_vad_v6.onnx")
        self._session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch of requests, one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        samples, state = tensors.array(request, "samples"), tensors.array(request, "state")
        if samples is None or len(samples) == 0 or len(samples) % WINDOW:
            raise tensors.InputError(f"samples: their number must be a multiple of {WINDOW}, and not 0")
        state = np.zeros(CONTEXT + 2 * HIDDEN, np.float32) if state is None else state
        context, h, c = np.split(state, [CONTEXT, CONTEXT + HIDDEN])
        h, c = h.reshape(1, 1, HIDDEN), c.reshape(1, 1, HIDDEN)
        windows = samples.reshape(-1, WINDOW)
        before = np.concatenate([context[None], windows[:-1, -CONTEXT:]])
        frames = np.concatenate([before, windows], axis=1)
        probabilities = []
        for start in range(0, len(frames), BATCH):
            if cancelled():
                raise tensors.CancelledError
            found, h, c = self._session.run(None, {"input": frames[start : start + BATCH], "h": h, "c": c})
            probabilities.append(found.reshape(-1))
        after = np.concatenate([windows[-1, -CONTEXT:], h.reshape(-1), c.reshape(-1)])
        return {"probabilities": np.concatenate(probabilities), "state": after}
