"""Use cases about semantic layers: read one, replace one."""

from __future__ import annotations

import asyncio
import contextlib

from services.mesh import telemetry
from services.sql.databases import Databases
from services.sql.errors import SchemaOnly, SqlFailed, SqlRejected
from services.sql.execution.execute import Slots
from services.sql.guard import guard
from services.sql.schema import Schema
from services.sql.schemas import semantic
from services.sql.schemas.semantic_schema import applied, oddities, statements

log = telemetry.get_logger(__name__)

# How long a metric or join may take although it gives no rows, in seconds.
_SECONDS = 10.0


class Semantics:
    """Semantic layers of registered databases.

    Args:
        databases: The databases.
        slots: Runs metrics and joins before they are taken.
    """

    def __init__(self, databases: Databases, slots: Slots) -> None:
        self._databases = databases
        self._slots = slots

    async def get(self, database: str) -> str:
        """The layer as it was set; empty where there is none. Raises NotFound, StorageUnavailable."""
        return await self._databases.semantics(database)

    async def set(self, database: str, text: str) -> list[str]:
        """Replaces the layer; an empty text removes it. Nothing changes where anything is wrong.

        Returns:
            What is odd in it, but not wrong.

        Raises:
            NotFound: There is no such database.
            InvalidArgument: The file is at fault; the message names places and lines.
            DatabaseUnavailable: Its metrics and joins cannot be tried now.
        """
        schema = await self._databases.bare_schema(database)
        layer = await asyncio.to_thread(semantic.parse, text)
        meant, faults = await asyncio.to_thread(applied, layer, schema)
        if faults:
            raise semantic.refused(faults)
        warnings = oddities(layer, schema)
        tried, untried = await self._tried(database, meant, layer)
        if tried:
            raise semantic.refused(tried)
        await self._databases.set_semantics(database, text)
        return [*warnings, *untried]

    async def _tried(self, database: str, schema: Schema, layer: semantic.Layer) -> tuple[list[str], list[str]]:
        """What the guard or the database says against metrics and joins, and a warning where nothing was run."""
        checked = []
        faults: list[str] = []
        for name, sql in statements(schema, layer.joins):
            try:
                checked.append((name, guard.check(sql, schema.dialect, 1, sizes=schema.sizes)))
            except SqlRejected as error:
                faults.append(f"{name}: {error.message.rstrip('.')}")
        if faults or not checked:
            return faults, []
        try:
            target = await self._databases.target(database)
        except SchemaOnly:
            return [], ["metrics and joins were not run: there is no database behind this schema"]
        for name, statement in checked:
            try:
                async with contextlib.aclosing(self._slots.run(target, statement, 1, _SECONDS)) as parts:
                    async for _part in parts:
                        pass
            except SqlFailed as error:
                faults.append(f"{name}: {error.message.rstrip('.')}")
        return faults, []
