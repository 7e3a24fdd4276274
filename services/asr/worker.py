"""Works on transcriptions that wait: claims one, goes on where its last worker stopped, saves every finished stretch.

A worker may die at any moment: what it saved stays, its claim runs out, and another one goes on behind the last
finished segment. What it does after it was given up for dead is not written (services/asr/store.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from services.asr import metrics
from services.asr.changes import Changes, wait
from services.asr.checkpoint import Checkpoint
from services.asr.decode import claimed_seconds
from services.asr.errors import ModelNotLoaded
from services.asr.fetch import Fetcher
from services.asr.job import Claim, Failure
from services.asr.pipeline import Pipeline
from services.asr.recordings import Recordings
from services.asr.store import Store
from services.mesh import telemetry, tenancy, usage
from services.mesh.errors import ParleyError, StorageUnavailable, Unavailable
from services.mesh.usage import Meter, Tab

log = telemetry.get_logger(__name__)

QUEUE = "queue"
"""The topic of jobs that wait."""
IDLE_SECONDS = 2.0
"""How often an idle worker looks for jobs that other processes queued, or left behind."""
LONGEST_BACKOFF = 300.0
"""Longest wait between two attempts, in seconds."""
SWEEP_SECONDS = 600.0
"""How often recordings are looked through for those that are over their time."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a deployment works on transcriptions."""

    workers: int = 1
    """How many transcriptions this process works on at the same time."""
    lease_seconds: float = 30.0
    """After how long without a sign of life a worker is given up for dead."""
    attempts: int = 8
    """After how many attempts a transcription has failed."""
    backoff_seconds: float = 5.0
    """Wait before the second attempt; it doubles from one to the next."""


class _LostError(Exception):
    """The job is no longer this worker's: cancelled, deleted, or taken over."""


class Workers:
    """The workers of a process.

    Args:
        store: The jobs.
        recordings: Their audio.
        fetcher: Gets audio from URLs.
        pipeline: Transcribes.
        changes: Hears of new jobs, and tells of progress.
        options: How to work.
        meter: Told what was used, and by whom; None: nobody is.
    """

    def __init__(
        self, store: Store, recordings: Recordings, fetcher: Fetcher, pipeline: Pipeline, changes: Changes,
        options: WorkerOptions, meter: Meter | None = None,
    ) -> None:  # fmt: skip
        self._store, self._recordings, self._fetcher = store, recordings, fetcher
        self._pipeline, self._changes, self._options = pipeline, changes, options
        self._meter = meter
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to work."""
        metrics.WORKERS.inc(self._options.workers)
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._options.workers)]
        if self._tasks:
            self._tasks.append(asyncio.create_task(self._sweep()))

    async def stop(self) -> None:
        """Stops; jobs in hand go back into the queue, and what is finished of them stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        metrics.WORKERS.dec(self._options.workers)

    async def _work(self) -> None:
        with self._changes.listen(QUEUE) as news:
            while True:
                news.clear()
                try:
                    claim = await self._store.claim(self._options.lease_seconds)
                except StorageUnavailable:  # it is logged; the next look may find it again
                    claim = None
                if claim is None:
                    await wait(news, IDLE_SECONDS)
                else:
                    tab = Tab(self._meter, usage.payer(claim.owner))
                    with tenancy.acting_for(claim.organisation, claim.owner), usage.charged(tab):
                        await self._attempt(claim)

    async def _attempt(self, claim: Claim) -> None:
        """Works on a job until it is complete, fails, or is somebody else's."""
        told = log.bind(transcription=claim.id, attempt=claim.attempt)
        self._changes.tell(claim.id)
        outcome = "again"
        metrics.RUNNING.inc()
        try:
            await self._while_held(claim)
            outcome = "ended"
        except asyncio.CancelledError:
            with contextlib.suppress(StorageUnavailable):
                await asyncio.shield(self._store.release(claim, 0.0, counted=False))
            raise
        except _LostError:
            outcome = "lost"
            told.info("transcription is no longer this worker's")
        except StorageUnavailable:
            told.warning("transcription waits for the storage")  # the claim runs out by itself
        except Unavailable as error:
            await self._again(claim, Failure(error.reason, error.message), error.retry_after or 0.0)
        except ParleyError as error:
            if _comes_back(error):
                await self._again(claim, Failure(error.reason, error.message))
            else:
                outcome = "failed"
                told.info("transcription failed", reason=error.reason)
                await self._give_up(claim, Failure(error.reason, error.message))
        except Exception:  # noqa: BLE001 — whatever it is, the job must not hang and the worker must go on
            told.exception("transcription broke off")
            await self._again(claim, Failure("INTERNAL", "It broke off again and again. The service's log says why."))
        finally:
            metrics.RUNNING.dec()
            metrics.ATTEMPTS.labels(outcome).inc()
        self._changes.tell(claim.id)

    async def _again(self, claim: Claim, failure: Failure, wait_seconds: float = 0.0) -> None:
        """Another attempt later, or none where there were enough."""
        if claim.attempt >= self._options.attempts:
            await self._give_up(claim, failure)
            return
        pause = max(wait_seconds, min(self._options.backoff_seconds * 2 ** (claim.attempt - 1), LONGEST_BACKOFF))
        with contextlib.suppress(StorageUnavailable):
            await self._store.release(claim, pause)

    async def _give_up(self, claim: Claim, failure: Failure) -> None:
        with contextlib.suppress(StorageUnavailable):
            await self._store.fail(claim, failure)

    async def _while_held(self, claim: Claim) -> None:
        """Does the work, and stops when the job is no longer this worker's. Raises what `_transcribe` does."""
        if claim.attempt > self._options.attempts:
            # Its workers died without a word, every time: so would this one.
            await self._give_up(claim, Failure("INTERNAL", f"Its worker died {self._options.attempts} times."))
            return
        work = asyncio.create_task(self._transcribe(claim))
        held = asyncio.create_task(self._hold(claim))
        try:
            await asyncio.wait({work, held}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise _LostError
            await work
        finally:
            for task in (work, held):
                task.cancel()
            await asyncio.gather(work, held, return_exceptions=True)

    async def _hold(self, claim: Claim) -> None:
        """Keeps the job; returns when it is lost. A short while without storage loses nothing."""
        lease = self._options.lease_seconds
        with self._changes.listen(claim.id) as news:
            while True:
                try:
                    if not await self._store.renew(claim, lease):
                        return
                except StorageUnavailable:
                    log.warning("a claim could not be renewed", transcription=claim.id)
                # Somebody who cancels or deletes in this process tells; elsewhere it is seen at the next look.
                await wait(news, min(lease / 3, IDLE_SECONDS))
                news.clear()

    async def _transcribe(self, claim: Claim) -> None:
        recording = claim.recording or await self._fetch(claim)
        async with self._recordings.local(recording) as file:
            await self._pieces(claim, file)

    async def _fetch(self, claim: Claim) -> str:
        """Gets the audio of a job from its URL; returns the recording's id."""
        async with aclosing(self._fetcher.open(claim.uri)) as pieces:
            kept = await self._recordings.put(pieces, "uri")
        if not await self._store.fetched(claim, kept.id, kept.size):
            await self._recordings.delete(kept.id)
            raise _LostError
        return kept.id

    async def _pieces(self, claim: Claim, file: Path) -> None:
        """Transcribes, and saves what is finished stretch by stretch."""
        if not claim.checkpoint:
            await self._store.measured(claim, await asyncio.to_thread(claimed_seconds, file))
        begin = Checkpoint.from_json(claim.checkpoint) if claim.checkpoint else None
        async with aclosing(self._pipeline.run(file, claim.config, begin)) as stretches:
            async for finished in stretches:
                point = finished.checkpoint
                if not await self._store.save(
                    claim, finished.segments, point.to_json(), point.seconds, finished.heard, point.speakers
                ):
                    raise _LostError
                self._changes.tell(claim.id)
        if not await self._store.succeed(claim):
            raise _LostError

    async def _sweep(self) -> None:
        """Deletes recordings that are over their time."""
        while True:
            with contextlib.suppress(StorageUnavailable):
                for identifier in await self._store.expired_recordings():
                    await self._recordings.delete(identifier)
            await asyncio.sleep(SWEEP_SECONDS)


def _comes_back(error: ParleyError) -> bool:
    """Whether a model is not loaded, for the moment: it was when the job was created, and Triton loads one by one."""
    return isinstance(error, ModelNotLoaded) or error.metadata.get("resource", "").startswith("models/")
