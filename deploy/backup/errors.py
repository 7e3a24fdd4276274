"""What goes wrong with backups."""

from __future__ import annotations


class BackupError(RuntimeError):
    """A backup cannot be made or restored; the message says which part, why, and what to do about it."""
