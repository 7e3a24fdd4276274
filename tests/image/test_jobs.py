"""Jobs and pictures in the database: SQLite and PostgreSQL, several replicas, processes that end, time that passes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from parley.image.v1 import image_pb2 as pb2
from services.image.drawing import Job, JobState, Preview, Progress
from services.image.store import INTERRUPT, MIGRATIONS, SKIP, Sign, Store
from services.mesh import tenancy
from services.mesh.database import Database
from services.mesh.errors import AlreadyExists, InvalidArgument, NotFound
from tests.image.easel import identity, of_kind, refused, serve, until, until_state
from tests.image.facade import Brush


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/image.db"
    made: Callable[[], str] = request.getfixturevalue("make_postgres")
    return made()


@asynccontextmanager
async def storing(url: str, lease_seconds: float = 15.0, keep_seconds: float = 3600.0) -> AsyncIterator[Store]:
    """A store on a database that is migrated; whose jobs they are in the organisation, each call of it says."""
    database = Database(url, MIGRATIONS)
    await database.migrate()
    with tenancy.acting_for(""):
        yield Store(database, lease_seconds, keep_seconds)
    await database.close()


def queued(identifier: str = "") -> Job:
    """A job that has just been asked for."""
    return Job(identifier or uuid.uuid4().hex, JobState.QUEUED, 1, Progress(), "shapes", 2, (), None, datetime.now(UTC))


async def test_a_job_is_what_its_process_last_said(url: str) -> None:
    async with storing(url) as store:
        job = queued("mine")
        await store.create("ann", job)
        assert await store.job("ann", "mine") == job
        with pytest.raises(AlreadyExists, match="imageJobs/mine"):
            await store.create("ann", queued("mine"))
        await store.create("bob", queued("mine"))
        running = replace(
            job, state=JobState.RUNNING, position=0, start_time=datetime.now(UTC), progress=Progress(3, 8, 1, 0.4, 2.5)
        )
        preview = Preview(1, 3, b"picture", "image/png")
        assert await store.beat([("ann", "mine")], [Sign("ann", running, preview, True)]) == {}
        current = await store.current("ann")
        assert current is not None
        assert (current.job, current.preview, current.skipped) == (running, preview, True)
        await store.end("ann", replace(running, state=JobState.SUCCEEDED, end_time=datetime.now(UTC)))
        assert (await store.job("ann", "mine")).state is JobState.SUCCEEDED
        assert await store.current("ann") is None
        assert (await store.job("bob", "mine")).state is JobState.QUEUED
        # What is late changes nothing.
        await store.beat([("ann", "mine")], [Sign("ann", running, None, False)])
        await store.end("ann", replace(running, state=JobState.CANCELLED))
        assert (await store.job("ann", "mine")).state is JobState.SUCCEEDED


async def test_a_wish_reaches_the_process_once(url: str) -> None:
    async with storing(url) as store:
        await store.create("ann", queued("one"))
        await store.create("ann", queued("two"))
        with pytest.raises(NotFound):
            await store.wish("bob", "one", INTERRUPT)
        await store.wish("ann", "one", SKIP)
        await store.wish("ann", "one", INTERRUPT)
        await store.wish("ann", "one", SKIP)
        await store.wish("ann", "two", SKIP)
        assert await store.beat([("ann", "one")], []) == {("ann", "one"): INTERRUPT}, "not another process's"
        assert await store.beat([("ann", "one"), ("ann", "two")], []) == {("ann", "two"): SKIP}
        assert await store.beat([("ann", "one"), ("ann", "two")], []) == {}


async def test_jobs_are_listed_page_by_page_the_newest_first(url: str) -> None:
    async with storing(url) as store:
        names = [f"job-{number}" for number in range(5)]
        for name in names:
            await store.create("ann", queued(name))
        await store.create("bob", queued("other"))
        found, token = [], ""
        while True:
            page, token = await store.jobs("ann", 2, token)
            found += [job.id for job in page]
            if not token:
                break
        assert found == names[::-1]
        with pytest.raises(InvalidArgument, match="page_token"):
            await store.jobs("ann", 2, "nonsense")


async def test_what_a_dead_process_left_is_given_up_and_nothing_else(url: str) -> None:
    async with storing(url, lease_seconds=0.05) as dead, storing(url, lease_seconds=60) as alive:
        await dead.create("ann", queued("left"))
        await alive.create("ann", queued("kept"))
        await asyncio.sleep(0.1)
        assert await alive.give_up_dead() == 1
        assert await alive.give_up_dead() == 0
        left = await alive.job("ann", "left")
        assert left.state is JobState.FAILED
        assert left.failure is not None
        assert "Ask for it again" in left.failure.message
        assert (await alive.job("ann", "kept")).state is JobState.QUEUED


async def test_after_its_time_a_job_is_gone_and_its_name_free(url: str) -> None:
    async with storing(url, keep_seconds=0.1) as store:
        await store.create("ann", queued("mine"))
        await asyncio.sleep(0.15)
        with pytest.raises(NotFound):
            await store.job("ann", "mine")
        await store.create("ann", queued("mine"))


async def test_the_service_works_on_either_database(url: str, brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, database_url=url) as easel:
        first = of_kind(await easel.draw(prompt="x\0🐈", owner="ann", count=2, job_id="mine"), "image")
        second = of_kind(await easel.draw(prompt="y", owner="ann"), "image")
        assert list((await easel.job("mine", "ann")).images) == [image.name for image in first]
        request = pb2.ListImagesRequest(page_size=2)
        page = await easel.stub.ListImages(request, metadata=identity("ann"))
        assert page.images[0].name == second[0].name
        assert not page.images[0].content
        request.page_token = page.next_page_token
        more = await easel.stub.ListImages(request, metadata=identity("ann"))
        assert {image.name for image in (*page.images, *more.images)} == {image.name for image in (*first, *second)}
        assert not more.next_page_token


@pytest.fixture
async def replicas_url(make_postgres: Callable[[], str]) -> str:
    """A database that two replicas share."""
    return make_postgres()


async def test_an_interrupt_through_another_replica_stops_the_job(replicas_url: str, tmp_path: Path) -> None:
    ours, theirs = Brush(delay=0.05), Brush()
    async with (
        serve(ours, tmp_path, database_url=replicas_url) as here,
        serve(theirs, tmp_path, database_url=replicas_url) as there,
    ):
        call = here.begin(prompt="x", steps=150, job_id="mine", owner="ann", output=pb2.Output(preview_interval=1))
        events = [(await anext(aiter(call))).event]
        # How it stands is seen there, with a preview.
        studio = there.application.studio
        with tenancy.acting_for(""):
            async with asyncio.timeout(20):
                while (current := await studio.current("ann")) is None or current.preview is None:  # noqa: ASYNC110 — polled
                    await asyncio.sleep(0.05)
        assert current.job.state is JobState.RUNNING
        assert current.job.progress.step > 0
        assert (await refused(there.interrupt("mine", "bob")))[0] is grpc.StatusCode.NOT_FOUND
        await there.interrupt("mine", "ann")
        events += [response.event async for response in call]
        assert events[-1].job.state == pb2.JOB_STATE_CANCELLED
        assert (await there.job("mine", "ann")).state == pb2.JOB_STATE_CANCELLED
        assert ours.closed == 1


async def test_a_replica_that_starts_leaves_the_jobs_of_the_others_alone(replicas_url: str, tmp_path: Path) -> None:
    brush = Brush(delay=0.05)
    async with serve(brush, tmp_path, database_url=replicas_url, lease_seconds=2) as here:
        call = here.begin(prompt="x", steps=70, job_id="mine")
        await anext(aiter(call))
        async with serve(Brush(), tmp_path, database_url=replicas_url, lease_seconds=2) as there:
            await asyncio.sleep(2.5)  # longer than the lease: it is renewed
            assert (await there.job("mine")).state == pb2.JOB_STATE_RUNNING
        events = [response.event async for response in call]
        assert events[-1].job.state == pb2.JOB_STATE_SUCCEEDED


async def test_a_new_process_says_what_became_of_the_jobs_of_one_that_died(url: str, tmp_path: Path) -> None:
    async with storing(url, lease_seconds=0.05) as dead:
        await dead.create("", queued("left"))
    async with serve(Brush(), tmp_path, database_url=url) as easel:
        job = await until_state(easel, "left", pb2.JOB_STATE_FAILED)
        assert job.error.message.startswith("The service that drew it ended")


async def test_a_service_that_stops_ends_its_jobs_and_says_so(brush: Brush, tmp_path: Path) -> None:
    brush.delay = 0.05
    async with serve(brush, tmp_path, drain_seconds=0) as easel:
        call = easel.begin(prompt="x", steps=150, job_id="mine")
        async for response in call:
            if response.event.WhichOneof("event") == "progress":
                break
    await until(lambda: brush.closed == 1)
    async with serve(brush, tmp_path) as easel:
        assert (await easel.job("mine")).state == pb2.JOB_STATE_CANCELLED


async def test_a_service_that_stops_lets_short_jobs_end(brush: Brush, tmp_path: Path) -> None:
    brush.delay = 0.03
    async with serve(brush, tmp_path, drain_seconds=20) as easel:
        call = easel.begin(prompt="x", steps=10, job_id="mine")
        await anext(aiter(call))
        rest = asyncio.ensure_future(_all(call))
    assert len(of_kind([response.event for response in await rest], "image")) == 1


async def _all(call: Any) -> list[Any]:
    return [response async for response in call]


async def test_pictures_are_deleted_after_their_time(brush: Brush, tmp_path: Path) -> None:
    async with serve(brush, tmp_path, keep_seconds=0.5) as easel:
        (image,) = of_kind(await easel.draw(prompt="x"), "image")
        assert len(list((tmp_path / "pictures").iterdir())) == 1
        await asyncio.sleep(0.6)
        assert (await refused(easel.download(image.name)))[0] is grpc.StatusCode.NOT_FOUND
        assert not (await easel.stub.ListImages(pb2.ListImagesRequest())).images
    async with serve(brush, tmp_path):  # a process sweeps when it starts
        await until(lambda: not list((tmp_path / "pictures").iterdir()))
