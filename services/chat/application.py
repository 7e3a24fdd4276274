"""Puts the chat service together from its settings: the process does so once, tests as often as they like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.chat import openai, servicer
from services.chat.catalog import Catalog
from services.chat.conversations import Conversations
from services.chat.embedded import EmbeddedModel
from services.chat.generation import Generator
from services.chat.image_client import Painter
from services.chat.picture_links import PictureLinks
from services.chat.settings import ChatSettings
from services.chat.speech import Speech
from services.chat.store import MIGRATIONS, Store
from services.chat.tool_clients import Databases, tools
from services.chat.tools import ToolRegistry
from services.chat.upstream import UpstreamModel
from services.mesh.database import Database
from services.mesh.providers import Providers


class Application:
    """The parts of a chat service.

    Args:
        settings: What it is made from.

    Raises:
        ModelNotFound: The default model is none of the configured ones.
    """

    def __init__(self, settings: ChatSettings) -> None:
        own = settings.certificates
        databases = Databases(settings.sql_target, settings.tool_timeout, own) if settings.sql_target else None
        speech = None
        if settings.asr_target:
            speech = Speech(settings.asr_target, settings.tool_timeout, settings.recording_timeout, own)
        painter = None
        if settings.image_target:
            painter = Painter(settings.image_target, settings.picture_timeout, settings.public_url, own)
        providers = Providers(settings.providers)
        upstream = [UpstreamModel(providers, model, settings.recording_tokens) for model in providers.offers()]
        catalog = Catalog([EmbeddedModel(), *upstream], settings.default_model)
        offered = tools(databases, speech, painter, settings.question_seconds)
        generator = Generator(ToolRegistry.of(offered), settings.max_tool_rounds)
        check_database = databases.check if databases else _taken
        links = PictureLinks(settings.public_url, painter.links if painter else None)
        self.database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
        self._conversations = Conversations(
            Store(self.database, settings.replica),
            catalog,
            generator,
            check_database,
            links,
            history_messages=settings.history_messages,
            save_seconds=settings.save_seconds,
            stale_seconds=settings.stale_seconds,
        )
        self._remote = [part for part in (providers, databases, speech, painter) if part is not None]
        others = [part.models for part in (speech, painter) if part is not None]
        self.bound = [
            servicer.bound(self._conversations, catalog),
            openai.bound(catalog, providers, generator, others, check_database, links),
        ]
        self.dependencies: dict[str, Callable[[], Awaitable[None]]] = {"database": self.database.ping}

    async def start(self) -> None:
        """Brings the database up to date and begins to watch over generations. Raises StorageUnavailable."""
        await self.database.migrate()
        await self._conversations.start()

    async def close(self) -> None:
        """Closes what was opened."""
        await self._conversations.close()
        for part in self._remote:
            await part.close()
        await self.database.close()


async def _taken(_database: str) -> None:
    """Any database's name, in a deployment without the sql service."""
