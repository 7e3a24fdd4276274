"""Databases that are files: whether the file at a path is still the one that was opened."""

from __future__ import annotations

from pathlib import Path


class Identity:
    """Which file a path names now.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._then = self._now()

    def holds(self) -> bool:
        """Whether the path still names that file."""
        return self._then is not None and self._now() == self._then

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
