"""Puts the chat service together from its settings: the process does so once, tests as often as they like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.chat.catalog import Catalog
from services.chat.conversations import Conversations
from services.chat.embedded import EmbeddedModel
from services.chat.generation import Generator
from services.chat.models import ModelInfo
from services.chat.openai import ChatCompletionsServicer
from services.chat.providers import Providers
from services.chat.servicer import ChatServicer
from services.chat.settings import ChatSettings
from services.chat.store import MIGRATIONS, Store
from services.chat.tool_clients import Databases, Speech, tools
from services.chat.tools import ToolRegistry
from services.chat.upstream import UpstreamModel
from services.mesh.channels import channel
from services.mesh.database import Database
from services.mesh.server import Bound


class Application:
    """The parts of a chat service.

    Args:
        settings: What it is made from.

    Raises:
        ModelNotFound: The default model is none of the configured ones.
    """

    def __init__(self, settings: ChatSettings) -> None:
        self._channels: list[grpc.aio.Channel] = []
        databases = (
            Databases(self._channel(settings.sql_target), settings.tool_timeout) if settings.sql_target else None
        )
        speech = Speech(self._channel(settings.asr_target), settings.tool_timeout) if settings.asr_target else None
        self._providers = Providers(settings.providers)
        upstream = [UpstreamModel(self._providers, model) for model in self._providers.offers()]
        catalog = Catalog([EmbeddedModel(), *upstream], settings.default_model)
        generator = Generator(ToolRegistry.of(tools(databases, speech)), settings.max_tool_rounds)
        self.database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
        self._conversations = Conversations(
            Store(self.database, settings.replica),
            catalog,
            generator,
            history_messages=settings.history_messages,
            save_seconds=settings.save_seconds,
            stale_seconds=settings.stale_seconds,
        )
        facade = ChatCompletionsServicer(catalog, self._providers, generator, speech.models if speech else _none)
        self.bound = [
            Bound(
                chat_pb2_grpc.add_ChatServiceServicer_to_server,
                ChatServicer(self._conversations, catalog),
                chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
            ),
            Bound(
                openai_pb2_grpc.add_ChatCompletionsServiceServicer_to_server,
                facade,
                openai_pb2.DESCRIPTOR.services_by_name["ChatCompletionsService"],
            ),
        ]
        self.dependencies: dict[str, Callable[[], Awaitable[None]]] = {"database": self.database.ping}

    def _channel(self, target: str) -> grpc.aio.Channel:
        made = channel(target)
        self._channels.append(made)
        return made

    async def start(self) -> None:
        """Brings the database up to date and begins to watch over generations. Raises StorageUnavailable."""
        await self.database.migrate()
        await self._conversations.start()

    async def close(self) -> None:
        """Closes what was opened."""
        await self._conversations.close()
        await self._providers.close()
        for opened in self._channels:
            await opened.close()
        await self.database.close()


async def _none() -> list[ModelInfo]:
    """The speech models of a deployment without the asr service."""
    return []
