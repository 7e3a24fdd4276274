"""Old and new pods side by side: a schema that only grows within a release, on a real PostgreSQL."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.mesh.database import Database
from services.mesh.errors import StorageUnavailable
from tests.conftest import ROOT

REVISION = '''"""{name}"""
import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = {before!r}
{marks}


def upgrade() -> None:
    {work}
'''
FIRST = 'op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String))'
# Expand: a column that old code need not know of.
SECOND = 'op.add_column("notes", sa.Column("language", sa.String, server_default="en"))'
# Contract: what no version since the second one reads.
THIRD = 'op.drop_column("notes", "text")'
FOURTH = 'op.add_column("notes", sa.Column("words", sa.Integer))'


def migrations(folder: pathlib.Path, *work: str) -> pathlib.Path:
    """A service's migrations up to a version."""
    (folder / "versions").mkdir(parents=True)
    before = None
    for number, step in enumerate(work, 1):
        name = f"{number:04}"
        marks = "contracts = True" if "drop_column" in step else ""
        (folder / "versions" / f"{name}.py").write_text(
            REVISION.format(name=name, before=before, work=step, marks=marks)
        )
        before = name
    return folder


@pytest.fixture
async def versions(
    make_postgres: Callable[[], str], tmp_path: pathlib.Path
) -> AsyncIterator[tuple[Database, Database]]:
    """The database as the old version and the new one have it open."""
    url = make_postgres()
    old = Database(url, migrations(tmp_path / "old", FIRST))
    new = Database(url, migrations(tmp_path / "new", FIRST, SECOND))
    yield old, new
    await old.close()
    await new.close()


def written(note: str) -> Callable[[Session], None]:
    """Writes a note as the old version does."""

    def work(session: Session) -> None:
        session.execute(text("INSERT INTO notes (text) VALUES (:note)"), {"note": note})

    return work


def languages(session: Session) -> list[tuple[str, str]]:
    """Reads as the new version does."""
    return [(row.text, row.language) for row in session.execute(text("SELECT text, language FROM notes ORDER BY id"))]


async def test_old_pods_go_on_while_the_new_schema_is_there(versions: tuple[Database, Database]) -> None:
    old, new = versions
    await old.migrate()
    await old.run(written("before"))
    await new.migrate()
    await old.run(written("beside"))
    assert await new.run(languages) == [("before", "en"), ("beside", "en")]


async def test_an_old_pod_that_starts_again_works_on_the_larger_schema(versions: tuple[Database, Database]) -> None:
    old, new = versions
    await new.migrate()
    await old.migrate()
    await old.run(written("again"))
    assert await new.run(languages) == [("again", "en")]


@pytest.mark.parametrize(
    ("known", "brought", "works"),
    [
        ([FIRST], [FIRST, SECOND, THIRD], False),
        ([FIRST, SECOND], [FIRST, SECOND, THIRD, FOURTH], False),
        # It knows the revision that took something away: it was made for what is left.
        ([FIRST, SECOND, THIRD], [FIRST, SECOND, THIRD, FOURTH], True),
    ],
)
async def test_a_version_starts_unless_the_schema_lacks_what_it_needs(
    make_postgres: Callable[[], str], tmp_path: pathlib.Path, known: list[str], brought: list[str], *, works: bool
) -> None:
    url = make_postgres()
    old = Database(url, migrations(tmp_path / "old", *known))
    new = Database(url, migrations(tmp_path / "new", *brought))
    await new.migrate()
    if works:
        await old.migrate()
    else:
        with pytest.raises(StorageUnavailable, match="since 0003 it lacks what this version needs"):
            await old.migrate()
    await old.close()
    await new.close()


async def test_a_schema_of_an_unknown_kind_is_refused(versions: tuple[Database, Database]) -> None:
    """One that does not say what it leaves room for, as before this rule."""
    old, new = versions
    await new.migrate()
    with new.engine.begin() as connection:
        connection.execute(text("DROP TABLE parley_schema"))
    with pytest.raises(StorageUnavailable, match="0002, which this version does not know"):
        await old.migrate()


async def test_the_job_may_run_twice_and_beside_pods_that_migrate_themselves(
    versions: tuple[Database, Database],
) -> None:
    _, new = versions
    await new.migrate()
    await new.migrate()
    await new.run(written("once"))
    assert await new.run(languages) == [("once", "en")]


def test_no_migration_takes_away_what_the_version_before_reads() -> None:
    """Expand and contract: what is dropped or renamed has been unused for a whole release (docs/operations/upgrade.md).

    The first revisions made tables that nobody had used: only what is altered later is looked at.
    """
    for path in sorted((ROOT / "services").glob("*/migrations/versions/*.py")):
        source = path.read_text().partition("def upgrade")[2].partition("def downgrade")[0]
        if "\ncontracts = True" in path.read_text():
            continue
        for word in ("drop_column", "drop_table", "rename_table", "new_column_name"):
            assert word not in source, f"{path.name}: {word}; say `contracts = True` where no version reads it any more"
