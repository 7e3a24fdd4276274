"""Runs the chat service: `python -m services.chat`; `--help` prints its settings."""

from __future__ import annotations

import gc

from services.chat.application import Application
from services.chat.settings import ChatSettings
from services.chat.store import MIGRATIONS
from services.mesh import migrate
from services.mesh.server import run, serve
from services.mesh.settings import load


async def main(settings: ChatSettings) -> None:
    """Serves until the process is told to stop."""
    application = Application(settings)
    await application.start()
    # What is loaded by now stays: the collector need not look at it again for every few hundred objects of a request.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    await serve(settings, application.bound, dependencies=application.dependencies, on_stop=[application.close])


if __name__ == "__main__":
    settings = load(ChatSettings)
    migrate.beforehand(settings.database_url, MIGRATIONS)
    run(main(settings))
