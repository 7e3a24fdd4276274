"""Runs the identity service: `python -m services.identity`; `--help` prints its settings."""

from __future__ import annotations

import gc

from services.identity.application import Application
from services.identity.settings import IdentitySettings
from services.identity.tables import MIGRATIONS
from services.mesh import migrate
from services.mesh.server import run, serve
from services.mesh.settings import load


async def main(settings: IdentitySettings) -> None:
    """Serves until the process is told to stop."""
    application = Application(settings)
    await application.start()
    # What is loaded by now stays: the collector need not look at it again while requests wait for their answer.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    await serve(settings, application.bound, dependencies=application.dependencies, on_stop=[application.close])


if __name__ == "__main__":
    settings = load(IdentitySettings)
    migrate.beforehand(settings.database_url, MIGRATIONS)
    run(main(settings))
