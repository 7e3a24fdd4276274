"""Voices as vectors: a GE2E speaker encoder with the weights of the resemblyzer package (Apache-2.0).

L. Wan et al., "Generalized end-to-end loss for speaker verification" (ICASSP 2018). Three LSTM layers read the mel
spectra of 1.6 s; a projection of the last state, made positive and of unit length, is the embedding. Two voices are as
similar as the cosine of their embeddings. What the network makes of a window's first 0.8 s is the state that it had
then: windows of every length come from one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triton_models.shared import checkpoint, onnx, weights
from triton_models.shared.diarization.mel import BANDS
from triton_models.shared.errors import CancelledError
from triton_models.shared.silero import session

SIZE = 256  # of an embedding
LONG = 160  # frames that the network was trained on
SHORT = 80  # frames of the windows that place boundaries
STEP = 20  # lengths that an embedding can be had for are multiples of this
LEAST = 40  # frames below which an embedding says nothing
LAYERS = 3
WIDE = 1
"""Layers, from the input on, that compute in floats. What the network hears spans five powers of ten, which eight bits
do not hold; the layers behind it see values between -1 and 1, and embeddings stay alike to a thousandth."""
BATCH = 64  # windows in a run: 20 MB

Vectors = NDArray[np.float32]
LENGTHS = np.arange(LEAST, LONG + 1, STEP)


class Voices:
    """The network. Raises FileNotFoundError, with the command that mends it, when the weights are not installed."""

    def __init__(self) -> None:
        self._session = session(_graph(checkpoint.tensors(weights.voices(), "model_state")))

    def embed(
        self,
        spectra: NDArray[np.float32],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Vectors:
        """Embeddings of windows, float32[len(starts), number of lengths, SIZE], each of unit length.

        Args:
            spectra: float32[frames, BANDS], brought to speech.LEVEL.
            starts: The first frame of each window.
            lengths: int[len(starts), number of lengths]: frames, rounded down to what can be had.
            cancelled: Asked between batches. Raises CancelledError when it says so.
        """
        padded = np.concatenate([spectra, np.zeros((LONG, BANDS), np.float32)])
        which = np.clip(lengths // STEP * STEP, LEAST, LONG) // STEP - LEAST // STEP
        found = np.empty((*lengths.shape, SIZE), np.float32)
        for first in range(0, len(starts), BATCH):
            if cancelled():
                raise CancelledError
            batch = slice(first, first + BATCH)
            windows = padded[starts[batch] + np.arange(LONG)[:, None]]
            (states,) = self._session.run(None, {"spectra": windows})
            found[batch] = states[which[batch], np.arange(len(states[0]))[:, None]]
        return unit(found)


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """The vectors, along the last axis, with unit length; a vector of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: NDArray[Any] = vectors / np.where(norms > 0, norms, 1)
    return found


def _graph(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The network as an ONNX model: `spectra` [LONG, n, BANDS] to embeddings [number of LENGTHS, n, SIZE]."""
    constants: dict[str, Any] = {"direction": np.array([1]), "last": LENGTHS - 1}
    nodes = []
    before = "spectra"
    for layer in range(LAYERS):
        biases = [_gates(tensors[f"lstm.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        matrices = [_gates(tensors[f"lstm.weight_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        build = _wide if layer < WIDE else _narrow
        node, values = build(before, layer, matrices, np.concatenate(biases))
        constants |= values
        nodes.append(node)
        before = f"H{layer}"
        nodes.append(onnx.Node("Squeeze", [f"Y{layer}", "direction"], [before]))
    constants |= {"projection": np.ascontiguousarray(tensors["linear.weight"].T), "bias": tensors["linear.bias"]}
    nodes += [
        onnx.Node("Gather", [before, "last"], ["states"], {"axis": 0}),
        onnx.Node("MatMul", ["states", "projection"], ["projected"]),
        onnx.Node("Add", ["projected", "bias"], ["shifted"]),
        onnx.Node("Relu", ["shifted"], ["embeddings"]),
    ]
    return onnx.model(nodes, constants, {"spectra": ("frames", "n", BANDS)}, {"embeddings": ("lengths", "n", SIZE)})


def _wide(
    before: str, layer: int, matrices: list[NDArray[np.float32]], bias: NDArray[np.float32]
) -> tuple[onnx.Node, dict[str, Any]]:
    """A layer that computes in floats, with its weights."""
    values = {f"W{layer}": matrices[0][None], f"R{layer}": matrices[1][None], f"B{layer}": bias[None]}
    return onnx.Node("LSTM", [before, *values], [f"Y{layer}"], {"hidden_size": SIZE}), values


def _narrow(
    before: str, layer: int, matrices: list[NDArray[np.float32]], bias: NDArray[np.float32]
) -> tuple[onnx.Node, dict[str, Any]]:
    """A layer that multiplies in eight bits, with its weights: twice as fast."""
    (w, ws, wz), (r, rs, rz) = (_quantised(matrix) for matrix in matrices)
    names = [f"{kind}{layer}" for kind in ("W", "R", "B", "Ws", "Wz", "Rs", "Rz")]
    values = dict(zip(names, (w, r, bias[None], ws, wz, rs, rz), strict=True))
    inputs = [before, *names[:3], "", "", "", "", *names[3:]]  # no lengths, no initial states, no peepholes
    attributes = {"hidden_size": SIZE}
    return onnx.Node("DynamicQuantizeLSTM", inputs, [f"Y{layer}"], attributes, onnx.ONNXRUNTIME), values


def _quantised(
    matrix: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int8]]:
    """A matrix [outputs, inputs] as integers [1, inputs, outputs], with each output's scale and zero point."""
    scales = np.abs(matrix).max(axis=1) / 127
    integers = np.rint(matrix / scales[:, None]).astype(np.int8)
    return integers.T[None], scales[None].astype(np.float32), np.zeros((1, len(matrix)), np.int8)


def _gates(stacked: NDArray[np.float32]) -> NDArray[np.float32]:
    """PyTorch stacks input, forget, cell and output gate; ONNX wants input, output, forget, cell."""
    i, f, c, o = np.split(stacked, 4)
    return np.concatenate([i, o, f, c])
