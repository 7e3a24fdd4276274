"""Steps of thinking, shown while the work that makes them goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Generic, TypeVar

from services.sql.query import Step

T = TypeVar("T")


class Steps(Generic[T]):
    """Carries steps from an engine that reports them to a caller who reads them; `T` is what the work gives."""

    def __init__(self) -> None:
        # Unbounded: an engine makes some dozens at most, and does not wait for a slow reader.
        self._queue: asyncio.Queue[Step | None] = asyncio.Queue()
        self._task: asyncio.Task[T] | None = None

    def report(self, step: Step) -> None:
        """Takes a step."""
        self._queue.put_nowait(step)

    async def until(self, work: Coroutine[Any, Any, T]) -> AsyncGenerator[Step, None]:
        """The steps of some work until it has ended; closing the generator cancels the work and waits for its end."""
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(lambda _task: self._queue.put_nowait(None))
        try:
            while (step := await self._queue.get()) is not None:
                yield step
        finally:
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task})

    def result(self) -> T:
        """What the work gave; raises what it raised. Only after `until` has ended."""
        assert self._task is not None
        return self._task.result()
