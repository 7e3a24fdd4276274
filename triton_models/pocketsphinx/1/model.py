"""US-English speech recognition on a CPU, with the model inside the pocketsphinx wheel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton_models.shared import orphan, recognition, tensors
from triton_models.shared.hints import HintsError
from triton_models.shared.sphinx import Recognisers

MOST_ALTERNATIVES = 10  # hypotheses, the best one included


class TritonPythonModel:
    """Answers with the words of one stretch of speech. The `language` input is not looked at: it knows one."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Leaves decoders to the first requests that need them."""
        orphan.end_with_triton()
        del args
        self._recognisers = Recognisers()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch of requests, one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        samples = recognition.samples(request)
        try:
            recogniser = self._recognisers.get(tensors.text(request, "hints"))
        except HintsError as error:
            raise tensors.InputError(str(error)) from None
        words = recogniser.words(samples, cancelled)
        if words is None:
            raise tensors.CancelledError
        text = " ".join(word.text for word in words)
        wanted = tensors.array(request, "alternatives")
        count = 0 if wanted is None or wanted.size == 0 else int(wanted.reshape(-1)[0])
        if not 0 <= count <= MOST_ALTERNATIVES:
            raise tensors.InputError(f"alternatives: at most {MOST_ALTERNATIVES} can be had")
        best = [(text, recogniser.confidence(words))] if text and count else []
        others = recogniser.alternatives(words, max(0, count - 1))
        return recognition.outputs(text, "en-US", words, alternatives=[*best, *others])
