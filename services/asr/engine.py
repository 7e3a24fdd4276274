"""The models on Triton behind the `Engine` of models.py."""

from __future__ import annotations

from services.asr.models import Heard, Samples, sixteen_bit
from services.asr.transcript import Word
from services.mesh.triton import Tensor, Triton

VAD = "vad"


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

    async def hear(self, model: str, samples: Samples, language: str, hints: bytes) -> Heard:
        """See Engine.hear. Raises Unavailable when Triton is away, InvalidArgument when the model refuses the hints."""
        inputs: dict[str, Tensor] = {"samples": sixteen_bit(samples), "language": [language.encode()], "hints": [hints]}
        answer = await self._triton.infer(model, inputs)
        words = tuple(
            Word(text.decode(), float(start), float(end), float(confidence))
            for text, (start, end), confidence in zip(
                answer["words"], answer["times"], answer["confidences"], strict=True
            )
        )
        return Heard(answer["text"][0].decode(), answer["language"][0].decode(), words)

    async def ready(self, model: str) -> bool:
        """Whether the model and the voice activity detector are loaded."""
        return await self._triton.ready(model) and await self._triton.ready(VAD)
