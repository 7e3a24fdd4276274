"""Where the embedded networks' weights are: found without loading what runs them."""

from __future__ import annotations

from pathlib import Path

from triton_models.shared import packages

REMEDY = "run `make setup`, or `pip install --no-deps --requirement triton_models/weights.txt`"


def silero() -> Path:
    """The network that finds speech. Raises FileNotFoundError where faster-whisper is not installed."""
    return packages.file("faster_whisper", "assets/silero_vad_v6.onnx")


def voices() -> Path:
    """The network that tells voices apart. Raises FileNotFoundError, with the command that mends it."""
    return packages.file("resemblyzer", "pretrained.pt", REMEDY)
