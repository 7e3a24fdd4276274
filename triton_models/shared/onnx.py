"""Writes ONNX models: the few protobuf messages that a small network needs, without the onnx package.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; the wire format is protobuf's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IR_VERSION, OPSET = 8, 13
FLOAT, INT8, INT64 = 1, 3, 7  # TensorProto.DataType
INT_ATTRIBUTE = 2  # AttributeProto.AttributeType
TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.int8): INT8, np.dtype(np.int64): INT64}
ONNXRUNTIME = "com.microsoft"
"""The domain of onnxruntime's own operators."""
Weights = NDArray[np.float32] | NDArray[np.int8] | NDArray[np.int64]


class Node(NamedTuple):
    """An operator with the names of what goes in and comes out; an empty name leaves an input away."""

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, int] = {}
    domain: str = ""
    """Empty for ONNX's own."""


def model(
    nodes: Sequence[Node],
    weights: Mapping[str, Weights],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
) -> bytes:
    """A model as onnxruntime reads it.

    Args:
        nodes: The operators, each after those that it needs.
        weights: Constants by name.
        inputs: Shapes of the float inputs by name; a text stands for a size that differs from call to call.
        outputs: Shapes of the outputs.
    """
    graph = b"".join(_bytes(1, _node(node)) for node in nodes) + _bytes(2, b"graph")
    graph += b"".join(_bytes(5, _tensor(name, value)) for name, value in weights.items())
    graph += b"".join(_bytes(11, _value(name, shape)) for name, shape in inputs.items())
    graph += b"".join(_bytes(12, _value(name, shape)) for name, shape in outputs.items())
    opsets = _bytes(8, _int(2, OPSET)) + _bytes(8, _bytes(1, ONNXRUNTIME.encode()) + _int(2, 1))
    return _int(1, IR_VERSION) + _bytes(7, graph) + opsets


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _node(node: Node) -> bytes:
    names = [_bytes(1, name.encode()) for name in node.inputs] + [_bytes(2, name.encode()) for name in node.outputs]
    attributes = [
        _bytes(5, _bytes(1, name.encode()) + _int(3, value) + _int(20, INT_ATTRIBUTE))
        for name, value in node.attributes.items()
    ]
    return b"".join([*names, _bytes(4, node.operator.encode()), *attributes, _bytes(7, node.domain.encode())])


def _tensor(name: str, value: Weights) -> bytes:
    sizes = b"".join(_int(1, size) for size in value.shape)
    return (
        sizes
        + _int(2, TYPES[value.dtype])
        + _bytes(8, name.encode())
        + _bytes(9, np.ascontiguousarray(value).tobytes())
    )


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(_bytes(1, _int(1, size) if isinstance(size, int) else _bytes(2, size.encode())) for size in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, FLOAT) + _bytes(2, sizes)))
