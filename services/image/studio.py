"""The use cases of the image service: draw, edit, enlarge; follow and stop a job; look at what was drawn.

Everything belongs to an owner: who the call's identity says (`services.mesh.context.owner()`), "" where nobody does.
Nobody sees or stops what is somebody else's: it does not exist for them (NotFound).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field

from services.image import canvas as canvases
from services.image import pictures as files
from services.image import plan as plans
from services.image.attendance import Attendance
from services.image.canvas import Opened
from services.image.catalog import Catalog
from services.image.catalogs import Catalogs
from services.image.drawing import (
    Current,
    Edit,
    Event,
    Failure,
    Job,
    Output,
    Picture,
    Settings,
)
from services.image.engine import Engine
from services.image.errors import InvalidImage
from services.image.fair_queue import FairQueue, Ticket
from services.image.gallery import Gallery
from services.image.live import LiveJob
from services.image.metrics import JOBS
from services.image.pace import Pace
from services.image.painter import Job as Painting
from services.image.painter import Painter, guides_of
from services.image.patience import Patience
from services.image.plan import MAX_STEPS, Limits, Plan
from services.image.store import INTERRUPT, SKIP, Store
from services.image.work import Work
from services.mesh import authority, telemetry, tenancy
from services.mesh.authority import NotGranted
from services.mesh.errors import (
    FieldViolation,
    InvalidArgument,
    InvalidRequest,
    ParleyError,
    StorageUnavailable,
)

log = telemetry.get_logger(__name__)

JOB_ID = re.compile(r"[0-9a-zA-Z_()-]{0,64}")
LARGEST_SCALE = 8
STOP_SECONDS = 1.0
"""How long an interrupt waits for the job to have ended."""
BROKE_OFF = "It broke off. The service's log says why."


@dataclass(frozen=True, slots=True)
class StudioOptions:
    """How a deployment draws."""

    limits: Limits = field(default_factory=Limits)
    max_input_pixels: int = 32 * 1024 * 1024
    """Largest picture that is read."""
    catalog_seconds: float = 10.0
    """How long the catalog is remembered."""
    lease_seconds: float = 15.0
    """After how long without a sign of life a process counts as dead."""
    models_wait_seconds: float = 0.0
    """How long jobs wait for a model server that is away."""


class Studio:
    """Draws for its owners. Both façades and the native service are adapters over it.

    Args:
        engine: The models.
        store: Jobs, and what is known of pictures.
        gallery: The pictures.
        queue: Says whose turn it is.
        options: How to draw.
    """

    def __init__(
        self, engine: Engine, store: Store, gallery: Gallery, queue: FairQueue, options: StudioOptions
    ) -> None:
        self._engine, self._store, self._gallery, self._queue = engine, store, gallery, queue
        self._options = options
        patience = Patience(engine, options.models_wait_seconds)
        self._catalogs = Catalogs(engine, options.catalog_seconds, patience)
        self._painter = Painter(engine, Pace())
        self._work = Work(self._painter, gallery, queue, patience)
        self._live: dict[tuple[str, str], LiveJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._attendance = Attendance(store, gallery, self._live.values, options.lease_seconds)

    def start(self) -> None:
        """Begins to attend to jobs."""
        self._attendance.start()

    async def close(self) -> None:
        """Stops the jobs that still run."""
        for live in self._live.values():
            live.stop()
        await asyncio.gather(*self._tasks)
        await self._attendance.stop()

    async def draw(
        self, owner: str, settings: Settings, output: Output, job_id: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Draws pictures from a text.

        The events: a Job (queued) at once, and whenever its position changed; a Job (running) when it begins; Progress
        and Preview while it works, the latest only where the reader is slower; every Picture, with its content; in the
        end a Job, succeeded, or cancelled when its owner interrupted it: then with the pictures that were done. A job
        that fails raises, after the pictures that were done. Close the generator (`aclosing`) to stop the job.

        Args:
            owner: Whose job it is.
            settings: How to draw.
            output: What comes back.
            job_id: Names it; made up where it is empty.

        Raises:
            InvalidRequest: Settings are wrong; fields are called `settings.width`, `settings.controls[0].image` …
            InvalidImage: A control's picture cannot be read.
            ModelNotFound: There is no such model.
            AlreadyExists: The owner has, or had, a job of that name.
            QueueFull: Too many jobs wait, of all or of this owner.
            Unavailable: The model server or the storage is away, or the model is not installed; the message says what
                to do.
        """
        _check(output, job_id)
        plans.check(settings, self._options.limits)
        async with aclosing(self._performed(owner, settings, None, output, job_id)) as events:
            async for event in events:
                yield event

    async def edit(
        self, owner: str, settings: Settings, edit: Edit, output: Output, job_id: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Draws a picture anew, or the part of it that a mask marks; see `draw`.

        What the mask does not mark stays as it is, pixel by pixel.

        Raises:
            InvalidImage: The picture or the mask cannot be read, or the mask is of another size; fields are `image` and
                `mask`.
        """
        _check(output, job_id)
        plans.check(settings, self._options.limits)
        canvases.check(edit)
        opened = await asyncio.to_thread(canvases.opened, edit, self._options.max_input_pixels)
        async with aclosing(self._performed(owner, settings, opened, output, job_id)) as events:
            async for event in events:
                yield event

    async def upscale(
        self,
        owner: str,
        image: bytes,
        *,
        scale: float = 2.0,
        upscaler: str = "",
        face_restorer: str = "",
        output: Output | None = None,
        keep: bool = True,
    ) -> Picture:
        """Enlarges a picture and, where asked for, restores the faces in it.

        Args:
            owner: Whose picture it is.
            image: The picture, as a file.
            scale: How much larger, from 1 to 8.
            upscaler: By its name in the catalog; Lanczos where it is empty.
            face_restorer: By its name in the catalog; none where it is empty.
            output: The format; PNG where it is None.
            keep: Whether the picture is kept; without it, it has no id.

        Raises:
            InvalidArgument: The scale, the upscaler or the size is wrong.
            InvalidImage: The picture cannot be read.
            Unsupported: No face restorer is installed; the message says how to add one.
            QueueFull, Unavailable: As `draw`.
        """
        output = output or Output()
        _check(output, "")
        if not 1 <= scale <= LARGEST_SCALE:
            raise InvalidArgument("scale", f"must be from 1 to {LARGEST_SCALE}")
        read = await asyncio.to_thread(files.read, image, "image", self._options.max_input_pixels)
        text = files.text_of(read)
        most = self._options.limits.job_pixels
        if read.width * read.height * scale**2 > most:
            larger = f"{read.width}x{read.height} times {scale:g}"
            raise InvalidImage("image", f"{larger} is more than {most:,} pixels; enlarge it less")
        upscaler = upscaler or "Lanczos"
        with self._queue.place(owner) as ticket:
            await self._work.turn(ticket)
            array = files.pixels(files.opaque(read))
            if scale != 1:
                array = await self._engine.upscale(array, scale, upscaler)
                text = ", ".join(filter(None, [text, f"Postprocess upscale by: {scale:g}"]))
                text += f", Postprocess upscaler: {upscaler}"
            if face_restorer:
                array = await self._engine.restore(array, face_restorer)
        return await self._gallery.keep(owner, array, output, text=text, keep=keep)

    async def interrupt(self, owner: str, job_id: str) -> Job:
        """Stops a job within a step, wherever it runs; pictures that are done stay. Raises NotFound."""
        live = self._live.get((owner, job_id))
        if live is None:
            return await self._store.wish(owner, job_id, INTERRUPT)
        live.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(live.over.wait(), STOP_SECONDS)
        return live.job

    async def skip(self, owner: str, job_id: str) -> Job:
        """Ends the pictures of a job that are being drawn, and goes on with its next ones. Raises NotFound."""
        live = self._live.get((owner, job_id))
        if live is None:
            return await self._store.wish(owner, job_id, SKIP)
        live.skip()
        return live.job

    async def job(self, owner: str, job_id: str) -> Job:
        """A job. Raises NotFound."""
        live = self._live.get((owner, job_id))
        return live.job if live is not None else await self._store.job(owner, job_id)

    async def jobs(self, owner: str, size: int = 0, token: str = "") -> tuple[list[Job], str]:
        """A page of the owner's jobs, the newest first, and the token of the next."""
        found, more = await self._store.jobs(owner, size, token)
        return [live.job if (live := self._live.get((owner, job.id))) else job for job in found], more

    async def current(self, owner: str) -> Current | None:
        """The owner's newest job that has not ended; None where there is none."""
        mine = [live for live in self._live.values() if live.owner == owner and not live.job.state.ended]
        stored = await self._store.current(owner)
        newest = max(mine, key=lambda live: live.job.create_time, default=None)
        if newest is None or (stored is not None and stored.job.create_time > newest.job.create_time):
            return stored
        return newest.current

    async def picture(self, owner: str, picture_id: str) -> Picture:
        """What is known of a picture, without its content. Raises NotFound, also when it has expired."""
        return await self._gallery.get(owner, picture_id)

    async def open(self, owner: str, picture_id: str) -> tuple[Picture, AsyncGenerator[bytes, None]]:
        """A picture and its content, piece by piece. Raises NotFound, StorageUnavailable."""
        return await self._gallery.open(owner, picture_id)

    async def open_for(self, organisation: str, picture_id: str) -> tuple[Picture, AsyncGenerator[bytes, None]]:
        """The same for whoever may see one picture of an organisation's, anybody's in it; the caller has checked it."""
        with tenancy.acting_for(organisation):
            return await self._gallery.open(None, picture_id)

    async def several(self, owner: str, picture_ids: Sequence[str]) -> list[Picture]:
        """What is known of pictures, in their order; without those that are not there."""
        return await self._gallery.several(owner, picture_ids)

    async def pictures(self, owner: str, size: int = 0, token: str = "") -> tuple[list[Picture], str]:
        """A page of the owner's pictures, the newest first, and the token of the next."""
        return await self._gallery.page(owner, size, token)

    async def delete(self, owner: str, picture_id: str) -> None:
        """Deletes a picture. Raises NotFound, StorageUnavailable."""
        await self._gallery.delete(owner, picture_id)

    async def catalog(self, *, refresh: bool = False) -> Catalog:
        """What there is for the caller to draw with, at most some seconds old; looked up now where `refresh` is set.

        Raises:
            Unavailable: The model server is away, or no diffusion model is installed; the message says what to do.
        """
        return (await self._catalogs.get(refresh=refresh)).open_to(authority.current())

    async def _performed(
        self, owner: str, settings: Settings, opened: Opened | None, output: Output, job_id: str
    ) -> AsyncGenerator[Event, None]:
        """Puts a job into the queue and follows it; whoever stops following stops it."""
        plan = await self._planned(settings, opened.image.size if opened is not None else None)
        painting = await asyncio.to_thread(self._prepared, plan, opened, output)
        live = LiveJob(owner, job_id or uuid.uuid4().hex, plan.model.id, settings.count)
        with ExitStack() as stack:
            ticket = stack.enter_context(self._queue.place(owner, self._painter.expected(painting)))
            await self._store.create(owner, live.job)
            live.queued(self._queue.position(ticket), None)
            self._live[owner, live.job.id] = live
            # From here on the place in the queue is the task's: a slow reader holds nothing up.
            task = asyncio.create_task(self._perform(live, painting, output, ticket, stack.pop_all()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            async with aclosing(live.follow()) as events:
                async for event in events:
                    yield event
        finally:
            live.stop()

    async def _planned(self, settings: Settings, own: tuple[int, int] | None) -> Plan:
        """The plan of a request; looks again for what the catalog does not know."""
        known = await self.catalog()
        try:
            return plans.planned(settings, known, self._options.limits, own)
        except NotGranted:
            raise
        except ParleyError:
            fresh = await self.catalog(refresh=True)
            return plans.planned(settings, fresh, self._options.limits, own)

    def _prepared(self, plan: Plan, opened: Opened | None, output: Output) -> Painting:
        """A plan with its pictures brought to size."""
        width, height = plan.settings.width, plan.settings.height
        guides = guides_of(plan.settings, width, height, self._options.max_input_pixels)
        canvas = opened.canvas(width, height) if opened is not None else None
        return Painting(plan, guides, canvas, output.preview_interval)

    async def _perform(
        self, live: LiveJob, painting: Painting, output: Output, ticket: Ticket, place: ExitStack
    ) -> None:
        """Does a job to its end, whatever that is, and sees that it is known. Never cancelled: `live.stop` ends it."""
        with place:
            live.begin(self._work.perform(live, painting, output, ticket))
            state, error = await live.worked()
        failure = None
        if isinstance(error, ParleyError):
            failure = Failure(error.reason, error.message)
        elif error is not None:
            log.error("a job broke off", job=live.job.id, exc_info=error)
            failure = Failure("INTERNAL", BROKE_OFF)
        job = live.outcome(state, failure)
        with contextlib.suppress(StorageUnavailable):  # then it is given up like the jobs of a dead process
            await self._store.end(live.owner, job)
        del self._live[live.owner, job.id]
        live.ended(job, error)
        if job.start_time is not None and job.end_time is not None:
            JOBS.labels(job.state.value).observe((job.end_time - job.start_time).total_seconds())


def _check(output: Output, job_id: str) -> None:
    """Raises InvalidRequest for an output that there is not, or a name that jobs cannot have."""
    violations = []
    if not 1 <= output.quality <= 100:
        violations.append(FieldViolation("output.quality", "must be from 1 to 100"))
    if not 0 <= output.preview_interval <= MAX_STEPS:
        violations.append(FieldViolation("output.preview_interval", f"must be from 0 to {MAX_STEPS}"))
    if not JOB_ID.fullmatch(job_id):
        violations.append(FieldViolation("job_id", "must be at most 64 letters, digits and any of -_()"))
    if violations:
        raise InvalidRequest(violations)
