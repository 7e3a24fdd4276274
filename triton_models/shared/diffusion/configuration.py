"""What the parameters of config.pbtxt mean, for the worker, which draws, and the stub, which lists what there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from triton_models.shared.diffusion.request import Limits
from triton_models.shared.diffusion.shelf import EMBEDDED, Checkpoint, Shelf


def shelf(parameters: Mapping[str, str]) -> Shelf:
    """What is on disk: what comes with the project, unless `embedded` is "false", and the model directory."""
    folders = [] if parameters.get("embedded") == "false" else [EMBEDDED]
    if directory := parameters.get("model_directory"):
        folders.append(Path(directory) / parameters["name"])
    return Shelf(*folders)


def limits(parameters: Mapping[str, str]) -> Limits:
    """What one request may ask for. Raises ValueError for a parameter that is no number."""
    return Limits(**{name: int(parameters[name]) for name in ("largest", "pixels") if parameters.get(name)})


def default(known: Mapping[str, Checkpoint]) -> str:
    """The checkpoint that is meant where none is named: the first sound one of a model directory, else the embedded."""
    sound = [name for name, one in known.items() if not one.fault]
    own = [name for name in sound if not known[name].path.is_relative_to(EMBEDDED)]
    return [*own, *sound, *known][0]
