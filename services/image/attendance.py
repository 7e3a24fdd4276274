"""What a process does besides drawing: says that its jobs are alive, hears what others wish of them, and sweeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from services.image.gallery import Gallery
from services.image.live import LiveJob
from services.image.store import INTERRUPT, Store
from services.mesh import telemetry
from services.mesh.errors import StorageUnavailable

log = telemetry.get_logger(__name__)

BEAT_SECONDS = 1.0
"""How often. An interrupt through another process takes as long, at most."""
SWEEP_SECONDS = 600.0
"""How often pictures and jobs are looked through for those that are over their time."""


class Attendance:
    """Attends to the jobs of a process.

    Args:
        store: The jobs of all processes.
        gallery: The pictures.
        live: Gives the jobs of this one.
        lease_seconds: After how long without a sign of life another process counts as dead.
    """

    def __init__(
        self, store: Store, gallery: Gallery, live: Callable[[], Iterable[LiveJob]], lease_seconds: float
    ) -> None:
        self._store, self._gallery, self._live, self._lease = store, gallery, live, lease_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._attend())

    async def stop(self) -> None:
        """Stops."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def beat(self) -> None:
        """One sign of life of every job, and what others wish. Raises StorageUnavailable."""
        jobs = {(live.owner, live.job.id): live for live in self._live()}
        if not jobs:
            return
        signs = [sign for live in jobs.values() if (sign := live.sign()) is not None]
        for key, wish in (await self._store.beat(list(jobs), signs)).items():
            if (live := jobs.get(key)) is not None:
                (live.stop if wish == INTERRUPT else live.skip)()

    async def _attend(self) -> None:
        look, sweep = 0.0, 0.0
        while True:
            try:
                await self.beat()
                if time.monotonic() >= look:
                    look = time.monotonic() + self._lease / 2
                    if count := await self._store.give_up_dead():
                        log.warning("jobs of a process that ended were given up", count=count)
                if time.monotonic() >= sweep:
                    sweep = time.monotonic() + SWEEP_SECONDS
                    await self._gallery.sweep()
            except StorageUnavailable:
                log.warning("jobs wait for the storage")
            except Exception:
                # Whatever it is, the next look may go well; without any, jobs that live would be given up.
                log.exception("jobs could not be attended to")
            await asyncio.sleep(BEAT_SECONDS)
