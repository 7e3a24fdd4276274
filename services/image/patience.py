"""Waits for a model server that is away: scaled to zero until somebody asks, or being started again."""

from __future__ import annotations

import asyncio
import time

from services.image.engine import Engine
from services.image.metrics import WAITING
from services.mesh.errors import Unavailable

PAUSE = 1.0
"""Seconds between two looks."""


class Patience:
    """How long is waited for the models. Who waits is counted with the jobs of the queue, which is what wakes them.

    Args:
        engine: The models.
        seconds: How long at most; 0: nobody waits.
    """

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine, self._seconds = engine, seconds

    def __bool__(self) -> bool:
        return self._seconds > 0

    async def wait(self) -> None:
        """Returns when the model server answers; at once where nobody waits for it.

        Raises:
            Unavailable: It took too long.
        """
        until = time.monotonic() + self._seconds
        with WAITING.track_inprogress():
            while self and not await self._there(until):  # noqa: ASYNC110 -- another process's start sets no event
                await asyncio.sleep(PAUSE)

    async def _there(self, until: float) -> bool:
        """Whether the model server answers. Raises Unavailable where there is no time for another look."""
        try:
            await self._engine.live()
        except Unavailable as error:
            if time.monotonic() + PAUSE > until:
                raise Unavailable(
                    f"The model server did not come up within {self._seconds:g} seconds. Try again later."
                ) from error
            return False
        return True
