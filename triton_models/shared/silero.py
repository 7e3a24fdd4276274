"""Silero VAD (https://github.com/snakers4/silero-vad, MIT), from the weights inside the faster-whisper wheel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from triton_models.shared import weights
from triton_models.shared.errors import CancelledError

if TYPE_CHECKING:
    import onnxruntime

WINDOW = 512  # samples at 16 kHz that the network judges at a time
CONTEXT = 64  # samples before the window that it sees besides
HIDDEN = 128  # size of the LSTM's state h, and of c
STATE = CONTEXT + 2 * HIDDEN
BATCH = 1024  # windows to a run: half a minute of audio, some 20 MB of activations


class Silero:
    """The network. It remembers nothing: the state goes in and comes out.

    Raises FileNotFoundError where faster-whisper is not installed.
    """

    def __init__(self) -> None:
        self._session = session(str(weights.silero()))

    def probabilities(
        self,
        samples: NDArray[np.float32] | NDArray[np.int16],
        state: NDArray[np.float32] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How likely each window is speech, float32[n], and the state for the audio that follows, float32[STATE].

        Args:
            samples: n·WINDOW samples at 16 kHz; floats between -1 and 1, or 16-bit integers.
            state: What the call for the audio before gave; None at the beginning.
            cancelled: Asked between batches. Raises CancelledError when it says so.
        """
        state = np.zeros(STATE, np.float32) if state is None else state
        context, h, c = np.split(state, [CONTEXT, CONTEXT + HIDDEN])
        h, c = h.reshape(1, 1, HIDDEN), c.reshape(1, 1, HIDDEN)
        found = []
        for start in range(0, len(samples), BATCH * WINDOW):
            if cancelled():
                raise CancelledError
            windows = floats(samples[start : start + BATCH * WINDOW]).reshape(-1, WINDOW)
            before = np.concatenate([context[None], windows[:-1, -CONTEXT:]])
            frames = np.concatenate([before, windows], axis=1)
            likely, h, c = self._session.run(None, {"input": frames, "h": h, "c": c})
            found.append(likely.reshape(-1))
            context = windows[-1, -CONTEXT:]
        after = np.concatenate([context, h.reshape(-1), c.reshape(-1)])
        return np.concatenate([np.zeros(0, np.float32), *found]), after


def floats(samples: NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.float32]:
    """Samples as floats between -1 and 1."""
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / 32768
    return samples.astype(np.float32, copy=False)


def session(model: str | bytes) -> onnxruntime.InferenceSession:
    """A single-threaded session on the CPU: a model has one instance for each core instead of threads.

    Args:
        model: A file's path, or the ONNX model itself.
    """
    import onnxruntime  # here: 25 MB that a stub whom nobody has asked yet does without

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
