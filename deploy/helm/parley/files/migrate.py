"""Brings a service's database up to the newest revision of its schema: `python migrate.py SERVICE SECRETS`."""

import asyncio
import importlib.util
import pathlib
import sys

from services.mesh.database import Database


async def main(service: str, secrets: pathlib.Path) -> None:
    """Migrates. Several may do so at once: one does, the others wait.

    Args:
        service: Its name, `chat`.
        secrets: Folder with the file PARLEY_CHAT_DATABASE_URL.

    Raises:
        services.mesh.errors.StorageUnavailable: The database cannot be reached, or its schema is newer than this code.
    """
    found = importlib.util.find_spec(f"services.{service}")
    assert found is not None, f"this image holds no service {service}"
    assert found.origin is not None, f"services.{service} is no package"
    url = (secrets / f"PARLEY_{service.upper()}_DATABASE_URL").read_text().strip()
    database = Database(url, pathlib.Path(found.origin).parent / "migrations")
    try:
        await database.migrate()
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2])))
