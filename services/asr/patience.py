"""Waits for a model server that is being restarted: a live stream outlives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from services.asr.models import DiarizationHints, Diarized, Engine, Heard, Integers, Samples
from services.mesh.errors import Unavailable

T = TypeVar("T")
PAUSE = 0.25
"""Seconds between two tries."""


class PatientEngine:
    """An engine that asks again while the model server is away. Inference changes nothing, so asking twice is safe.

    Args:
        engine: Is asked.
        seconds: How long it is waited for; after that the caller gets the Unavailable.
    """

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine, self._seconds = engine, seconds

    async def speech(self, samples: Samples, state: Samples | None) -> tuple[Samples, Samples]:
        """See Engine.speech."""
        return await self._patiently(lambda: self._engine.speech(samples, state))

    async def hear(self, model: str, samples: Samples, language: str, hints: bytes, **wanted: Any) -> Heard:
        """See Engine.hear."""
        return await self._patiently(lambda: self._engine.hear(model, samples, language, hints, **wanted))

    async def diarize(
        self,
        model: str,
        samples: Samples | Integers,
        hints: DiarizationHints,
        known: Samples | None,
        speech: Samples | None = None,
    ) -> Diarized:
        """See Engine.diarize."""
        return await self._patiently(lambda: self._engine.diarize(model, samples, hints, known, speech))

    async def enhance(self, model: str, texts: Sequence[str], language: str) -> list[str]:
        """See Engine.enhance."""
        return await self._patiently(lambda: self._engine.enhance(model, texts, language))

    async def ready(self, model: str) -> bool:
        """See Engine.ready."""
        return await self._engine.ready(model)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        until = time.monotonic() + self._seconds
        while True:
            try:
                return await ask()
            except Unavailable:
                if time.monotonic() + PAUSE > until:
                    raise
                await asyncio.sleep(PAUSE)
