"""Whisper (A. Radford et al., "Robust speech recognition via large-scale weak supervision", 2022) on CTranslate2.

Decodes stretches of many requests together. faster-whisper's own batched pipeline takes one audio in one language; this
uses its parts. It is deterministic: no sampling at higher temperatures, which would also make a result depend on what
was decoded before. Where a text repeats itself, it is decoded once more with repetitions forbidden.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, merge_punctuations
from numpy.typing import NDArray

from triton_models.shared import dictation, plausibility
from triton_models.shared.dictation import Heard, Manner, Stretch, Word
from triton_models.shared.worker_process import Answer, Request

NO_REPEAT = 3  # tokens that may not come twice in the second attempt at a text that repeats itself
PROMPT = 800  # characters of phrases that are shown to the decoder; it reads some 220 tokens
# Signs that belong to the word after them, and to the word before.
BEFORE, AFTER = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"


class Decoded(NamedTuple):
    """What the decoder made of a stretch."""

    tokens: list[int]
    log_probability: float
    no_speech: float
    others: list[tuple[list[int], float]]
    """Further hypotheses: tokens and average logarithm of their probability."""


class Whisper:
    """A faster-whisper (CTranslate2) model from `<model_directory>/<name>`.

    Args:
        parameters: `name`, `model_directory`, `device`, `compute_type`, `beam_size` and `batch`, as in config.pbtxt.

    Raises:
        FileNotFoundError: the directory holds no model.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        directory = Path(parameters["model_directory"]) / parameters["name"]
        if not parameters["model_directory"] or not (directory / "model.bin").is_file():
            raise FileNotFoundError(f"{directory} holds no model.bin; put a faster-whisper (CTranslate2) model there")
        self._model = WhisperModel(
            str(directory),
            device=parameters.get("device") or "auto",
            compute_type=parameters.get("compute_type") or "default",
            local_files_only=True,
        )
        # Spectra are made on the CPU, some 20 ms each, while a GPU waits.
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self._beam = int(parameters.get("beam_size") or 5)
        self._batch = int(parameters.get("batch") or 1)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """See `worker_process.Model`."""
        return dictation.answers(requests, self._hear, self._batch, self._model.supported_languages)

    def _hear(self, stretches: Sequence[Stretch]) -> list[Heard]:
        encoded = self._model.encode(np.stack(list(self._threads.map(self._features, stretches))))
        languages = self._languages(stretches, encoded)
        heard = [Heard(*language) for language in languages]
        for manner, rows in _alike(stretches, [language for language, _ in languages]):
            alive = [row for row in rows if not stretches[row].cancelled()]
            for row, found in zip(alive, self._together(manner, stretches, encoded, alive), strict=True):
                heard[row] = heard[row]._replace(words=found.words, alternatives=found.alternatives)
        return heard

    def _features(self, stretch: Stretch) -> NDArray[np.float32]:
        features: NDArray[np.float32] = pad_or_trim(self._model.feature_extractor(stretch.samples)[..., :-1])
        return features

    def _languages(self, stretches: Sequence[Stretch], encoded: Any) -> list[tuple[str, float]]:
        """The language of each stretch, with the probability of one that had to be detected."""
        if not self._model.model.is_multilingual:
            return [("en", 1.0)] * len(stretches)
        unknown = [row for row, stretch in enumerate(stretches) if not stretch.manner.language]
        found = iter(self._model.model.detect_language(_rows(encoded, unknown)) if unknown else ())
        given = [stretch.manner.language for stretch in stretches]
        return [(language, 1.0) if language else _best_language(next(found)) for language in given]

    def _together(self, manner: Manner, stretches: Sequence[Stretch], encoded: Any, rows: list[int]) -> list[Heard]:
        """What is said in those rows, all to be heard in the same manner."""
        if not rows:
            return []
        tokenizer = Tokenizer(self._model.hf_tokenizer, self._model.model.is_multilingual, manner.task, manner.language)
        chosen = _rows(encoded, rows)
        decoded = self._decode(tokenizer, manner, chosen)
        looping = [n for n, one in enumerate(decoded) if plausibility.repeats(tokenizer.decode(one.tokens))]
        if looping:
            again = self._decode(tokenizer, manner, _rows(chosen, looping), no_repeat_ngram_size=NO_REPEAT)
            for number, one in zip(looping, again, strict=True):
                decoded[number] = one
        silent = [plausibility.nobody_spoke(one.no_speech, one.log_probability) for one in decoded]
        tokens = [[] if gone else one.tokens for one, gone in zip(decoded, silent, strict=True)]
        words = self._align(tokenizer, chosen, tokens, [stretches[row].seconds for row in rows])
        return [
            Heard(manner.language, 1.0, said, _alternatives(tokenizer, one, manner.alternatives if said else 0))
            for one, said in zip(decoded, words, strict=True)
        ]

    def _decode(self, tokenizer: Tokenizer, manner: Manner, encoded: Any, **options: Any) -> list[Decoded]:
        hotwords = " ".join(manner.phrases)[:PROMPT] or None
        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True, hotwords=hotwords)
        wanted = max(1, manner.alternatives)
        results = self._model.model.generate(
            encoded,
            [prompt] * encoded.shape[0],
            beam_size=max(self._beam, wanted),
            num_hypotheses=wanted,
            max_length=self._model.max_length,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        decoded = []
        for result in results:
            # CTranslate2 divides a score by the length; Whisper's threshold counts the end as a token, too.
            scored = [
                ([token for token in tokens if token < tokenizer.eot], score * len(tokens) / (len(tokens) + 1))
                for tokens, score in zip(result.sequences_ids, result.scores, strict=True)
            ]
            decoded.append(Decoded(*scored[0], result.no_speech_prob, scored[1:]))
        return decoded

    def _align(
        self, tokenizer: Tokenizer, encoded: Any, tokens: Sequence[list[int]], seconds: Sequence[float]
    ) -> list[list[Word]]:
        """The words of each text with their times, by dynamic time warping over the decoder's attention."""
        said = [row for row, text in enumerate(tokens) if text]
        words: list[list[Word]] = [[] for _ in tokens]
        if not said:
            return words
        frames = [max(2, math.ceil(seconds[row] * self._model.frames_per_second)) for row in said]
        found = self._model.find_alignment(tokenizer, [tokens[row] for row in said], _rows(encoded, said), frames)
        for row, alignment in zip(said, found, strict=True):
            merge_punctuations(alignment, BEFORE, AFTER)
            words[row] = [
                Word(word["word"], float(word["start"]), float(word["end"]), float(word["probability"]))
                for word in alignment
                if word["word"].strip()
            ]
        return words


def _best_language(ranked: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """The code in the first of CTranslate2's language tokens (`<|en|>`), with its probability."""
    token, probability = ranked[0]
    return token[2:-2], float(probability)


def _alike(stretches: Sequence[Stretch], languages: Sequence[str]) -> Iterable[tuple[Manner, list[int]]]:
    """The stretches' numbers by the manner in which they are heard, with the language that was given or detected."""
    found: dict[Manner, list[int]] = {}
    for row, (stretch, language) in enumerate(zip(stretches, languages, strict=True)):
        found.setdefault(stretch.manner._replace(language=language), []).append(row)
    return found.items()


def _alternatives(tokenizer: Tokenizer, decoded: Decoded, wanted: int) -> list[tuple[str, float]]:
    """The texts that were found, the best one first; a search that finds too few is filled up with impossible ones."""
    hypotheses = [(decoded.tokens, decoded.log_probability), *decoded.others]
    texts = [(tokenizer.decode(tokens).strip(), math.exp(score)) for tokens, score in hypotheses[:wanted]]
    return [(text, sure) for text, sure in texts if text and sure > 0]


def _rows(encoded: Any, rows: Sequence[int]) -> Any:
    """Some rows of what the encoder gave. They go through the CPU: CTranslate2 cannot take them apart on a GPU."""
    if list(rows) == list(range(encoded.shape[0])):
        return encoded
    everything = np.array(encoded.to(ctranslate2.DataType.float32).to_device(ctranslate2.Device.cpu))
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(everything[list(rows)]))
