"""The tokenizer: CLIP's byte-pair encoding, with merges that make every word of the captions one token."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from triton_models.training.captions import all_words

START, END = "<|startoftext|>", "<|endoftext|>"


def make_tokenizer(length: int) -> Any:
    """A CLIPTokenizer that knows the captions' words, for texts of at most `length` tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges()
    # CLIP's order: letters, letters that end a word, merges, the two marks.
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, rules = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocabulary.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
        rules.write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]))
        return CLIPTokenizer.from_pretrained(
            folder, model_max_length=length, bos_token=START, eos_token=END, unk_token=END, pad_token=END
        )


def _merges() -> list[tuple[str, str]]:
    """Merges of letters until every word is one token: the most frequent pair first, of equals the first one."""
    cut = [[*letters[:-1], f"{letters[-1]}</w>"] for letters in map(_letters, all_words())]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for parts in cut for pair in pairwise(parts)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        cut = [_merged(parts, best) for parts in cut]
    return merges


def _letters(word: str) -> str:
    """A word's bytes in UTF-8, each as the letter that byte-level tokenizers write for it."""
    return "".join(piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(word))


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for part in parts:
        if found and (found[-1], part) == pair:
            found[-1] += part
        else:
            found.append(part)
    return found
