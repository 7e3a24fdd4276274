"""Writes randomly initialised Whispers of any size in the real format of CTranslate2."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ctranslate2.specs import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TEXT, AUDIO = 448, 1500  # positions of the decoder and the encoder
SPECIAL = [
    *("<|endoftext|>", "<|startoftranscript|>"),
    *(f"<|{code}|>" for code in _LANGUAGE_CODES),
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
    *(f"<|{step * 0.02:.2f}|>" for step in range(1501)),
]


class Size(NamedTuple):
    """The dimensions of a Whisper."""

    width: int
    heads: int
    encoder: int
    """Layers."""
    decoder: int
    """Layers."""
    mels: int
    words: int
    """Tokens of text; the special ones stand after them."""
    ends: int
    """Steps after which a text ends, more or less."""


TINY = Size(width=16, heads=2, encoder=1, decoder=1, mels=80, words=400, ends=9)
LARGE_V3 = Size(width=1280, heads=20, encoder=32, decoder=32, mels=128, words=50257, ends=100)


class Filler:
    """Gives a specification random weights, layer by layer.

    Args:
        size: Of the model.
        seed: Another one gives another model.
    """

    def __init__(self, size: Size, seed: int) -> None:
        self._size = size
        self._random = np.random.default_rng(seed)

    def weights(self, *shape: int) -> NDArray[np.float32]:
        """Normal, and small enough that sums over the width keep their order of magnitude."""
        drawn = self._random.standard_normal(shape, np.float32)
        drawn *= 2 / np.sqrt(self._size.width)
        return drawn

    def fill(self, spec: Any) -> None:
        """Fills the whole model."""
        width, encoder, decoder = self._size.width, spec.encoder, spec.decoder
        for convolution, inputs in ((encoder.conv1, self._size.mels), (encoder.conv2, width)):
            convolution.weight = self.weights(width, inputs, 3)
            convolution.bias = np.zeros(width, np.float32)
        encoder.position_encodings.encodings = self.weights(AUDIO, width)
        decoder.position_encodings.encodings = self.weights(TEXT, width)
        decoder.embeddings.weight = self._embeddings(decoder.position_encodings.encodings)
        decoder.projection.weight = decoder.embeddings.weight
        for part in (encoder, decoder):
            self._norm(part.layer_norm)
            for layer in part.layer:
                self._layer(layer)

    def _embeddings(self, positions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Texts are of words, none likelier than the others, and end when the position says so."""
        words = self._size.words
        rows = self.weights(words + len(SPECIAL), self._size.width)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True) / 2
        rows[words:] = 0
        rows[words] = 2.5 * positions[self._size.ends]
        prompt = slice(words + 1, words + SPECIAL.index("<|0.00|>"))
        rows[prompt] = 0.5 * self.weights(prompt.stop - prompt.start, self._size.width)
        return rows

    def _layer(self, layer: Any) -> None:
        width = self._size.width
        attentions: list[tuple[Any, tuple[int, ...]]] = [(layer.self_attention, (3, 1))]
        if hasattr(layer, "attention"):
            attentions.append((layer.attention, (1, 2, 1)))
        for attention, sizes in attentions:
            for place, size in enumerate(sizes):
                self._linear(attention.linear[place], size * width, width)
            self._norm(attention.layer_norm)
        self._norm(layer.ffn.layer_norm)
        self._linear(layer.ffn.linear_0, 4 * width, width)
        self._linear(layer.ffn.linear_1, width, 4 * width)

    def _linear(self, part: Any, rows: int, columns: int) -> None:
        part.weight, part.bias = self.weights(rows, columns), np.zeros(rows, np.float32)

    def _norm(self, part: Any) -> None:
        part.gamma, part.beta = np.ones(self._size.width, np.float32), np.zeros(self._size.width, np.float32)


def write(folder: Path, seed: int = 9, size: Size = TINY, quantization: str | None = None) -> None:
    """Writes a model into a new folder.

    Args:
        folder: Where.
        seed: Another one gives another model.
        size: Its dimensions.
        quantization: As CTranslate2 names them, e.g. float16; None for float32.
    """
    folder.mkdir(parents=True)
    # The empty token at the end of the words is by what CTranslate2 knows a multilingual model.
    tokens = [f"Ġw{number}" for number in range(size.words - 1)] + [""] + SPECIAL
    spec = WhisperSpec(size.encoder, size.heads, size.decoder, size.heads)
    Filler(size, seed).fill(spec)
    spec.register_vocabulary(tokens)
    first = size.words + 2
    spec.config.lang_ids = list(range(first, first + len(_LANGUAGE_CODES)))
    spec.config.alignment_heads = [(size.decoder - 1, head) for head in range(min(size.heads, 6))]
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="Ġw0"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    if size.mels != 80:
        (folder / "preprocessor_config.json").write_text(f'{{"feature_size": {size.mels}}}')
