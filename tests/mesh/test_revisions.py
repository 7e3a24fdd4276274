"""The revisions of a schema, read without Alembic: as Alembic reads them."""

from __future__ import annotations

import pathlib

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from services.mesh import revisions
from services.mesh.alembic_upgrade import ENVIRONMENT
from services.mesh.revisions import Revision
from tests.conftest import ROOT

SERVICES = sorted(path.parent.parent.name for path in (ROOT / "services").glob("*/migrations/versions"))


def written(folder: pathlib.Path, **files: str) -> pathlib.Path:
    """Migrations that consist of these files."""
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / "versions" / f"{name}.py").write_text(text)
    return folder


def step(name: str, before: str | None, more: str = "") -> str:
    """A revision's file."""
    return f"revision = {name!r}\ndown_revision = {before!r}\n{more}\n"


@pytest.mark.parametrize("service", SERVICES)
def test_it_reads_what_alembic_reads(service: str) -> None:
    migrations = ROOT / "services" / service / "migrations"
    config = Config()
    config.set_main_option("script_location", str(ENVIRONMENT))
    config.set_main_option("version_locations", str(migrations / "versions"))
    config.set_main_option("path_separator", "newline")
    alembics = [
        Revision(one.revision, str(one.down_revision or ""), bool(getattr(one.module, "contracts", False)))
        for one in ScriptDirectory.from_config(config).walk_revisions()
    ]
    assert revisions.read(migrations) == alembics


def test_there_are_services_to_read() -> None:
    assert {"asr", "chat", "identity", "image", "sql"} <= set(SERVICES)


def test_the_newest_comes_first_whatever_the_files_are_called(tmp_path: pathlib.Path) -> None:
    migrations = written(
        tmp_path,
        a='revision, down_revision, branch_labels = "0003", "0002", None\ncontracts = True\n',
        b=step("0001", None),
        c=step("0002", "0001", "contracts = False"),
    )
    assert revisions.read(migrations) == [
        Revision("0003", "0002", contracts=True),
        Revision("0002", "0001", contracts=False),
        Revision("0001", "", contracts=False),
    ]


def test_without_files_there_are_none(tmp_path: pathlib.Path) -> None:
    assert revisions.read(tmp_path) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"a": step("0001", None), "b": step("0002", None)}, "0001 and 0002 both are the first"),
        ({"a": step("0001", None), "b": step("2a", "0001"), "c": step("2b", "0001")}, "2a and 2b both follow 0001"),
        ({"a": step("0001", None), "b": step("0003", "0002")}, "no line leads to every revision: 0003 follows 0002"),
        ({"a": step("0001", "0002"), "b": step("0002", "0001")}, "no line leads to every revision"),
        ({"a": 'revision = "0001"\n'}, "a.py: says no down_revision"),
        ({"a": "down_revision = None\n"}, "a.py: says no revision"),
        ({"a": step("", None)}, "revision must be a text"),
        ({"a": 'revision = 1\ndown_revision = "0001"\n'}, "revision must be a text"),
    ],
)
def test_what_is_no_line_is_refused(tmp_path: pathlib.Path, files: dict[str, str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        revisions.read(written(tmp_path, **files))
