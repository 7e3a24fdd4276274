"""Runs the sql service: `python -m services.sql`; `--help` prints the settings."""

from __future__ import annotations

from services.mesh import server
from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.settings import load
from services.sql.application import MIGRATIONS, compose
from services.sql.settings import SqlSettings


async def main(settings: SqlSettings) -> None:
    """Serves until it is told to stop."""
    database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
    providers = Providers(settings.providers)
    await database.migrate()
    await server.serve(
        settings,
        [compose(settings, database, providers)],
        dependencies={"storage": database.ping},
        on_stop=[providers.close, database.close],
    )


if __name__ == "__main__":
    server.run(main(load(SqlSettings)))
