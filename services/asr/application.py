"""Puts the asr service together from its settings: the process does so once, tests as often as they like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.asr import openai, riva, servicer, transcription_servicer
from services.asr.changes import Changes
from services.asr.engine import TritonEngine, TritonSessions
from services.asr.fetch import Fetcher
from services.asr.live import Live
from services.asr.models import VAD, Engine
from services.asr.pipeline import assembled
from services.asr.recordings import Recordings
from services.asr.settings import AsrSettings
from services.asr.store import MIGRATIONS, Store
from services.asr.transcriptions import TranscriptionOptions, Transcriptions
from services.asr.worker import WorkerOptions, Workers
from services.mesh.database import Database
from services.mesh.reporter import reporter
from services.mesh.triton import Triton


class Application:
    """The parts of an asr service.

    Args:
        settings: What it is made from.
        engine: The models; those of the settings' Triton when None.
    """

    def __init__(self, settings: AsrSettings, engine: Engine | None = None) -> None:
        self._triton = Triton(settings.triton_target, settings.certificates)
        self.database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
        pipeline = assembled(engine or TritonEngine(self._triton), settings)
        live = Live(pipeline.recogniser, settings.live, TritonSessions(self._triton))
        recordings = Recordings(settings.recordings_url, settings.max_recording_bytes)
        kept = Store(self.database), recordings, Fetcher(settings.sources, private=settings.private_sources)
        changes = Changes()
        # Transcriptions outlive the calls that asked for them, and with those the server's own reporter.
        self._reporter = reporter("asr", settings)
        self._workers = Workers(
            *kept, pipeline, changes,
            WorkerOptions(settings.workers, settings.lease_seconds, settings.attempts, settings.backoff_seconds),
            self._reporter,
        )  # fmt: skip
        transcriptions = Transcriptions(
            *kept, pipeline, changes, TranscriptionOptions(settings.transcriptions_waiting, settings.recording_seconds)
        )
        self.bound = [
            servicer.bound(pipeline, live),
            transcription_servicer.bound(transcriptions),
            openai.bound(pipeline),
            riva.bound(pipeline, live),
        ]
        self.dependencies: dict[str, Callable[[], Awaitable[None]]] = {
            "triton": lambda: self._triton.check([VAD, settings.default_model]),
            "database": self.database.ping,
        }

    async def start(self) -> None:
        """Brings the storage up to date and the workers to work. Raises StorageUnavailable."""
        await self.database.migrate()
        if self._reporter is not None:
            self._reporter.start()
        self._workers.start()

    async def close(self) -> None:
        """Stops the workers, whose jobs go back into the queue, and closes what is open."""
        await self._workers.stop()
        if self._reporter is not None:
            await self._reporter.close()
        await self._triton.close()
        await self.database.close()
