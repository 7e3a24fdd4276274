"""Renders the model repository that Triton reads: which models, how many instances, where their weights are.

The folders beside this module are the source. What depends on the machine (instances = cores, the directory of
downloaded weights) cannot stand in a committed `config.pbtxt`, and Triton takes no overrides for models that it loads
at start. So a deployment renders a copy: the code is linked, the configuration is rewritten.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

SOURCE = Path(__file__).parent
"""The folder of the models' sources."""

PER_CORE = "per_core"
"""The parameter that a `config.pbtxt` sets to "true" when the model wants one instance for each core."""


def profile(name: str) -> list[str]:
    """The models of a profile of profiles.toml. Raises KeyError with the known names for another."""
    profiles = tomllib.loads((SOURCE / "profiles.toml").read_text())
    if name not in profiles:
        raise KeyError(f"no profile {name!r}; there are {', '.join(sorted(profiles))}")
    return list(profiles[name]["models"])


def present(models: Sequence[str], model_directory: str, *, source: Path = SOURCE) -> list[str]:
    """Those of `models` that can be loaded: a model that declares a `model_directory` needs its folder in there."""

    def there(model: str) -> bool:
        needs = "model_directory" in _configuration(source / model).parameters
        return not needs or (bool(model_directory) and (Path(model_directory) / model).is_dir())

    return [model for model in models if there(model)]


def cores() -> int:
    """The cores that this process may use, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def render(
    models: Sequence[str],
    into: Path,
    *,
    source: Path = SOURCE,
    instances: int | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Path:
    """Writes the repository for `models` and returns its folder, replacing what an earlier run left there.

    Args:
        models: Names of folders in `source`.
        into: The folder to write. Only symbolic links and configurations are put there.
        source: The folder that holds the models.
        instances: Instances of each model that is marked `per_core`; the number of cores when None.
        parameters: Values for parameters that a configuration declares, e.g. `{"model_directory": "/models"}`; one that
            a model does not declare is not added to it.

    Raises:
        FileNotFoundError: a model has no folder in `source`.
    """
    shutil.rmtree(into, ignore_errors=True)
    for model in models:
        folder = into / model
        folder.mkdir(parents=True)
        config = _configuration(source / model)
        _adapt(config, instances or cores(), parameters or {})
        (folder / "config.pbtxt").write_text(text_format.MessageToString(config))
        for version in sorted((source / model).glob("[0-9]*")):
            (folder / version.name).symlink_to(version.resolve(), target_is_directory=True)
    return into


def _configuration(folder: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def _adapt(config: model_config_pb2.ModelConfig, instances: int, parameters: Mapping[str, str]) -> None:
    """Writes the machine's values into a configuration, in place."""
    for name, value in parameters.items():
        if name in config.parameters:
            config.parameters[name].string_value = value
    if PER_CORE in config.parameters and config.parameters[PER_CORE].string_value == "true":
        for group in config.instance_group:
            group.count = instances
