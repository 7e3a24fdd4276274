"""A job of this process: where it stands, and what those who follow it have not seen yet."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Coroutine, Hashable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from services.image.drawing import Current, Event, Failure, Job, JobState, Picture, Preview, Progress
from services.image.store import Sign


class LiveJob:
    """A job of this process.

    Args:
        owner: Whose it is.
        identifier: Its name.
        model: What draws.
        count: How many pictures were asked for.
    """

    def __init__(self, owner: str, identifier: str, model: str, count: int) -> None:
        self.owner = owner
        self.job = Job(
            id=identifier,
            state=JobState.QUEUED,
            position=0,
            progress=Progress(),
            model=model,
            count=count,
            pictures=(),
            failure=None,
            create_time=datetime.now(UTC),
        )
        self.preview: Preview | None = None
        self.skipped = False
        self.over = asyncio.Event()
        """Set when it has ended."""
        self.batch: asyncio.Task[None] | None = None
        """What is being drawn."""
        self._work: asyncio.Task[None] | None = None
        self._stopped = False
        self._events: dict[Hashable, Event] = {}
        self._numbers = itertools.count()
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self._told: tuple[object, ...] = ()

    @property
    def current(self) -> Current:
        """Where it stands, for whoever waits for it."""
        return Current(self.job, self.preview, self.skipped)

    def queued(self, position: int, remaining: float | None) -> None:
        """Its place in the queue, and the seconds that it will take from now on."""
        moved = replace(self.job, position=position, progress=replace(self.job.progress, remaining=remaining))
        self._stand(moved)

    def started(self) -> None:
        """It is its turn."""
        self._stand(replace(self.job, state=JobState.RUNNING, position=0, start_time=datetime.now(UTC)))

    def progressed(self, progress: Progress) -> None:
        """It went on."""
        self.job = replace(self.job, progress=progress)
        self._tell("progress", progress)

    def previewed(self, preview: Preview) -> None:
        """What a picture looks like so far."""
        self.preview = preview
        self._tell(("preview", preview.index), preview)

    def drew(self, picture: Picture) -> None:
        """A picture is done."""
        done = replace(self.job.progress, images_done=self.job.progress.images_done + 1)
        self.job = replace(self.job, pictures=(*self.job.pictures, picture.id), progress=done)
        self._events.pop(("preview", picture.index), None)
        self._tell(next(self._numbers), picture)

    def outcome(self, state: JobState, failure: Failure | None) -> Job:
        """The job as it is when it ends like this."""
        fraction = 1.0 if state is JobState.SUCCEEDED else self.job.progress.fraction
        last = replace(self.job.progress, fraction=fraction, remaining=None)
        return replace(self.job, state=state, position=0, progress=last, failure=failure, end_time=datetime.now(UTC))

    def ended(self, job: Job, error: Exception | None = None) -> None:
        """Nothing more will happen.

        Args:
            job: As it ended.
            error: What those who follow it get.
        """
        self._error, self.preview = error, None
        self._stand(job)
        self.over.set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins the work, which may have been stopped before."""
        self._work = asyncio.create_task(work)
        if self._stopped:
            self._work.cancel()

    async def worked(self) -> tuple[JobState, Exception | None]:
        """Waits for the end of the work that was begun: how it ended, and what made it fail."""
        assert self._work is not None
        await asyncio.wait({self._work})
        if self._work.cancelled():
            return JobState.CANCELLED, None
        error = self._work.exception()
        if error is None:
            return JobState.SUCCEEDED, None
        assert isinstance(error, Exception)
        return JobState.FAILED, error

    def stop(self) -> None:
        """Stops it, unless it has ended."""
        self._stopped = True
        if self._work is not None:
            self._work.cancel()

    def skip(self) -> None:
        """Ends what is being drawn; nothing where it waits."""
        if self.batch is not None and not self.batch.done():
            self.skipped = True
            self.batch.cancel()

    def sign(self) -> Sign | None:
        """How it stands; None where that is as it was when it was asked last."""
        told = self.job, self.preview, self.skipped
        if told == self._told:
            return None
        new = self.preview if not self._told or self._told[1] is not self.preview else None
        self._told = told
        return Sign(self.owner, self.job, new, self.skipped)

    async def follow(self) -> AsyncGenerator[Event, None]:
        """What happens to it, until it has ended; raises what made it fail. For one reader."""
        while True:
            self._news.clear()
            while self._events:
                event = self._events.pop(next(iter(self._events)))
                if not (isinstance(event, Job) and event.state is JobState.FAILED):
                    yield event
            if self.job.state.ended:
                if self._error is not None:
                    raise self._error
                return
            await self._news.wait()

    def _stand(self, job: Job) -> None:
        self.job = job
        self._tell(job.state, job)

    def _tell(self, key: Hashable, event: Event) -> None:
        """Puts an event before the reader, in place of an older one that it makes worthless."""
        self._events.pop(key, None)
        self._events[key] = event
        self._news.set()
