"""Runs the sql service: `python -m services.sql`; `--help` prints the settings."""

from __future__ import annotations

from services.mesh import migrate, server
from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.settings import load
from services.sql.application import MIGRATIONS, compose, connections, storage
from services.sql.settings import SqlSettings


async def main(settings: SqlSettings) -> None:
    """Serves until it is told to stop."""
    database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
    providers = Providers(settings.providers)
    pools = connections(settings)
    await database.migrate()
    await storage(settings, database).renew_secrets()
    await server.serve(
        settings,
        compose(settings, database, providers, pools),
        dependencies={"storage": database.ping},
        on_stop=[providers.close, pools.aclose, database.close],
    )


if __name__ == "__main__":
    settings = load(SqlSettings)
    migrate.beforehand(settings.database_url, MIGRATIONS)
    server.run(main(settings))
