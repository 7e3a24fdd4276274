"""Schemas brought up before a process serves, by another one: on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import pathlib
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, inspect, text

from services.mesh.database import Database, driver_url
from tests.conftest import ROOT

REVISION = '''"""{name}."""
from alembic import op
import sqlalchemy as sa

revision = "{name}"
down_revision = {before!r}
{marks}


def upgrade() -> None:
    {work}
'''
NOTES = 'op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))'
# What a process of a service does first, and what it has loaded then.
PROCESS = """
import pathlib, sys
from pydantic import SecretStr
from services.mesh import migrate
migrate.beforehand(SecretStr(sys.argv[1]), pathlib.Path(sys.argv[2]))
print("alembic" in sys.modules)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a folder/notes.db"
    make: Callable[[], str] = request.getfixturevalue("make_postgres")
    return make()


@pytest.fixture
def migrations(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "a folder"
    (folder / "versions").mkdir(parents=True)
    add(folder, "0001", None, NOTES)
    return folder


def add(folder: pathlib.Path, name: str, before: str | None, work: str, marks: str = "") -> None:
    """Adds a revision to migrations."""
    text = REVISION.format(name=name, before=before, work=work, marks=marks)
    (folder / "versions" / f"{name}.py").write_text(text)


async def started(url: str, migrations: pathlib.Path) -> tuple[int, str, str]:
    """How a process that starts on a database ends: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS, url, str(migrations)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def tables(url: str) -> set[str]:
    """The tables that there are."""
    engine = create_engine(driver_url(url))
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


async def test_a_process_that_serves_has_not_loaded_alembic(url: str, migrations: pathlib.Path) -> None:
    for _first_then_again in range(2):
        assert await started(url, migrations) == (0, "False\n", "")
        assert tables(url) == {"alembic_version", "notes", "parley_schema"}


async def test_several_processes_may_start_at_once(url: str, migrations: pathlib.Path) -> None:
    ended = await asyncio.gather(*(started(url, migrations) for _ in range(3)))
    assert [(code, out) for code, out, _err in ended] == [(0, "False\n")] * 3, ended
    assert "notes" in tables(url)


async def test_a_migration_that_fails_is_told_and_leaves_the_schema(url: str, migrations: pathlib.Path) -> None:
    assert (await started(url, migrations))[0] == 0
    add(migrations, "0002", "0001", f'{NOTES.replace("notes", "half")}; raise RuntimeError("on purpose")')
    code, out, err = await started(url, migrations)
    assert (code, out) == (1, "")
    assert "RuntimeError: on purpose" in err
    assert tables(url) == {"alembic_version", "notes", "parley_schema"}


async def test_a_database_that_is_away_is_said_and_its_password_is_not(migrations: pathlib.Path) -> None:
    code, _out, err = await started("postgresql://ann:hunter2@127.0.0.1:1/x", migrations)
    assert code == 1
    assert err.splitlines()[-1].startswith("services.mesh.errors.StorageUnavailable: This service's storage cannot")
    assert "hunter2" not in err


async def test_an_older_version_starts_on_what_a_newer_one_made(
    url: str, migrations: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    newer = tmp_path / "newer"
    (newer / "versions").mkdir(parents=True)
    add(newer, "0001", None, NOTES)
    add(newer, "0002", "0001", 'op.add_column("notes", sa.Column("text", sa.Text))')
    assert (await started(url, newer))[0] == 0
    assert await started(url, migrations) == (0, "False\n", "")
    add(newer, "0003", "0002", 'op.drop_column("notes", "text")', "contracts = True")
    assert (await started(url, newer))[0] == 0
    code, _out, err = await started(url, migrations)
    assert code == 1
    assert "since 0003 it lacks what this version needs" in err.splitlines()[-1]


async def test_a_schema_that_does_not_say_what_it_leaves_room_for_is_made_to(
    url: str, migrations: pathlib.Path
) -> None:
    """One that was brought up before versions kept `parley_schema`, or whose last contracting revision has changed."""
    database = Database(url, migrations)
    await database.migrate()
    for damage in (
        "DROP TABLE parley_schema",
        "DELETE FROM parley_schema",
        "UPDATE parley_schema SET contracted = 'x'",
    ):
        with database.engine.begin() as connection:
            connection.execute(text(damage))
        assert await database.is_behind()
        await database.migrate()
        assert not await database.is_behind()
    await database.close()
