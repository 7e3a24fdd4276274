"""Tells what was said from what a speech model made up: text where nobody speaks, and phrases said over and over.

The thresholds for silence and compression are those of Whisper's own decoder (A. Radford et al., "Robust speech
recognition via large-scale weak supervision", 2022, section 4.5).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NO_SPEECH = 0.6
LOG_PROBABILITY = -1.0
COMPRESSION = 2.4
QUIET = 8 / 32768  # a peak below this is the noise of the converter: nobody is there
LONGEST_PHRASE = 12  # words of a phrase that is looked for
MOST = 4  # times that people say a thing in a row; a single word twice as often ("no no no no …")


def audible(samples: NDArray[np.float32]) -> bool:
    """Whether there is anything at all to be heard in samples from -1 to 1."""
    return bool(np.abs(samples).max(initial=0) > QUIET)


def nobody_spoke(no_speech: float, log_probability: float) -> bool:
    """Whether text stands for silence, music or noise.

    Args:
        no_speech: The model's probability that nobody speaks.
        log_probability: The average natural logarithm of the probability of the text's tokens.
    """
    return no_speech > NO_SPEECH and log_probability < LOG_PROBABILITY


def repeats(text: str) -> bool:
    """Whether a text is so repetitive that it compresses to a fraction of its length."""
    data = text.encode()
    return len(data) > COMPRESSION * len(zlib.compress(data))


def without_loops(words: Sequence[str]) -> list[int]:
    """Which words to keep, by their number: of a phrase that is said more often in a row than people do, the first.

    Case and punctuation do not count.
    """
    plain = ["".join(sign for sign in word.casefold() if sign.isalnum()) for word in words]
    kept: list[int] = []
    at = 0
    while at < len(plain):
        length, times = _loop(plain, at)
        kept += range(at, at + length)
        at += length * times
    return kept


def _loop(words: Sequence[str], at: int) -> tuple[int, int]:
    """The length of the phrase that loops from a word on, and how often it is said; (1, 1) where nothing loops."""
    for length in range(1, min(LONGEST_PHRASE, (len(words) - at) // 2) + 1):
        phrase = words[at : at + length]
        times = 1
        while words[at + times * length : at + (times + 1) * length] == phrase:
            times += 1
        if times > (2 * MOST if length == 1 else MOST):
            return length, times
    return 1, 1
