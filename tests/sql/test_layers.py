"""The packages of the sql service depend on each other in one direction; services/sql/README.md lists them so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

SERVICE = ROOT / "services" / "sql"
# From what knows nothing of the others to what knows them all; what stands in one row knows nothing of each other.
LAYERS = (
    ("errors", "language", "mongo_dialect", "settings", "values"),
    ("hosts", "schema"),
    ("examples", "guard", "linking", "query", "store", "target"),
    ("drivers", "meaning"),
    ("engine", "execution", "llm", "schemas"),
    ("advice", "databases", "results"),
    ("converters", "knowledge", "semantics", "uploads"),
    ("asking",),
    ("knowledge_servicer", "servicer"),
    ("application",),
    ("__main__",),
)
PARTS = [part for layer in LAYERS for part in layer]


def paths(part: str) -> list[Path]:
    """The modules of a package, or the one of that name."""
    package = SERVICE / part
    return sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]


def known(path: Path) -> set[str]:
    """The parts of the service that a module imports something of."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("services.sql"):
            of = (node.module or "").split(".")[2:]
            found |= {of[0]} if of else {alias.name for alias in node.names}
    return found


def test_every_part_has_its_layer() -> None:
    there = {path.stem for path in SERVICE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} == set(PARTS)


@pytest.mark.parametrize("level", range(len(LAYERS)), ids=lambda level: "-".join(LAYERS[level]))
def test_a_part_knows_only_the_layers_below_it(level: int) -> None:
    below = {part for layer in LAYERS[:level] for part in layer}
    for part in LAYERS[level]:
        for path in paths(part):
            assert known(path) <= below | {part}, path


def test_the_readme_names_every_module() -> None:
    text = (SERVICE / "README.md").read_text()
    rows = {
        row[1]: set(re.findall(r"`(\w+)`", row[0])) for row in re.finditer(r"^\| `(\w+)/` \|.*$", text, re.MULTILINE)
    }
    for part in PARTS:
        if (SERVICE / part).is_dir() and part != "drivers":
            names = {path.stem for path in paths(part)} - {"__init__"}
            assert names == rows[part], part
