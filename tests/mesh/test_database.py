"""A service's own database, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import pathlib
import sqlite3

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.mesh.database import Database
from services.mesh.errors import StorageUnavailable

REVISION = '''"""First."""

from alembic import op
import sqlalchemy as sa

revision, down_revision, branch_labels, depends_on = "0001", None, None, None


def upgrade() -> None:
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text, nullable=False))
'''


@pytest.fixture
def migrations(tmp_path: pathlib.Path) -> pathlib.Path:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_first.py").write_text(REVISION)
    return versions.parent


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/notes.db"
    address: str = request.getfixturevalue("postgres")
    return address


def write(session: Session) -> None:
    session.execute(text("INSERT INTO notes (text) VALUES ('kept')"))


def count(session: Session) -> int:
    return int(session.execute(text("SELECT count(*) FROM notes")).scalar_one())


async def test_a_transaction_is_kept_whole_or_not_at_all(url: str, migrations: pathlib.Path) -> None:
    database = Database(url, migrations)
    await database.migrate()
    await database.run(write)

    def half(session: Session) -> None:
        write(session)
        raise ValueError("stop here")

    with pytest.raises(ValueError, match="stop here"):
        await database.run(half)
    assert await database.run(count) == 1
    await database.close()


async def test_several_processes_may_migrate_at_once(url: str, migrations: pathlib.Path) -> None:
    databases = [Database(url, migrations) for _ in range(3)]
    await asyncio.gather(*(database.migrate() for database in databases))
    await databases[0].run(write)
    assert await databases[2].run(count) == 1
    for database in databases:
        await database.close()


async def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: pathlib.Path, migrations: pathlib.Path) -> None:
    for attempt in range(20):
        databases = [Database(f"sqlite:///{tmp_path}/{attempt}.db", migrations) for _ in range(6)]
        await asyncio.gather(*(database.ping() for database in databases))
        for database in databases:
            await database.close()


async def test_concurrent_writers_all_get_through(url: str, migrations: pathlib.Path) -> None:
    one, two = Database(url, migrations), Database(url, migrations)
    await one.migrate()
    await asyncio.gather(*(database.run(write) for database in (one, two) for _ in range(20)))
    assert await one.run(count) == 40
    await one.close()
    await two.close()


async def test_a_locked_file_is_said_and_nothing_is_written(
    tmp_path: pathlib.Path, migrations: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.mesh.database.LOCK_SECONDS", 0.1)
    database = Database(f"sqlite:///{tmp_path}/notes.db", migrations)
    await database.migrate()
    other = sqlite3.connect(tmp_path / "notes.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageUnavailable, match="locked"):
        await database.run(write)
    other.execute("ROLLBACK")
    other.close()
    await database.run(write)
    assert await database.run(count) == 1
    await database.close()


async def test_a_full_disk_is_said_and_nothing_is_half_written(
    tmp_path: pathlib.Path, migrations: pathlib.Path
) -> None:
    database = Database(f"sqlite:///{tmp_path}/notes.db", migrations)
    await database.migrate()

    def fill(session: Session) -> None:
        write(session)
        # SQLite reports a database at its page limit exactly as it reports a full disk.
        session.execute(text("PRAGMA max_page_count = 1"))
        session.execute(text("INSERT INTO notes (text) VALUES (hex(randomblob(1000000)))"))

    with pytest.raises(StorageUnavailable, match="full"):
        await database.run(fill)
    assert await database.run(count) == 0
    await database.close()


async def test_a_database_that_is_away_is_said_without_its_password(migrations: pathlib.Path) -> None:
    database = Database("postgresql://ann:hunter2@127.0.0.1:1/x", migrations)
    with pytest.raises(StorageUnavailable) as caught:
        await database.ping()
    assert "hunter2" not in str(caught.value)
    await database.close()


@pytest.mark.skipif(os.name != "posix", reason="folders cannot be closed to their owner elsewhere")
async def test_a_path_that_cannot_be_opened_is_said(tmp_path: pathlib.Path, migrations: pathlib.Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/no/such/folder/notes.db", migrations)
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        await database.migrate()
    await database.close()
