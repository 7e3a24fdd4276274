"""Brings a service's schema up in a process of its own, so that the one that serves never loads Alembic: 11 MB.

    python -m services.mesh.migrate MIGRATIONS < URL

Each process of a service asks for it before it serves; one that finds everything done starts no other.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import subprocess
import sys

from pydantic import SecretStr

from services.mesh.database import Database


def beforehand(url: SecretStr, migrations: pathlib.Path) -> None:
    """Brings a schema up to the newest revision, unless it is there. For a process that has yet to serve.

    Args:
        url: The database's SQLAlchemy URL.
        migrations: Folder with the service's Alembic revisions in `versions/`.

    Raises:
        StorageUnavailable: The storage cannot be reached or written, or lacks what this version needs.
        SystemExit: Migrating failed; the other process has said why on standard error.
    """
    if not asyncio.run(_is_behind(url.get_secret_value(), migrations)):
        return
    migrating = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(migrations)],
        # What this process imports from, whatever it was started in. The URL holds a password: arguments can be seen.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        input=url.get_secret_value().encode(),
        check=False,
    )
    if migrating.returncode:
        raise SystemExit(1)


async def _is_behind(url: str, migrations: pathlib.Path) -> bool:
    database = Database(url, migrations)
    try:
        return await database.is_behind()
    finally:
        await database.close()


async def _migrate(url: str, migrations: pathlib.Path) -> None:
    database = Database(url, migrations)
    try:
        await database.migrate()
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(_migrate(sys.stdin.read(), pathlib.Path(sys.argv[1])))
