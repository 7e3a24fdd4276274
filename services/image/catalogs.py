"""Looks the catalog up in the model server, and remembers it for some seconds."""

from __future__ import annotations

import asyncio
import time

from services.image.catalog import Catalog
from services.image.engine import Engine
from services.image.patience import Patience
from services.mesh.errors import Unavailable


class Catalogs:
    """The catalog as it is now.

    Args:
        engine: Knows it.
        seconds: How long it is remembered.
        patience: Where it waits for models that are away, what they had last counts until then.
    """

    def __init__(self, engine: Engine, seconds: float, patience: Patience) -> None:
        self._engine, self._seconds, self._patience = engine, seconds, patience
        self._lock = asyncio.Lock()
        self._known: Catalog | None = None
        self._until = 0.0

    async def get(self, *, refresh: bool = False) -> Catalog:
        """The catalog; looked up anew where `refresh` is set. Raises what Engine.catalog does."""
        async with self._lock:  # many who ask at once look once
            if refresh or self._known is None or time.monotonic() >= self._until:
                self._known = await self._look(refresh=refresh)
                self._until = time.monotonic() + self._seconds
            return self._known

    async def _look(self, *, refresh: bool) -> Catalog:
        try:
            return await self._engine.catalog(refresh=refresh)
        except Unavailable:
            if not self._patience:
                raise
            if self._known is not None:
                return self._known
        await self._patience.wait()
        return await self._engine.catalog(refresh=refresh)
