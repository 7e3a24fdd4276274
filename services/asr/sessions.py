"""Recognition that goes on from where it was: of models that keep what they heard of a stretch of speech."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.asr.models import POCKETSPHINX, Heard, Samples

FOLLOWERS = {POCKETSPHINX.id: "pocketsphinx_live"}
"""The Triton models that follow speech, by the id of the model whose words they find."""


class Session(Protocol):
    """Follows one stretch of speech."""

    async def hear(self, samples: Samples, *, last: bool) -> Heard | None:
        """What was said so far; all of it with the last samples. None where the model has no room for it.

        Raises:
            ParleyError: the model cannot go on; what it heard is lost.
        """
        ...


class Sessions(Protocol):
    """Begins to follow."""

    async def offered(self, model: str) -> bool:
        """Whether there is one that follows for a model."""
        ...

    def begin(self, model: str, hints: bytes) -> AbstractAsyncContextManager[Session]:
        """Follows a stretch of speech while the context is open.

        Args:
            model: Id of the model.
            hints: From `hints_tensor`.
        """
        ...
