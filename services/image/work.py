"""Does a job of this process: waits for its turn, paints batch after batch, keeps what is finished."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from services.image import pictures
from services.image.drawing import Output, Preview, Progress
from services.image.fair_queue import FairQueue, Ticket
from services.image.gallery import Gallery
from services.image.live import LiveJob
from services.image.metrics import PICTURES, RUNNING, STEPS, WAITED, WAITING
from services.image.painter import Finished, Glimpse, Job, Painter, Stroke
from services.image.patience import Patience


class Work:
    """Does jobs.

    Args:
        painter: Paints.
        gallery: Keeps the pictures.
        queue: Says whose turn it is.
        patience: Waits for models that are away when it is a job's turn; what it draws with then may still go.
    """

    def __init__(self, painter: Painter, gallery: Gallery, queue: FairQueue, patience: Patience) -> None:
        self._painter, self._gallery, self._queue, self._patience = painter, gallery, queue, patience

    async def perform(self, live: LiveJob, job: Job, output: Output, ticket: Ticket) -> None:
        """Does a job that has a place in the queue. Raises what Painter and Gallery do."""
        await self.turn(ticket, live)
        live.started()
        passes, twice = 0, job.plan.settings.second_pass is not None
        with RUNNING.track_inprogress():
            for numbers in job.plan.batches:
                live.batch = asyncio.create_task(self._batch(live, job, output, numbers, passes))
                await _unless_skipped(live.batch)
                passes += 1 + len(numbers) if twice else 1

    async def turn(self, ticket: Ticket, live: LiveJob | None = None) -> None:
        """Returns when it is a ticket's turn and the models are there; tells a job where it is until then.

        Raises:
            Unavailable: The models did not come up.
        """
        began = time.monotonic()
        with WAITING.track_inprogress():
            while not ticket.turn.is_set():
                ticket.moved.clear()
                if live is not None:
                    wait = self._queue.wait_seconds(ticket)
                    known = wait is not None and ticket.seconds > 0
                    live.queued(self._queue.position(ticket), (wait or 0.0) + ticket.seconds if known else None)
                await ticket.moved.wait()
        await self._patience.wait()
        WAITED.observe(time.monotonic() - began)

    async def _batch(self, live: LiveJob, job: Job, output: Output, numbers: range, passes: int) -> None:
        """Paints the pictures that are drawn together, and keeps each as soon as it is finished.

        Args:
            live: Hears of it.
            job: What is painted.
            output: The format.
            numbers: Of the pictures.
            passes: Runs of the model before these.
        """
        async with aclosing(self._painter.batch(job, numbers)) as painted:
            async for event in painted:
                if isinstance(event, Stroke):
                    STEPS.labels(job.plan.model.id).inc()
                    live.progressed(_progress(live, job, event, passes))
                elif isinstance(event, Glimpse):
                    content = await asyncio.to_thread(pictures.write, event.image, output.format, output.quality)
                    live.previewed(Preview(event.number, event.step, content, output.format.content_type))
                else:
                    await self._keep(live, job, output, event)

    async def _keep(self, live: LiveJob, job: Job, output: Output, finished: Finished) -> None:
        picture = await self._gallery.keep(
            live.owner,
            finished.image,
            output,
            text=finished.text,
            index=finished.number,
            seed=finished.seed,
            model=job.plan.model.id,
            job=live.job.id,
        )
        PICTURES.labels(job.plan.model.id).inc()
        live.drew(picture)


async def _unless_skipped(batch: asyncio.Task[None]) -> None:
    """Returns when a batch is done or was skipped, which cancels it. Raises what it does."""
    try:
        await asyncio.wait({batch})
    finally:
        if not batch.done():
            batch.cancel()
            await asyncio.gather(batch, return_exceptions=True)
    if not batch.cancelled():
        batch.result()


def _progress(live: LiveJob, job: Job, stroke: Stroke, passes: int) -> Progress:
    """How far the whole job is; what is left is taken to go on as the step that was just made."""
    done = passes + stroke.passes + stroke.step / max(1, stroke.steps)
    fraction = min(done / job.plan.passes, 1.0)
    left = (job.plan.passes - done) * stroke.steps
    remaining = None if stroke.seconds is None else max(0.0, left * stroke.seconds)
    return Progress(stroke.step, stroke.steps, live.job.progress.images_done, fraction, remaining)
