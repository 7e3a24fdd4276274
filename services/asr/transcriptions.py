"""Transcriptions of recordings in the background: begin one, follow it, stop it, work with its transcript."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from services.asr import records
from services.asr.changes import Changes, wait
from services.asr.fetch import Fetcher
from services.asr.job import Job
from services.asr.pipeline import Pipeline
from services.asr.recordings import Recording, Recordings
from services.asr.store import Store
from services.asr.transcript import Config, Segment, Speaker, Transcript
from services.asr.worker import QUEUE

POLL_SECONDS = 1.0
"""How often a follower looks at the database: what other processes do is seen there only."""
SEGMENTS = 200
"""Segments that a follower reads at a time."""


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """Bounds on transcriptions."""

    waiting: int = 1000
    """How many may wait or run at the same time."""
    recording_seconds: float = 86400.0
    """How long an uploaded recording waits for a transcription."""


class Transcriptions:
    """The use cases of parley.asr.v1.TranscriptionService.

    Args:
        store: Keeps them.
        recordings: Keeps their audio.
        fetcher: Judges URLs.
        pipeline: Judges configurations.
        changes: Hears of progress, and tells of new jobs.
        options: Bounds.
    """

    def __init__(
        self, store: Store, recordings: Recordings, fetcher: Fetcher, pipeline: Pipeline, changes: Changes,
        options: TranscriptionOptions,
    ) -> None:  # fmt: skip
        self._store, self._recordings, self._fetcher = store, recordings, fetcher
        self._pipeline, self._changes, self._options = pipeline, changes, options

    async def upload(self, pieces: AsyncIterator[bytes]) -> tuple[Recording, datetime]:
        """Keeps a recording; returns it, and when it expires unless a transcription uses it.

        Raises:
            InvalidAudio, TooLarge, StorageUnavailable: see `Recordings.put`.
        """
        kept = await self._recordings.put(pieces)
        try:
            return kept, await self._store.keep_recording(kept.id, kept.size, self._options.recording_seconds)
        except BaseException:
            await asyncio.shield(self._recordings.delete(kept.id))
            raise

    async def create(
        self,
        config: Config,
        *,
        audio: bytes = b"",
        recording: str = "",
        uri: str = "",
        display_name: str = "",
        request_id: str = "",
    ) -> Job:
        """Queues a transcription of one of audio, recording and uri.

        A request that is repeated with its `request_id` gets the transcription that it made.

        Raises:
            NotFound: There is no such recording.
            SourceRefused: The URL is not one that is fetched from.
            InvalidArgument, ModelNotFound, ModelNotLoaded: The configuration cannot be met.
            ResourceExhausted: Too many wait already.
            Unavailable: The model server or the storage is away.
        """  # fmt: skip
        if uri:
            self._fetcher.check(uri)
        await self._pipeline.check(config)
        digest = _digest(config, audio, recording, uri, display_name)
        kept = ""
        if audio:
            kept = (await self.upload(_once(audio)))[0].id
        job, new = await self._store.create(
            config, recording=recording or kept, uri=uri, display_name=display_name, request_id=request_id,
            digest=digest, limit=self._options.waiting,
        )  # fmt: skip
        if new:
            self._changes.tell(QUEUE)
        return job

    async def get(self, identifier: str) -> Job:
        """One transcription. Raises NotFound."""
        return await self._store.get(identifier)

    async def page(self, size: int, token: str) -> tuple[list[Job], str]:
        """A page of transcriptions, the newest first, and the token of the next."""
        return await self._store.page(size, token)

    async def watch(self, identifier: str, after: int) -> AsyncGenerator[Job | Segment, None]:
        """The job whenever it changed, and its segments, until it has ended. Raises NotFound, also when it is deleted.

        Args:
            identifier: The transcription.
            after: Segments up to this number are left out.
        """
        shown: Job | None = None
        with self._changes.listen(identifier) as news:
            while True:
                news.clear()
                job = await self._store.get(identifier)
                if shown is None:
                    yield job
                while segments := await self._store.segments(identifier, after, SEGMENTS):
                    for segment in segments:
                        yield segment
                    after = segments[-1].number
                if shown is not None and job != shown:
                    yield job
                if job.state.ended:
                    return
                shown = job
                await wait(news, POLL_SECONDS)

    async def cancel(self, identifier: str) -> Job:
        """Stops a transcription; what is finished of it stays. Raises NotFound."""
        job = await self._store.cancel(identifier)
        self._changes.tell(identifier)
        return job

    async def delete(self, identifier: str) -> None:
        """Deletes a transcription, its transcript, and its audio where nothing else needs that. Raises NotFound."""
        recording = await self._store.delete(identifier)
        self._changes.tell(identifier)
        if recording:
            await self._recordings.delete(recording)

    async def transcript(self, identifier: str) -> Transcript:
        """The transcript, as far as there is one. Raises NotFound."""
        found = await self._store.transcript(identifier)
        found.model = found.model or self._pipeline.recogniser.default_model
        return found

    async def rename(self, identifier: str, speaker: str, display_name: str) -> list[Speaker]:
        """Names a speaker everywhere in the transcript; returns all speakers. Raises NotFound."""
        speakers = await self._store.rename(identifier, speaker, display_name)
        self._changes.tell(identifier)
        return speakers

    async def revert(self, identifier: str, numbers: list[int]) -> int:
        """Undoes the enhancement of segments, of all where none is named; returns how many. Raises NotFound."""
        return await self._store.revert(identifier, numbers)


async def _once(audio: bytes) -> AsyncIterator[bytes]:
    yield audio


def _digest(config: Config, audio: bytes, *fields: str) -> str:
    """What makes a request the same one again."""
    asked = json.dumps([records.from_config(config), *fields], sort_keys=True)
    return hashlib.sha256(hashlib.sha256(audio).digest() + asked.encode()).hexdigest()
