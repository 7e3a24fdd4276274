"""Runs the asr service: `python -m services.asr`; `--help` prints its settings."""

from __future__ import annotations

from services.asr.application import Application
from services.asr.settings import AsrSettings
from services.asr.store import MIGRATIONS
from services.mesh import migrate
from services.mesh.server import run, serve
from services.mesh.settings import load


async def main(settings: AsrSettings) -> None:
    """Serves until the process is told to stop."""
    application = Application(settings)
    await application.start()
    await serve(settings, application.bound, dependencies=application.dependencies, on_stop=[application.close])


if __name__ == "__main__":
    settings = load(AsrSettings)
    migrate.beforehand(settings.database_url, MIGRATIONS)
    run(main(settings))
