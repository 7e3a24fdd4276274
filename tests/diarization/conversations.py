"""Conversations of synthetic voices whose speakers are known."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.der import Turn
from bench.diarization import decoded
from deploy.local.espeak import synthesise

RATE = 16000
WOMAN, MAN, OLD = "en-us+f2", "en-us+m3", "en-us+m7"
SENTENCES = (
    "I would like to talk about the plans for the next quarter and what they cost.",
    "That is a good idea, but we should look at the numbers of last year first.",
    "The numbers are on the second page, just below the table with the customers.",
    "Has anybody asked the people in the warehouse what they think of this?",
)


class Conversation(NamedTuple):
    """Audio at 16 kHz, and who speaks when."""

    samples: NDArray[np.int16]
    turns: list[Turn]


@functools.cache
def speak(text: str, voice: str) -> NDArray[np.int16]:
    """Speaks a sentence: samples at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        return decoded(synthesise(text, Path(folder) / "said.wav", voice=voice))


def talk(voices: Sequence[str], pause: float = 0.5) -> Conversation:
    """Lets voices speak in turn, each a sentence, with a pause between or so many seconds over each other."""
    said = [speak(SENTENCES[turn % len(SENTENCES)], voice) for turn, voice in enumerate(voices)]
    length = sum(map(len, said)) + int(abs(pause) * RATE) * (len(said) + 1)
    samples, turns, at = np.zeros(length, np.int32), [], RATE // 2
    for voice, part in zip(voices, said, strict=True):
        samples[at : at + len(part)] += part
        turns.append(Turn(at / RATE, (at + len(part)) / RATE, voice))
        at += len(part) + int(pause * RATE)
    noise = np.random.default_rng(3).normal(0, 20, length)
    return Conversation(np.clip(samples + noise, -32768, 32767).astype(np.int16), turns)
