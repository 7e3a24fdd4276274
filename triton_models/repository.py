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
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

SOURCE = Path(__file__).parent
"""The folder of the models' sources."""

PER_CORE = "per_core"
"""The parameter that a `config.pbtxt` sets to "true" when the model wants one instance for each core."""


TORCH_ENVIRONMENT = SOURCE.parent / ".venv-torch"
"""Where `make image-models` puts the virtual environment of the models that need torch."""


def profile(name: str) -> list[str]:
    """The models of a profile of profiles.toml. Raises KeyError with the known names for another."""
    profiles = {key: value["models"] for key, value in _profiles().items() if "models" in value}
    if name not in profiles:
        raise KeyError(f"no profile {name!r}; there are {', '.join(sorted(profiles))}")
    return list(profiles[name])


def present(models: Sequence[str], parameters: Mapping[str, str], *, source: Path = SOURCE) -> list[str]:
    """Those of `models` that can be loaded.

    One that declares a `model_directory` needs the folder of its name in there, or the one that its parameter `folder`
    names; one that declares an `environment` needs that virtual environment. What the parameter `optional` names, it
    can do without.

    Args:
        models: Their names.
        parameters: Values for the parameters that configurations declare.
        source: The folder that holds the models.
    """

    def there(model: str) -> bool:
        configured = _configuration(model, source).parameters
        declared = set(configured) - set(configured["optional"].string_value.split(","))
        directory, environment = (parameters.get(name, "") for name in ("model_directory", "environment"))
        folder = configured["folder"].string_value if "folder" in configured else model
        weights = bool(directory) and (Path(directory) / folder).is_dir()
        interpreter = bool(environment) and (Path(environment) / "bin" / "python").exists()
        return (weights or "model_directory" not in declared) and (interpreter or "environment" not in declared)

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
        models: Names of folders in `source`, or of checkpoints in profiles.toml.
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
        config = _configuration(model, source)
        _adapt(config, instances or cores(), parameters or {})
        (folder / "config.pbtxt").write_text(text_format.MessageToString(config))
        for version in sorted((source / _code(model)).glob("[0-9]*")):
            (folder / version.name).symlink_to(version.resolve(), target_is_directory=True)
    return into


def _profiles() -> dict[str, dict[str, Any]]:
    return tomllib.loads((SOURCE / "profiles.toml").read_text())


def _code(model: str) -> str:
    """The folder that holds a model's code."""
    return str(_profiles()["checkpoints"].get(model, model))


def _configuration(model: str, source: Path) -> model_config_pb2.ModelConfig:
    text = (source / _code(model) / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.name = model
    return config


def _adapt(config: model_config_pb2.ModelConfig, instances: int, parameters: Mapping[str, str]) -> None:
    """Writes the machine's values into a configuration, in place."""
    for name, value in parameters.items():
        if name in config.parameters:
            config.parameters[name].string_value = value
    if PER_CORE in config.parameters and config.parameters[PER_CORE].string_value == "true":
        for group in config.instance_group:
            group.count = instances
