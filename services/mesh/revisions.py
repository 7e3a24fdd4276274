"""The revisions of a service's schema, read from its migrations without Alembic.

A process that finds nothing to migrate need not hold its 11 MB.
"""

from __future__ import annotations

import ast
import pathlib
from typing import Any, NamedTuple


class Revision(NamedTuple):
    """One step of a schema, as its file's top says."""

    name: str
    """`0002`: what the database keeps when it is there."""
    before: str
    """The revision that it follows; empty for the first."""
    contracts: bool
    """Whether it takes something away."""


def read(migrations: pathlib.Path) -> list[Revision]:
    """The revisions of a service, the newest first.

    Args:
        migrations: Folder with the revisions in `versions/`.

    Raises:
        ValueError: They are not one line, each after exactly one other.
    """
    following: dict[str, Revision] = {}
    for file in sorted((migrations / "versions").glob("*.py")):
        revision = _revision(file)
        if (other := following.get(revision.before)) is not None:
            place = f"follow {revision.before}" if revision.before else "are the first"
            raise ValueError(f"{migrations}: the revisions {other.name} and {revision.name} both {place}")
        following[revision.before] = revision
    line: list[Revision] = []
    while (after := following.pop(line[0].name if line else "", None)) is not None:
        line.insert(0, after)
    if following:
        lost = ", ".join(f"{one.name} follows {one.before}" for one in following.values())
        raise ValueError(f"{migrations}: no line leads to every revision: {lost}")
    return line


def _revision(file: pathlib.Path) -> Revision:
    """What a revision's file says of itself. Raises ValueError where it does not."""
    said: dict[str, Any] = {}
    for statement in ast.parse(file.read_bytes()).body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                _assign(target, statement.value, said)
    try:
        name, before = said["revision"], said["down_revision"]
    except KeyError as missing:
        raise ValueError(f"{file}: says no {missing.args[0]}") from None
    if not isinstance(name, str) or not name or not isinstance(before, str | None):
        raise ValueError(f"{file}: revision must be a text, down_revision one or None")
    return Revision(name, before or "", bool(said.get("contracts", False)))


def _assign(target: ast.expr, value: ast.expr, said: dict[str, Any]) -> None:
    """Notes what is assigned to names at a file's top, where it is a constant."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=True):
            _assign(one, its, said)
    elif isinstance(target, ast.Name) and isinstance(value, ast.Constant):
        said[target.id] = value.value
