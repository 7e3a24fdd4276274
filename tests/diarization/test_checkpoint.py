"""Tensors out of PyTorch's old format, and nothing else."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from triton_models.shared import checkpoint
from triton_models.shared.checkpoint import CheckpointError

VALUES = np.arange(6, dtype=np.float32)


def text(value: str) -> bytes:
    """A string in a pickle."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def pair(first: int, second: int) -> bytes:
    """A tuple of two numbers in a pickle."""
    return bytes([*b"K", first, *b"K", second, *b"\x86"])


def storage(key: str) -> bytes:
    """A storage in a pickle: a persistent id."""
    return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + b"K\x06tQ"


def tensor(key: str, *, size: bytes, stride: bytes, maker: bytes = b"ctorch._utils\n_rebuild_tensor_v2\n") -> bytes:
    """A tensor in a pickle."""
    return maker + b"(" + storage(key) + b"K\x00" + size + stride + b"tR"


def saved(path: Path, weights: bytes) -> Path:
    """A file as torch.save wrote it: an optimiser's tensor, and one of the model, whose pickle is given."""
    other = tensor("0", size=pair(2, 3), stride=pair(3, 1))
    parts = [pickle.dumps(value) for value in (checkpoint.MAGIC, checkpoint.VERSION, {"little_endian": True})]
    parts.append(
        b"\x80\x02}"
        + text("optimiser")
        + b"}"
        + text("o")
        + other
        + b"ss"[:1]
        + b"s"
        + text("model_state")
        + b"}"
        + text("w")
        + weights
        + b"ss."
    )
    parts.append(pickle.dumps(["0", "7"]))
    parts += [struct.pack("<q", 6) + (VALUES - 100).tobytes(), struct.pack("<q", 6) + VALUES.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def test_tensors_are_read_with_their_strides(tmp_path: Path) -> None:
    path = saved(tmp_path / "weights.pt", tensor("7", size=pair(3, 2), stride=pair(1, 3)))
    found = checkpoint.tensors(path, "model_state")
    assert list(found) == ["w"]
    assert found["w"].tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("maker", [b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n"])
def test_a_pickle_that_calls_something_else_is_refused(tmp_path: Path, maker: bytes) -> None:
    path = saved(tmp_path / "evil.pt", tensor("7", size=pair(3, 2), stride=pair(1, 3), maker=maker))
    with pytest.raises(CheckpointError, match="which is no tensor"):
        checkpoint.tensors(path, "model_state")


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "large.pt", tensor("7", size=pair(3, 3), stride=pair(3, 1)))
    with pytest.raises(CheckpointError, match="w is larger"):
        checkpoint.tensors(path, "model_state")


@pytest.mark.parametrize("kept", [0, 10, 100, 400, -1])
def test_a_file_that_breaks_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = saved(tmp_path / "weights.pt", tensor("7", size=pair(3, 2), stride=pair(1, 3)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"weights\.pt"):
        checkpoint.tensors(path, "model_state")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zip.pt"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(CheckpointError, match=r"zip\.pt"):
        checkpoint.tensors(path, "model_state")
