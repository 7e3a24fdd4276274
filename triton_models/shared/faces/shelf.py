"""Which networks for faces there are. Imports nothing large: a stub that is never asked stays small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from triton_models.shared.errors import InputError, UnsupportedError

REMEDY = (
    "no face restorer is here: put a network for aligned faces in ONNX's format, such as GFPGAN, CodeFormer or "
    "RestoreFormer++, into the model directory's folder face_restorers/"
)


def networks(parameters: Mapping[str, str]) -> dict[str, Path]:
    """The files of the model directory's folder `face_restorers`, by name."""
    folder = Path(parameters.get("model_directory", "")) / "face_restorers"
    if not parameters.get("model_directory") or not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def find(parameters: Mapping[str, str], name: str) -> Path:
    """The network of that name, or the first one for an empty name.

    Raises:
        InputError: there are others only.
        UnsupportedError: there is none at all.
    """
    known = networks(parameters)
    if not known:
        raise UnsupportedError(REMEDY)
    if (found := known.get(name or next(iter(known)))) is None:
        raise InputError(f"name: there is no {name!r}; there are {', '.join(known)}")
    return found
