"""Reads the tensors of a PyTorch checkpoint without PyTorch, and without running what a pickle may contain.

The format is the one that torch.save wrote before release 1.6: three pickles (magic number, version, byte order), the
pickled object with its tensors' storages as persistent ids, the list of the storages' keys, and then each storage as
a length and raw little-endian bytes (torch/serialization.py, `_legacy_save`).
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
TYPES = {"FloatStorage": np.dtype("<f4"), "DoubleStorage": np.dtype("<f8"), "LongStorage": np.dtype("<i8")}


class CheckpointError(ValueError):
    """The file is no checkpoint of this format, or holds more than tensors."""


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
    """Stands for torch._utils._rebuild_tensor and its second version, whose further arguments concern gradients."""
    return _Tensor(storage, offset, size, stride)


KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    **{("torch", name): dtype for name, dtype in TYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Knows what a dictionary of tensors needs, and refuses everything else."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__(file)
        self.storages: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise CheckpointError(f"the checkpoint holds {module}.{name}, which is no tensor")
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage":
            raise CheckpointError(f"the checkpoint holds a {kind}, which is no storage")
        self.storages[key] = dtype
        return _Storage(key, dtype)


def tensors(path: Path, entry: str) -> dict[str, NDArray[Any]]:
    """The tensors of one entry of a checkpoint, by name.

    Args:
        path: A file that torch.save wrote.
        entry: The entry of the saved dictionary that holds the tensors, e.g. `model_state`.

    Raises:
        CheckpointError: the file has another format, or breaks off.
    """
    try:
        with path.open("rb") as file:
            if _Unpickler(file).load() != MAGIC or _Unpickler(file).load() != VERSION:
                raise CheckpointError(f"{path.name}: not a checkpoint of the old format")
            _Unpickler(file).load()  # the byte order: no machine of today has another one
            unpickler = _Unpickler(file)
            saved = unpickler.load()
            wanted = {name: value for name, value in saved[entry].items() if isinstance(value, _Tensor)}
            keys = {value.storage.key for value in wanted.values()}
            return _assemble(wanted, _storages(file, unpickler.storages, keys))
    except (pickle.UnpicklingError, EOFError, struct.error, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path.name}: {error}") from error


def _storages(
    file: io.BufferedReader, dtypes: Mapping[str, np.dtype[Any]], wanted: set[str]
) -> dict[str, NDArray[Any]]:
    """Reads the storages that are wanted and skips the others, an optimiser's say."""
    found: dict[str, NDArray[Any]] = {}
    for key in _Unpickler(file).load():
        (length,) = struct.unpack("<q", file.read(8))
        size = length * dtypes[key].itemsize
        if key in wanted:
            found[key] = np.frombuffer(file.read(size), dtypes[key])
        else:
            file.seek(size, io.SEEK_CUR)
    return found


def _assemble(tensors: Mapping[str, _Tensor], storages: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    found = {}
    for name, (storage, offset, size, stride) in tensors.items():
        data = storages[storage.key]
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if min((offset, *size, *stride)) < 0 or last >= len(data):
            raise CheckpointError(f"{name} is larger than what is stored of it")
        steps = [step * data.itemsize for step in stride]
        found[name] = np.lib.stride_tricks.as_strided(data[offset:], size, steps).copy()
    return found
