"""Finds weights that come inside installed packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def file(package: str, path: str, remedy: str = "") -> Path:
    """A file inside an installed package, found without importing the package, which may be heavy.

    Args:
        package: Its import name.
        path: The file, relative to the package's folder.
        remedy: What to do when it is missing; told in the error.

    Raises:
        FileNotFoundError: the package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (found := Path(folder) / path).exists():
            return found
    raise FileNotFoundError(f"{package} is not installed, or has no {path}{remedy and f': {remedy}'}")
