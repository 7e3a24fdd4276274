"""The models on Triton behind the `Engine` of models.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np

from services.asr.models import RATE, VAD, DiarizationHints, Diarized, Heard, Integers, Samples, sixteen_bit
from services.asr.sessions import FOLLOWERS, Session
from services.asr.transcript import Alternative, Word
from services.mesh.errors import ParleyError
from services.mesh.triton import Array, Sequel, Tensor, Triton

CLOSING_SECONDS = 1.0
"""How long a model may take to end a sequence that was given up."""


class TritonEngine:
    """Asks the models of a Triton.

    Args:
        triton: The client.
    """

    def __init__(self, triton: Triton) -> None:
        self._triton = triton

    async def speech(self, samples: Samples, state: Samples | None) -> tuple[Samples, Samples]:
        """See Engine.speech. Raises Unavailable when Triton is away."""
        inputs = {"samples": samples} if state is None else {"samples": samples, "state": state}
        answer = await self._triton.infer(VAD, inputs)
        return answer["probabilities"], answer["state"]

    async def hear(
        self,
        model: str,
        samples: Samples,
        language: str,
        hints: bytes,
        *,
        translate: bool = False,
        alternatives: int = 0,
    ) -> Heard:
        """See Engine.hear. Raises Unavailable when Triton is away, InvalidArgument when the model refuses the hints."""
        inputs: dict[str, Tensor] = {"samples": sixteen_bit(samples), "language": [language.encode()], "hints": [hints]}
        # Inputs that not every model declares are sent only when they say something.
        if translate:
            inputs["task"] = [b"translate"]
        if alternatives:
            inputs["alternatives"] = np.array([alternatives], np.int32)
        return _heard(await self._triton.infer(model, inputs))

    async def diarize(
        self,
        model: str,
        samples: Samples | Integers,
        hints: DiarizationHints,
        known: Samples | None,
        speech: Samples | None = None,
    ) -> Diarized:
        """See Engine.diarize. Raises Unavailable when Triton is away, NotFound when the model is not loaded."""
        options = {name: value for name, value in hints._asdict().items() if value}
        inputs: dict[str, Tensor] = {"samples": sixteen_bit(samples), "options": [json.dumps(options).encode()]}
        if known is not None and len(known):
            inputs["known"] = known.astype(np.float32)
        if speech is not None:
            inputs["speech"] = speech
        answer = await self._triton.infer(model, inputs)
        turns = tuple(
            (float(start), float(end), int(speaker))
            for (start, end), speaker in zip(answer["turns"], answer["speakers"], strict=True)
        )
        overlap = tuple((float(start), float(end)) for start, end in answer["overlap"])
        return Diarized(turns, answer["centroids"], tuple(map(float, answer["seconds"])), overlap)

    async def enhance(self, model: str, texts: Sequence[str], language: str) -> list[str]:
        """See Engine.enhance. Raises Unavailable when Triton is away, NotFound when the model is not loaded."""
        inputs: dict[str, Tensor] = {"text": [text.encode() for text in texts], "language": [language.encode()]}
        return [text.decode() for text in (await self._triton.infer(model, inputs))["text"]]

    async def ready(self, model: str) -> bool:
        """Whether the model and the voice activity detector are loaded."""
        return await self._triton.ready(model) and await self._triton.ready(VAD)


def _heard(answer: Mapping[str, Array]) -> Heard:
    """The outputs that recognition models have in common."""
    words = tuple(
        Word(text.decode(), float(start), float(end), float(confidence))
        for text, (start, end), confidence in zip(answer["words"], answer["times"], answer["confidences"], strict=True)
    )
    return Heard(answer["text"][0].decode(), answer["language"][0].decode(), words, _alternatives(answer))


def _alternatives(answer: Mapping[str, Array]) -> tuple[Alternative, ...]:
    """The alternatives of an answer, if the model gives any: JSON objects with `text` and `confidence`."""
    found = map(json.loads, answer.get("alternatives", ()))
    return tuple(Alternative(str(one["text"]), float(one["confidence"])) for one in found)


class TritonSessions:
    """The models that follow speech on Triton, behind the `Sessions` of sessions.py.

    Args:
        triton: The client.
    """

    def __init__(self, triton: Triton) -> None:
        self._triton = triton

    async def offered(self, model: str) -> bool:
        """Whether there is one that follows for a model, and it is loaded."""
        return model in FOLLOWERS and await self._triton.ready(FOLLOWERS[model])

    @asynccontextmanager
    async def begin(self, model: str, hints: bytes) -> AsyncIterator[Session]:
        """See Sessions.begin."""
        async with self._triton.sequence(FOLLOWERS[model]) as sequence:
            session = TritonSession(sequence, hints)
            try:
                yield session
            finally:
                await session.close()


class TritonSession:
    """Follows one stretch of speech, behind the `Session` of sessions.py.

    Args:
        sequence: The sequence of its pieces.
        hints: What is likely to be said.
    """

    def __init__(self, sequence: Sequel, hints: bytes) -> None:
        self._sequence, self._hints = sequence, hints
        self._open = False

    async def hear(self, samples: Samples, *, last: bool) -> Heard | None:
        """See Session.hear."""
        inputs: dict[str, Tensor] = {"samples": sixteen_bit(samples), "hints": [self._hints]}
        self._open = not last
        answer = await self._sequence.infer(inputs, last=last)
        self._open = self._open and bool(answer["accepted"][0])
        return _heard(answer) if answer["accepted"][0] else None

    async def close(self) -> None:
        """Ends what was given up, so that the model has its decoder back."""
        if self._open:
            with suppress(ParleyError, TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await self.hear(np.zeros(RATE // 100, np.float32), last=True)
