"""Speech recognition with pocketsphinx: one utterance in, its words with times and confidences out.

A pocketsphinx decoder carries the cepstral mean of an utterance into the next, so the same audio could give another
text after other audio. Here the mean is measured over the utterance itself before it is decoded (as Sphinx-4's batch
normalisation does), and the decoder starts from it: what came before has no influence.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from triton_models.shared import pronunciation
from triton_models.shared.hints import Hints, HintsError
from triton_models.shared.ngram import Ngrams
from triton_models.shared.room import in_room

RATE = 16000
FRAMES = 100  # a second
CHUNK = RATE // 2  # samples between two looks at whether the client is still there
KEPT = 8  # recognisers for hints, some 10 MB each
MODELS = Path(pocketsphinx.get_model_path()) / "en-us"
MARGIN = RATE // 5  # silence around an utterance: the first and the last word need something to stand against
# With hints the language model is small: the search can afford wider beams and more of the acoustic model's Gaussians,
# and the examples deserve more trust than the general model. Found on spoken questions with bench/spoken.py.
HINTED = {
    "lw": 8,
    "fwdflatlw": 10,
    "bestpathlw": 11,
    "topn": 16,
    "beam": 1e-80,
    "wbeam": 1e-60,
    "pbeam": 1e-80,
    "lpbeam": 1e-70,
}

# Weights of the language model: what a boost of the phrases raises, doubled at 10.
WEIGHTS = ("lw", "fwdflatlw", "bestpathlw")
LOOKED_AT = 200  # paths through the lattice that are looked at for alternatives; many are of the same words


class Word(NamedTuple):
    """A recognised word; times are in seconds from the beginning of the samples."""

    text: str
    start: float
    end: float
    confidence: float


def decoder(**options: Any) -> Any:
    """A pocketsphinx decoder for the bundled US-English acoustic model, that logs nothing."""
    return pocketsphinx.Decoder(hmm=str(MODELS / "en-us"), loglevel="FATAL", **options)


class Recogniser:
    """A decoder with its dictionary and language model.

    Args:
        engine: From `decoder`.
        front: A decoder that only measures cepstral means; see `Recognisers`.
    """

    def __init__(self, engine: Any, front: Any) -> None:
        self._engine = engine
        self._front = front

    def words(self, samples: NDArray[np.int16], cancelled: Callable[[], bool]) -> list[Word] | None:
        """The words of one utterance at 16 kHz; None when it was cancelled while working."""
        seconds = len(samples) / RATE
        samples = in_room(samples, MARGIN)
        self.begin(samples)
        stopped = False
        for start in range(0, len(samples), CHUNK):
            if stopped := cancelled():
                break
            self.decode(samples[start : start + CHUNK])
        self.end()
        return None if stopped else self.found(seconds)

    def begin(self, samples: NDArray[np.int16]) -> None:
        """Begins an utterance. The cepstral mean is measured over `samples`, its beginning or all of it."""
        self._engine.reinit_feat()
        self._engine.set_cmn(self._mean(samples))
        self._engine.start_utt()

    def decode(self, samples: NDArray[np.int16]) -> None:
        """Goes on with the utterance."""
        self._engine.process_raw(samples.tobytes())

    def end(self) -> None:
        """Ends the utterance."""
        self._engine.end_utt()

    @staticmethod
    def confidence(words: Sequence[Word]) -> float:
        """The mean over words; 0 without any."""
        return sum(word.confidence for word in words) / len(words) if words else 0.0

    def alternatives(self, best: Sequence[Word], count: int) -> list[tuple[str, float]]:
        """Other texts of what was decoded last, likelier ones first, each with its confidence; a grammar has none.

        Those are paths through the lattice. What the best text leaves of certainty is shared out among all that were
        looked at, by their scores.
        """
        found: dict[str, float] = {}
        for path in itertools.islice(self._engine.nbest() or (), LOOKED_AT if count else 0):
            text = spelled((path.hypstr or "").split())
            found[text] = max(found.get(text, 0.0), float(path.score))
        found = {text: score for text, score in found.items() if text and text != " ".join(word.text for word in best)}
        left = 1.0 - self.confidence(best)
        total = sum(found.values())
        ranked = sorted(found.items(), key=lambda item: -item[1])[:count]
        return [(text, left * score / total) for text, score in ranked] if total > 0 else []

    def _mean(self, samples: NDArray[np.int16]) -> str:
        self._front.reinit_feat()
        self._front.start_utt()
        self._front.process_raw(samples.tobytes(), no_search=True, full_utt=True)
        mean = str(self._front.get_cmn(False))
        self._front.end_utt()
        return mean

    def found(self, seconds: float) -> list[Word]:
        """The words of what was decoded last, or so far; times count without the margin, and end after `seconds`."""
        found = []
        for segment in self._engine.seg() or []:
            text = pronunciation.VARIANT.sub("", segment.word)
            if text.startswith(("<", "[", "+")):  # silence and noise
                continue
            start, end = (frame / FRAMES - MARGIN / RATE for frame in (segment.start_frame, segment.end_frame + 1))
            start = min(max(start, 0.0), seconds)
            found.append(Word(text, start, min(max(end, start), seconds), min(1.0, float(segment.prob))))
        return found


def spelled(words: Iterable[str]) -> str:
    """Words of a hypothesis as text: without variants of pronunciation, silence and noise."""
    bare = (pronunciation.VARIANT.sub("", word) for word in words)
    return " ".join(word for word in bare if not word.startswith(("<", "[", "+")))


class Recognisers:
    """Makes a recogniser for hints, and keeps those that were used last: they are known by the hints' content.

    Dictation without hints needs the large language model and dictionary, some 90 MB: loaded when first asked for.

    Args:
        kept: How many recognisers for hints are kept.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._free: Recogniser | None = None
        self._hinted: OrderedDict[bytes, Recogniser] = OrderedDict()

    @functools.cached_property
    def _front(self) -> Any:
        """The decoder that only measures: 3 MB and some milliseconds, when it is asked for first."""
        with tempfile.TemporaryDirectory() as folder:
            dictionary = Path(folder) / "words.dict"
            dictionary.write_text("a AH\n")
            made = decoder(dict=str(dictionary), lm=None)
        made.add_jsgf_string("front", "#JSGF V1.0; grammar front; public <front> = a;")
        made.activate_search("front")
        return made

    def get(self, data: bytes) -> Recogniser:
        """The recogniser for the bytes of a `hints` tensor. Raises HintsError for hints that make no sense."""
        key = hashlib.blake2b(data).digest()
        if key in self._hinted:
            self._hinted.move_to_end(key)
            return self._hinted[key]
        hints = Hints.parse(data)
        if not hints.phrases and not hints.grammar:
            self._free = self._free or self.make(data)
            return self._free
        self._hinted[key] = self.make(data)
        if len(self._hinted) > self._kept:
            self._hinted.popitem(last=False)
        return self._hinted[key]

    def make(self, data: bytes, **options: Any) -> Recogniser:
        """A recogniser of its own for the bytes of a `hints` tensor, which is not kept. Raises HintsError.

        Args:
            data: The hints.
            options: Of the decoder, besides those that the hints bring.
        """
        hints = Hints.parse(data)
        engine = hinted(hints, **options) if hints.phrases or hints.grammar else self._dictation(**options)
        return Recogniser(engine, self._front)

    @staticmethod
    def _dictation(**options: Any) -> Any:
        return decoder(dict=str(MODELS / "cmudict-en-us.dict"), lm=str(MODELS / "en-us.lm.bin"), **options)


def hinted(hints: Hints, **options: Any) -> Any:
    """A decoder for what the hints say. Raises HintsError when they hold no word, or the grammar is none."""
    sentences = hints.sentences()
    words = {word for sentence in sentences for word in sentence} or hints.grammar_words()
    known = pronunciation.pronounce(sorted(words), MODELS / "cmudict-en-us.dict")
    if not known:
        raise HintsError("hints: they hold no word that can be said")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pronunciation.write(known, folder / "words.dict")
        if not hints.grammar:
            sayable = [[word for word in sentence if word in known] for sentence in sentences]
            (folder / "words.lm").write_text(Ngrams(filter(None, sayable)).arpa(), encoding="utf-8")
            settings = HINTED | {weight: HINTED[weight] * (1 + hints.boost / 10) for weight in WEIGHTS}
            return decoder(dict=str(folder / "words.dict"), lm=str(folder / "words.lm"), **settings, **options)
        engine = decoder(dict=str(folder / "words.dict"), lm=None, **options)
    try:
        engine.add_jsgf_string("hints", hints.grammar)
        engine.activate_search("hints")
    except (ValueError, RuntimeError, KeyError):
        raise HintsError("hints.grammar: not a JSGF grammar with a public rule") from None
    return engine
