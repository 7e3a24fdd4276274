"""Puts the image service together from its settings: the process does so once, tests as often as they like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.image import openai, sdapi, servicer
from services.image.engine import Engine
from services.image.fair_queue import FairQueue
from services.image.gallery import Gallery
from services.image.links import Links
from services.image.options_store import OptionsStore
from services.image.public import Address
from services.image.settings import ImageSettings
from services.image.store import MIGRATIONS, Store
from services.image.studio import Studio
from services.image.triton_engine import TritonEngine
from services.mesh.database import Database
from services.mesh.objects import Objects
from services.mesh.triton import Triton


class Application:
    """The parts of an image service.

    Args:
        settings: What it is made from.
        engine: The models; those of the settings' Triton when None.
    """

    def __init__(self, settings: ImageSettings, engine: Engine | None = None) -> None:
        self._triton = Triton(settings.triton_target, settings.certificates)
        self.database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
        store = Store(self.database, settings.lease_seconds, settings.keep_seconds)
        self.studio = Studio(
            engine or TritonEngine(self._triton),
            store,
            Gallery(Objects(settings.pictures_url, "images"), store),
            FairQueue(settings.jobs_running, settings.jobs_waiting, settings.jobs_waiting_each),
            settings.options,
        )
        links = Links(settings.link_key.get_secret_value(), settings.link_seconds)
        self.bound = [
            servicer.bound(self.studio, links),
            openai.bound(self.studio, Address(settings.public_url), links),
            sdapi.bound(self.studio, OptionsStore(self.database), settings.max_input_pixels),
        ]
        # Not the diffusion model: a stack without one is complete, and says at each call how to add it.
        self.dependencies: dict[str, Callable[[], Awaitable[None]]] = {
            "database": self.database.ping,
        }
        if not settings.models_wait_seconds:
            self.dependencies["triton"] = self._triton.live

    async def start(self) -> None:
        """Brings the storage up to date and begins to attend to jobs. Raises StorageUnavailable."""
        await self.database.migrate()
        self.studio.start()

    async def close(self) -> None:
        """Stops the jobs that still run, and closes what is open."""
        await self.studio.close()
        await self._triton.close()
        await self.database.close()
