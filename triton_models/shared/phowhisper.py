"""PhoWhisper (T.-T. Le, L. T. Nguyen, D. Q. Nguyen, "PhoWhisper: Automatic speech recognition for Vietnamese", 2024).

A Whisper fine-tuned on Vietnamese, in the format of Hugging Face's transformers. Stretches of many requests are decoded
together; every token is followed by a look at who gave up. Then one more pass over the chosen text gives what decoding
does not: each token's probability, that nobody speaks, and the attention that tells when words are said.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoTokenizer,
    StoppingCriteria,
    StoppingCriteriaList,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

from triton_models.shared import dictation, plausibility
from triton_models.shared.alignment import token_times
from triton_models.shared.dictation import Heard, Manner, Stretch, Word
from triton_models.shared.torch_device import choose
from triton_models.shared.worker_process import Answer, Request

LANGUAGE = "vi"
NO_REPEAT = 3  # tokens that may not come twice in the second attempt at a text that repeats itself


class Judged(NamedTuple):
    """What the second pass says about a text."""

    log_probability: float
    """Average over its tokens."""
    no_speech: float
    language: float
    """The probability of Vietnamese among the languages."""
    words: list[Word]


class Cancelled(StoppingCriteria):  # type: ignore[misc]  # transformers is not seen by the type checker
    """Ends the rows whose callers gave up, after any token.

    Args:
        stretches: What is decoded; each has the same number of beams.
    """

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._stretches = stretches

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Says for each row whether it is done."""
        beams = len(input_ids) // len(self._stretches)
        gone = [stretch.cancelled() for stretch in self._stretches for _ in range(beams)]
        return torch.tensor(gone, device=input_ids.device)


class PhoWhisper:
    """A Whisper of transformers from `<model_directory>/<name>`.

    Args:
        parameters: `name`, `model_directory`, `device`, `beam_size` and `batch`, as in config.pbtxt.

    Raises:
        FileNotFoundError: the directory holds no model.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        directory = Path(parameters["model_directory"]) / parameters["name"]
        if not parameters["model_directory"] or not (directory / "config.json").is_file():
            raise FileNotFoundError(f"{directory} holds no config.json; put a Whisper in Hugging Face's format there")
        self._device, dtype = choose(parameters.get("device", ""))
        self._model = WhisperForConditionalGeneration.from_pretrained(
            directory, local_files_only=True, dtype=dtype, attn_implementation="eager"
        ).to(self._device)
        self._model.eval()
        self._features = WhisperFeatureExtractor.from_pretrained(directory, local_files_only=True)
        self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self._beam = int(parameters.get("beam_size") or 5)
        self._batch = int(parameters.get("batch") or 1)
        self._heads = alignment_heads(directory)
        self._end = self._id("<|endoftext|>")

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """See `worker_process.Model`."""
        with torch.inference_mode():
            return dictation.answers(requests, self._hear, self._batch, [LANGUAGE])

    def _id(self, token: str) -> int:
        return int(self._tokenizer.convert_tokens_to_ids(token))

    def _hear(self, stretches: Sequence[Stretch]) -> list[Heard]:
        features = self._features([s.samples for s in stretches], sampling_rate=16000, return_tensors="pt")
        encoder = self._model.get_encoder()
        encoded = encoder(features.input_features.to(self._device, self._model.dtype)).last_hidden_state
        heard = [Heard(LANGUAGE, 0.0) for _ in stretches]
        for manner, rows in _alike(stretches):
            alive = [row for row in rows if not stretches[row].cancelled()]
            found = self._together(manner, [stretches[row] for row in alive], encoded[alive]) if alive else []
            for row, one in zip(alive, found, strict=True):
                heard[row] = one
        return heard

    def _together(self, manner: Manner, stretches: Sequence[Stretch], encoded: torch.Tensor) -> list[Heard]:
        """What is said in stretches that are to be heard in the same manner."""
        prompt = self._prompt(manner)
        texts = self._decode(prompt, stretches, encoded, max(1, manner.alternatives))
        looping = [row for row, found in enumerate(texts) if plausibility.repeats(self._text(found[0]))]
        if looping:
            again = self._decode(
                prompt,
                [stretches[row] for row in looping],
                encoded[looping],
                max(1, manner.alternatives),
                no_repeat_ngram_size=NO_REPEAT,
            )
            for row, found in zip(looping, again, strict=True):
                texts[row] = found
        return [
            self._heard(prompt, found, one, stretch, manner.alternatives)
            for found, one, stretch in zip(texts, encoded, stretches, strict=True)
        ]

    def _heard(
        self, prompt: list[int], texts: Sequence[list[int]], encoded: torch.Tensor, stretch: Stretch, wanted: int
    ) -> Heard:
        judged = [self._judge(prompt, text, encoded, stretch.seconds) for text in texts]
        best = judged[0]
        if plausibility.nobody_spoke(best.no_speech, best.log_probability):
            return Heard(LANGUAGE, best.language)
        ranked = [
            (self._text(text).strip(), math.exp(one.log_probability)) for text, one in zip(texts, judged, strict=True)
        ]
        return Heard(LANGUAGE, best.language, best.words, ranked[:wanted])

    def _prompt(self, manner: Manner) -> list[int]:
        """The tokens that a text begins with; what is likely to be said comes before them."""
        task = [self._id(f"<|{name}|>") for name in ("startoftranscript", LANGUAGE, manner.task, "notimestamps")]
        if not manner.phrases:
            return task
        phrases = self._tokenizer.encode(" " + " ".join(manner.phrases), add_special_tokens=False)
        most = self._model.config.max_target_positions // 2 - 1
        return [self._id("<|startofprev|>"), *phrases[:most], *task]

    def _decode(
        self, prompt: list[int], stretches: Sequence[Stretch], encoded: torch.Tensor, wanted: int, **options: Any
    ) -> list[list[list[int]]]:
        """For each stretch the tokens of as many texts as wanted, the best one first."""
        beams = max(self._beam, wanted)
        rows = torch.tensor([prompt] * len(stretches), device=self._device)
        # Not Whisper's own `generate`, which wants to know the prompt from configurations that fine-tuned models lack.
        found = GenerationMixin.generate(
            self._model,
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=torch.ones(encoded.shape[:2], device=self._device),
            decoder_input_ids=rows,
            decoder_attention_mask=torch.ones_like(rows),
            max_length=self._model.config.max_target_positions,
            num_beams=beams,
            num_return_sequences=wanted,
            do_sample=False,
            eos_token_id=self._end,
            pad_token_id=self._end,
            suppress_tokens=self._suppressed(),
            begin_suppress_tokens=None,
            forced_eos_token_id=None,
            stopping_criteria=StoppingCriteriaList([Cancelled(stretches)]),
            **options,
        )
        texts = [[token for token in row if token < self._end] for row in found[:, len(prompt) :].tolist()]
        return [texts[first : first + wanted] for first in range(0, len(texts), wanted)]

    def _suppressed(self) -> list[int]:
        """What is no text: special tokens other than the end, and times."""
        return list(range(self._end + 1, self._model.config.vocab_size))

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def _judge(self, prompt: list[int], tokens: list[int], encoded: torch.Tensor, seconds: float) -> Judged:
        """What the model thinks of a text. One at a time: the attention of a large model over a batch takes gigabytes.

        Args:
            prompt: What the text begins with.
            tokens: The text.
            encoded: [frames, width], what the encoder gave.
            seconds: How long the audio is.
        """
        output = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded[None]),
            decoder_input_ids=torch.tensor([[*prompt, *tokens]], device=self._device),
            output_attentions=bool(self._heads),
        )
        logits = output.logits[0].float()
        before = len(prompt) - 1  # what is said at a place is predicted at the one before it
        said = torch.tensor([*tokens, self._end], device=self._device)[:, None]
        scores = logits[before:].log_softmax(-1).gather(1, said)[:, 0].cpu().numpy()
        start = logits[prompt.index(self._id("<|startoftranscript|>"))]
        words = self._words(tokens, np.exp(scores), self._times(output, before, len(tokens), seconds))
        return Judged(float(scores.mean()), self._no_speech(start), self._language(start), words)

    def _no_speech(self, logits: torch.Tensor) -> float:
        known = [token for token in map(self._id, ("<|nospeech|>", "<|nocaptions|>")) if token > self._end]
        return float(logits.softmax(-1)[known[0]]) if known else 0.0

    def _language(self, logits: torch.Tensor) -> float:
        """The probability of Vietnamese: languages stand between the start and the first task."""
        first, last = self._id("<|startoftranscript|>") + 1, self._id("<|translate|>")
        return float(logits[first:last].softmax(-1)[self._id(f"<|{LANGUAGE}|>") - first])

    def _times(self, output: Any, before: int, tokens: int, seconds: float) -> list[float]:
        """When each token begins, and the end; spread evenly where the checkpoint names no heads that follow speech."""
        if not self._heads or not tokens:
            return list(np.linspace(0, seconds, tokens + 1))
        weights = torch.stack([output.cross_attentions[layer][0, head, before:] for layer, head in self._heads])
        # The end of the text is aligned too: the silence after the last word is its own.
        return list(map(float, token_times(weights.float().cpu().numpy(), seconds)[: tokens + 1]))

    def _words(self, tokens: Sequence[int], probabilities: NDArray[np.float32], times: Sequence[float]) -> list[Word]:
        """The words of a text: a word is what stands between spaces, as certain as its tokens on average."""
        words = []
        for first, last in _between_spaces(self._tokenizer.convert_ids_to_tokens(tokens)):
            sure = float(np.mean(probabilities[first:last]))
            words.append(Word(self._text(tokens[first:last]), times[first], times[last], sure))
        return [word for word in words if word.text.strip()]


def alignment_heads(directory: Path) -> list[tuple[int, int]]:
    """The layer and number of each head that follows the speech, as a checkpoint names them; fine-tuned ones may not.

    Read from the file: transformers replaces what it takes for a copy of the model's own configuration.
    """
    file = directory / "generation_config.json"
    named = json.loads(file.read_text()).get("alignment_heads") if file.is_file() else None
    return [(int(layer), int(head)) for layer, head in named or []]


def _alike(stretches: Sequence[Stretch]) -> Iterator[tuple[Manner, list[int]]]:
    """The stretches' numbers by the manner in which they are heard."""
    found: dict[Manner, list[int]] = {}
    for row, stretch in enumerate(stretches):
        found.setdefault(stretch.manner._replace(language=LANGUAGE), []).append(row)
    yield from found.items()


def _between_spaces(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) number of the tokens of each word; byte-level BPE writes a space as Ġ."""
    starts = [number for number, token in enumerate(tokens) if number == 0 or token.startswith("Ġ")]
    yield from itertools.pairwise([*starts, len(tokens)])
