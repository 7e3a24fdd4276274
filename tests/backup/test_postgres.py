"""A restore drill: a service's database on a real PostgreSQL is dumped, encrypted, stored, lost, and comes back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from sqlalchemy import text

from services.mesh.database import Database
from tests.conftest import ROOT

MIGRATIONS = ROOT / "services" / "identity" / "migrations"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """Files with a recipient and with its key."""
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "recipients").write_text(f"# the operators\n{identity.to_public()}\n")
    (tmp_path / "identity").write_text(f"{identity}\n")
    return tmp_path / "recipients", tmp_path / "identity"


@pytest.fixture
async def database(make_postgres: Callable[[], str]) -> str:
    """URL of a service's database with a row of its own in it."""
    url = make_postgres()
    opened = Database(url, MIGRATIONS)
    await opened.migrate()
    await opened.run(lambda session: session.execute(text("CREATE TABLE drill (number integer PRIMARY KEY)")))
    await opened.run(lambda session: session.execute(text("INSERT INTO drill SELECT generate_series(1, 1000)")))
    await opened.close()
    return url


def run(command: str, url: str, store: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command as the CronJob does."""
    given = [
        sys.executable,
        "-m",
        "deploy.backup.postgres",
        command,
        "identity",
        "--store",
        str(store),
        *map(str, more),
    ]
    environment = {"PATH": "/usr/bin:/bin", "PARLEY_IDENTITY_DATABASE_URL": url}
    return subprocess.run(given, capture_output=True, text=True, cwd=ROOT, env=environment)


async def rows(url: str) -> int:
    """Rows of the drill's table."""
    opened = Database(url, MIGRATIONS)
    try:
        found = await opened.run(lambda session: session.execute(text("SELECT count(*) FROM drill")).scalar_one())
        # The service starts on it: its schema is the one that it knows.
        await opened.migrate()
        return int(found)
    finally:
        await opened.close()


async def test_a_lost_database_comes_back(
    database: str, make_postgres: Callable[[], str], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    recipients, identity = keys
    made = run("backup", database, tmp_path / "store", "--recipients", recipients)
    assert made.returncode == 0, made.stderr
    name = made.stdout.strip()
    stored = tmp_path / "store" / "identity" / name
    assert stored.read_bytes().startswith(b"age-encryption.org/v1")
    assert [one.name for one in stored.parent.iterdir()] == [name]
    fresh = make_postgres()
    restored = run("restore", fresh, tmp_path / "store", "--identity", identity)
    assert (restored.returncode, restored.stdout.strip()) == (0, name), restored.stderr
    assert await rows(fresh) == await rows(database) == 1000


def test_as_many_are_kept_as_wanted(database: str, keys: tuple[Path, Path], tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        made = run("backup", database, tmp_path / "store", "--recipients", keys[0], "--keep", "2")
        names.append(made.stdout.strip())
        # Names tell seconds.
        time.sleep(1.1)
    (tmp_path / "store" / "identity" / "notes.txt").write_text("somebody else's")
    assert run("list", database, tmp_path / "store").stdout.split() == names[1:]
    assert (tmp_path / "store" / "identity" / "notes.txt").exists()


def test_a_dump_that_fails_leaves_the_older_ones(database: str, keys: tuple[Path, Path], tmp_path: Path) -> None:
    first = run("backup", database, tmp_path / "store", "--recipients", keys[0], "--keep", "1").stdout.split()
    gone = database.rpartition("/")[0] + "/nowhere"
    failed = run("backup", gone, tmp_path / "store", "--recipients", keys[0], "--keep", "1")
    assert (failed.returncode, "pg_dump failed" in failed.stderr) == (1, True)
    assert run("list", database, tmp_path / "store").stdout.split() == first
    no_one = run("backup", database, tmp_path / "store", "--recipients", tmp_path / "none")
    assert (no_one.returncode, "recipient" in no_one.stderr) == (1, True)


def test_it_goes_into_an_empty_database_only(database: str, keys: tuple[Path, Path], tmp_path: Path) -> None:
    run("backup", database, tmp_path / "store", "--recipients", keys[0])
    refused = run("restore", database, tmp_path / "store", "--identity", keys[1])
    assert (refused.returncode, "not empty" in refused.stderr) == (1, True)


def test_a_damaged_dump_restores_nothing(
    database: str, make_postgres: Callable[[], str], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    name = run("backup", database, tmp_path / "store", "--recipients", keys[0]).stdout.strip()
    stored = tmp_path / "store" / "identity" / name
    stored.write_bytes(stored.read_bytes()[:-100])
    refused = run("restore", make_postgres(), tmp_path / "store", "--identity", keys[1])
    assert (refused.returncode, "decrypted" in refused.stderr) == (1, True)
    nothing = run("restore", make_postgres(), tmp_path / "elsewhere", "--identity", keys[1])
    assert (nothing.returncode, "There is no dump" in nothing.stderr) == (1, True)


def test_a_password_is_on_no_command_line(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    url = "postgresql://shop:canary-password@127.0.0.1:1/shop?sslmode=require"
    failed = run("backup", url, tmp_path / "store", "--recipients", keys[0])
    assert failed.returncode == 1
    assert "canary-password" not in failed.stderr + failed.stdout
    sqlite = run("backup", "sqlite:///x.db", tmp_path / "store", "--recipients", keys[0])
    assert "only PostgreSQL" in sqlite.stderr
