"""The one place that loads Alembic: what brings a schema up to its newest revision."""

from __future__ import annotations

import pathlib

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

ENVIRONMENT = pathlib.Path(__file__).parent / "migrations_env"


def upgrade(connection: Connection, migrations: pathlib.Path) -> None:
    """Runs the revisions that a schema lacks, in the connection's transaction.

    Args:
        connection: To the database, its lock held: nobody else migrates it now.
        migrations: Folder with the revisions in `versions/`.
    """
    config = Config()
    config.set_main_option("script_location", str(ENVIRONMENT))
    config.set_main_option("version_locations", str(migrations / "versions"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
