"""US-English speech recognition on a CPU while it is spoken: see triton_models/shared/live_sphinx.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from triton_models.shared import orphan, recognition, tensors
from triton_models.shared.hints import HintsError
from triton_models.shared.live_sphinx import Sessions


class TritonPythonModel:
    """Answers each piece of a stretch of speech with the words so far."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Leaves decoders to the first sequences that need them."""
        orphan.end_with_triton()
        del args
        self._sessions = Sessions()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers pieces, one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        sequence, first, last = (int(_control(request, name)) for name in ("CORRID", "START", "END"))
        samples = tensors.array(request, "samples")
        assert samples is not None
        try:
            words = self._sessions.feed(
                sequence, samples.reshape(-1), tensors.text(request, "hints"), first=bool(first), last=bool(last)
            )
        except HintsError as error:
            raise tensors.InputError(str(error)) from None
        text = " ".join(word.text for word in words or ())
        return {"accepted": np.array([words is not None]), **recognition.outputs(text, "en-US", words or [])}


def _control(request: Any, name: str) -> Any:
    value = tensors.array(request, name)
    assert value is not None
    return value.reshape(-1)[0]
