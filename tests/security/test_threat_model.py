"""The threat model names a test for every defence: they have to be there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")]
    for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| threat |")
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_defence_has_its_test(row: list[str]) -> None:
    _threat, _defence, named = row
    path, _, name = named.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_the_table_is_read() -> None:
    assert len(ROWS) >= 25
    assert all(re.fullmatch(r"tests/\w+/test_\w+\.py::test_\w+", row[2]) for row in ROWS)
