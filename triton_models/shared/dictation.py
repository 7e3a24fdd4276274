"""From a request to stretches of speech, and from what was heard in these to the answer.

That the large speech models have in common; they differ in how they hear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triton_models.shared import plausibility, recognition
from triton_models.shared.errors import CancelledError, InputError
from triton_models.shared.hints import Hints, HintsError
from triton_models.shared.windows import RATE, windows
from triton_models.shared.wire import Tensors
from triton_models.shared.worker_process import Answer, Request

TASKS = ("transcribe", "translate")
MOST_ALTERNATIVES = 10


class Manner(NamedTuple):
    """How something is to be heard; stretches that are heard in the same manner can be decoded together."""

    language: str
    """As ISO 639; empty to detect it."""
    task: str
    phrases: tuple[str, ...]
    """What is likely to be said."""
    alternatives: int
    """How many hypotheses are wanted, the best one included."""


class Stretch(NamedTuple):
    """Up to 30 s of a request's speech."""

    samples: NDArray[np.float32]
    """At 16 kHz, from -1 to 1."""
    start: float
    """Seconds from the request's first sample."""
    manner: Manner
    cancelled: Callable[[], bool]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / RATE


class Word(NamedTuple):
    """A word, with the space before it where there is one; times are in seconds from the stretch's first sample."""

    text: str
    start: float
    end: float
    confidence: float


class Heard(NamedTuple):
    """What a model understood of a stretch."""

    language: str
    language_probability: float
    words: Sequence[Word] = ()
    alternatives: Sequence[tuple[str, float]] = ()
    """Texts with their confidences, the best one first; empty where none were asked for."""


Hear = Callable[[Sequence[Stretch]], Sequence[Heard]]
"""Understands stretches together. What is heard in one must not depend on the others. Of one whose caller gave up it
may say anything."""


def answers(requests: Sequence[Request], hear: Hear, together: int, languages: Sequence[str]) -> list[Answer]:
    """Answers requests, their stretches side by side.

    Args:
        requests: With the tensors of recognition.
        hear: The model.
        together: How many stretches it hears at once.
        languages: The codes that it knows.
    """
    answered: list[Answer | list[Stretch]] = []
    for request in requests:
        try:
            answered.append(_stretches(request, languages))
        except InputError as error:
            answered.append(error)
    waiting = [stretch for stretches in answered if isinstance(stretches, list) for stretch in stretches]
    heard: list[Heard] = []
    for first in range(0, len(waiting), together):
        heard += hear(waiting[first : first + together])
    found = iter(heard)
    return [
        one if not isinstance(one, list) else _answer(request, one, [next(found) for _ in one])
        for request, one in zip(requests, answered, strict=True)
    ]


def _stretches(request: Request, languages: Sequence[str]) -> list[Stretch]:
    """The audible stretches of a request. Raises InputError."""
    samples = request.array("samples")
    if samples is None or samples.size == 0:
        raise InputError("samples: there must be at least one")
    manner = _manner(request, languages)
    pieces = windows(samples.reshape(-1).astype(np.float32) / 32768)
    return [
        Stretch(piece, first / RATE, manner, request.cancelled)
        for first, piece in pieces
        if plausibility.audible(piece)
    ]


def _manner(request: Request, languages: Sequence[str]) -> Manner:
    try:
        hints = Hints.parse(request.text("hints").encode())
    except HintsError as error:
        raise InputError(str(error)) from None
    if hints.grammar:
        raise InputError("hints.grammar: this model takes phrases, no grammar")
    language = request.text("language").partition("-")[0].lower()
    if language and language not in languages:
        raise InputError(f"language: this model does not know {language!r}")
    task = request.text("task") or TASKS[0]
    if task not in TASKS:
        raise InputError(f"task: {task!r} is none; there are {', '.join(TASKS)}")
    wanted = request.array("alternatives")
    alternatives = 0 if wanted is None or wanted.size == 0 else int(wanted.reshape(-1)[0])
    if not 0 <= alternatives <= MOST_ALTERNATIVES:
        raise InputError(f"alternatives: at most {MOST_ALTERNATIVES} can be had")
    return Manner(language, task, tuple(hints.phrases), alternatives)


def _answer(request: Request, stretches: Sequence[Stretch], heard: Sequence[Heard]) -> Tensors | CancelledError:
    """The tensors for what was heard in a request's stretches."""
    if request.cancelled():
        return CancelledError()
    kept = [_kept(stretch, one) for stretch, one in zip(stretches, heard, strict=True)]
    words = [word for part in kept for word in part]
    text = _spaced("".join(word.text for word in part) for part in kept)
    # The language is that of the stretch in which most was said.
    told = max(zip(kept, heard, strict=True), key=lambda pair: len(pair[0]), default=(None, Heard("", 0.0)))[1]
    return recognition.outputs(
        text,
        told.language,
        [(word.text.strip(), word.start, word.end, word.confidence) for word in words],
        language_probability=told.language_probability,
        alternatives=_alternatives(text, [one.alternatives for one in heard]) if text else (),
    )


def _kept(stretch: Stretch, heard: Heard) -> list[Word]:
    """The words of a stretch without loops, their times as seconds from the request's first sample, never backwards."""
    words = [heard.words[number] for number in plausibility.without_loops([word.text for word in heard.words])]
    if plausibility.repeats("".join(word.text for word in words)):
        return []
    placed, at = [], 0.0
    for word in words:
        start = min(max(word.start, at), stretch.seconds)
        end = at = min(max(word.end, start), stretch.seconds)
        placed.append(Word(word.text, stretch.start + start, stretch.start + end, word.confidence))
    return placed


def _alternatives(text: str, parts: Sequence[Sequence[tuple[str, float]]]) -> list[tuple[str, float]]:
    """The alternatives of a whole request: the best of each stretch together, the second best, and so on.

    The first is the text that is answered, without the loops that the model's own may have.
    """
    parts = [part for part in parts if part]
    ranks = range(max(map(len, parts), default=0))
    chosen = [[part[min(rank, len(part) - 1)] for part in parts] for rank in ranks]
    texts = [text, *(_spaced(said for said, _ in rank) for rank in chosen[1:])]
    # Without any rank there is no alternative, not even the text.
    return [(said, float(np.mean([sure for _, sure in rank]))) for said, rank in zip(texts, chosen, strict=False)]


def _spaced(texts: Iterable[str]) -> str:
    """Texts one after the other, with one space where there are some."""
    return " ".join(" ".join(texts).split())
