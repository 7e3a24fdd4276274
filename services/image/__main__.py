"""Runs the image service: `python -m services.image`; `--help` prints its settings."""

from __future__ import annotations

from services.image.application import Application
from services.image.settings import ImageSettings
from services.image.store import MIGRATIONS
from services.mesh import migrate
from services.mesh.server import run, serve
from services.mesh.settings import load


async def main(settings: ImageSettings) -> None:
    """Serves until the process is told to stop."""
    application = Application(settings)
    await application.start()
    await serve(settings, application.bound, dependencies=application.dependencies, on_stop=[application.close])


if __name__ == "__main__":
    settings = load(ImageSettings)
    migrate.beforehand(settings.database_url, MIGRATIONS)
    run(main(settings))
