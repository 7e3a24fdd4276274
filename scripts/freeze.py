"""Writes constraints.txt: the exact release of everything in .venv, so that a clone made next year installs the same.

`make freeze` runs it after an upgrade that was tried: pyproject.toml says what Parley needs, this file what it was
tested with.
"""

from __future__ import annotations

import importlib.metadata
import pathlib

TARGET = pathlib.Path(__file__).resolve().parent.parent / "constraints.txt"
# Not dependencies: ourselves, what a virtual environment starts with, and what triton_models/weights.txt pins.
LEFT_OUT = {"parley", "pip", "setuptools", "wheel", "resemblyzer"}


def main() -> None:
    """Replaces constraints.txt."""
    found = {
        dist.metadata["Name"].lower().replace("_", "-"): dist.version for dist in importlib.metadata.distributions()
    }
    lines = [f"{name}=={version}\n" for name, version in sorted(found.items()) if name not in LEFT_OUT]
    TARGET.write_text("# Written by scripts/freeze.py (make freeze).\n" + "".join(lines))


if __name__ == "__main__":
    main()
