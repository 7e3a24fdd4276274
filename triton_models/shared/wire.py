"""How tensors travel between a stub and its worker, whose numpy may be of another major release.

Arrays go as their type, shape and bytes; what numpy itself pickles names modules that moved between releases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = Mapping[str, "Array | list[bytes]"]
"""Tensors by name: arrays of numbers, and lists or arrays of byte strings for what Triton calls BYTES."""
Packed = dict[str, "tuple[str, tuple[int, ...], bytes] | list[bytes]"]


class Failure(NamedTuple):
    """Why a request has no tensors as answer."""

    kind: str
    """`invalid`: its inputs make no sense; `cancelled`: its caller gave up; `unsupported`: this deployment does not
    have what it asks for; `busy`: nobody works on it now, a retry may help; `error`: anything else."""
    message: str


Outcome = Tensors | Failure
"""What became of a request."""


def strings(values: Sequence[str]) -> Array:
    """Texts as a BYTES tensor of shape [n]."""
    return np.array([value.encode() for value in values], dtype=np.object_)


def pack(tensors: Tensors) -> Packed:
    """The tensors as plain Python objects."""
    return {
        name: list(value) if isinstance(value, list) or value.dtype == np.object_ else _packed(value)
        for name, value in tensors.items()
    }


def _packed(value: Array) -> tuple[str, tuple[int, ...], bytes]:
    return value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes()


def unpack(packed: Packed) -> dict[str, Array | list[bytes]]:
    """The tensors that `pack` packed: their arrays are read-only, and byte strings come as lists."""
    return {
        name: value if isinstance(value, list) else np.frombuffer(value[2], np.dtype(value[0])).reshape(value[1])
        for name, value in packed.items()
    }
