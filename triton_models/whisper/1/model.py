"""Whisper (A. Radford et al., "Robust speech recognition via large-scale weak supervision", 2022) on CTranslate2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel

from triton_models.shared import recognition, tensors
from triton_models.shared.hints import Hints, HintsError

PROMPT = 800  # characters of hints that are shown to the decoder; it reads some 220 tokens


class TritonPythonModel:
    """Answers with the words of one stretch of speech, in the language asked for or detected."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the model. Raises FileNotFoundError when its directory is not there."""
        base = tensors.parameter(args, "model_directory")
        directory = Path(base) / "whisper"
        if not base or not (directory / "model.bin").is_file():
            raise FileNotFoundError(f"whisper: {directory} holds no model.bin; put a faster-whisper model there")
        self._model = WhisperModel(
            str(directory),
            device=tensors.parameter(args, "device", "auto"),
            compute_type=tensors.parameter(args, "compute_type", "default"),
            local_files_only=True,
        )
        self._beam = int(tensors.parameter(args, "beam_size", "5"))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch of requests, one by one."""
        return tensors.serve(requests, self._answer)

    def _answer(self, request: Any, cancelled: tensors.Cancelled) -> dict[str, tensors.Array]:
        try:
            hints = Hints.parse(tensors.text(request, "hints"))
        except HintsError as error:
            raise tensors.InputError(str(error)) from None
        if hints.grammar:
            raise tensors.InputError("hints.grammar: whisper takes phrases, no grammar")
        language = tensors.text(request, "language").decode().partition("-")[0].lower()
        if language and language not in self._model.supported_languages:
            raise tensors.InputError(f"language: whisper does not know {language!r}")
        segments, info = self._model.transcribe(
            recognition.samples(request).astype(np.float32) / 32768,
            language=language or None,
            beam_size=self._beam,
            word_timestamps=True,
            condition_on_previous_text=False,
            hotwords=" ".join(hints.phrases)[:PROMPT] or None,
        )
        texts, words = [], []
        for segment in segments:
            if cancelled():
                raise tensors.CancelledError
            texts.append(segment.text)
            words += [(word.word.strip(), word.start, word.end, word.probability) for word in segment.words or []]
        return recognition.outputs("".join(texts).strip(), info.language, words)
