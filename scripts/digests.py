"""Writes values of the chart that pin every image of ours by its digest.

    python scripts/digests.py FOLDER > values-digests.yaml

The folder has a file for each image, named as it is without `parley/`, with `sha256:…` in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

VALUES = Path(__file__).resolve().parent.parent / "deploy" / "helm" / "parley" / "values.yaml"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def images(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where values name one of our images, and which."""
    for key, value in values.items():
        if not isinstance(value, dict):
            continue
        name = str(value.get("repository", ""))
        if key == "image" and name.startswith("parley/"):
            yield (*path, key), name.removeprefix("parley/")
        yield from images(value, (*path, key))


def pinned(digests: dict[str, str]) -> dict[str, Any]:
    """The values. Raises ValueError where an image has no digest, or what is given is none."""
    made: dict[str, Any] = {}
    for path, name in images(yaml.safe_load(VALUES.read_text())):
        digest = digests.get(name, "")
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"{'.'.join(path)}: the digest of parley/{name} is missing or none: {digest[:80]!r}")
        place = made
        for key in path:
            place = place.setdefault(key, {})
        place["digest"] = digest
    return made


def main() -> None:
    """Prints the values."""
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/digests.py FOLDER")
    digests = {path.name: path.read_text().strip() for path in Path(sys.argv[1]).iterdir()}
    try:
        values = pinned(digests)
    except ValueError as error:
        sys.exit(str(error))
    print("# The images of this release: give it beside your own values.")
    print(yaml.safe_dump(values, sort_keys=False), end="")


if __name__ == "__main__":
    main()
