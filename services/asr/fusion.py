"""Fuses what two recognisers heard into one text, word by word.

After ROVER (J. Fiscus, "A post-processing system to yield reduced word error rates", ASRU 1997): the hypotheses are
aligned, and where they differ one is believed. Two things are added, for speech of two languages. Words are aligned by
how they sound as well, several to one if need be, because a recogniser that knows one language writes the words of
another as syllables of its own: "deadline" and "đét lai" are one place. And what is believed depends on the confidence
and on how well a model knows the language of the word: one that was tuned on Vietnamese is trusted with its tones, one
that knows all languages with English words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

from services.asr.models import ANY_LANGUAGE, MODELS
from services.asr.transcript import Candidate, FusionChoice, Segment, Word
from services.asr.vietnamese import EITHER, ENGLISH, VIETNAMESE, folded, language

GAP = 0.75
"""Cost of a word that only one of two hypotheses has; the same word costs nothing, one that sounds alike little."""
UNLIKE = 0.65
"""Cost of two words that do not sound alike at all."""
MANY = 4
"""Syllables that may stand at the place of one English word of the other hypothesis."""
NOTHING = 0.45
"""Trust that a word needs which only one model heard: hearing nothing is an answer too."""
FAR = 1.0
"""Seconds between two words from which they are hardly the same place."""
OWN, FOREIGN = 1.0, 0.55
"""How far a model for one language is trusted with words of that language, and with others."""
GENERAL = {VIETNAMESE: 0.72, ENGLISH: 1.0, EITHER: 0.85}
"""How far a model for all languages is trusted with words of each."""
TRANSCRIBED = 0.6
"""Trust that is left in Vietnamese syllables which sound like the English word that the other model heard."""
ALIKE = 0.45
"""How alike they must sound for that, from 0 to 1."""


class Place(NamedTuple):
    """Words of both hypotheses that stand for the same stretch of speech; one side may be empty."""

    one: tuple[Word, ...]
    other: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one model heard at a place, and how far it is trusted."""

    model: str
    words: tuple[Word, ...]
    trust: float
    reason: str

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float:
        """Their mean."""
        return sum(word.confidence for word in self.words) / len(self.words) if self.words else 0.0


def fuse(heard: Mapping[str, Segment]) -> Segment:
    """The segment that two models heard, as one. Where they agree, the spelling is that of the first.

    Args:
        heard: By model, one or two of them; the same stretch of audio.
    """
    (one, first), (other, second) = list(heard.items())[:1] + list(heard.items())[-1:]
    if not first.words or not second.words or _texts(first) == _texts(second):
        model, kept = (other, second) if second.words and not first.words else (one, first)
        return replace(kept, words=tuple(replace(word, model=model) for word in kept.words), alternatives=())
    words: list[Word] = []
    choices: list[FusionChoice] = []
    for place in align(first.words, second.words):
        if _agree(place):
            words += [_surer(*pair, one, other) for pair in zip(*place, strict=True)]
            continue
        sides = _judged(place, one, other)
        chosen = max(sides, key=lambda side: side.trust)
        words += [_labelled(word, chosen.model) for word in chosen.words]
        choices.append(_choice(sides, chosen))
    text = " ".join(word.text for word in words)
    spoken = first.language if _foreign(words) else second.language or first.language
    ordered = _in_order(words, first.start, first.end)
    return Segment(text, first.start, first.end, ordered, spoken, choices=tuple(choices))


def align(one: Sequence[Word], other: Sequence[Word]) -> list[Place]:
    """The places of two hypotheses, by the cheapest path through both."""
    size, width = len(one) + 1, len(other) + 1
    costs = [[math.inf] * width for _ in range(size)]
    steps: list[list[tuple[int, int]]] = [[(0, 0)] * width for _ in range(size)]
    costs[0][0] = 0.0
    for i in range(size):
        for j in range(width):
            if math.isinf(costs[i][j]):
                continue
            for rows, columns in _moves(one[i:], other[j:]):
                cost = costs[i][j] + _cost(one[i : i + rows], other[j : j + columns])
                if cost < costs[i + rows][j + columns] - 1e-9:
                    costs[i + rows][j + columns], steps[i + rows][j + columns] = cost, (rows, columns)
    places: list[Place] = []
    i, j = size - 1, width - 1
    while i or j:
        rows, columns = steps[i][j]
        places.append(Place(tuple(one[i - rows : i]), tuple(other[j - columns : j])))
        i, j = i - rows, j - columns
    return places[::-1]


def _moves(one: Sequence[Word], other: Sequence[Word]) -> list[tuple[int, int]]:
    """The steps that the alignment may take next: words of one, words of the other."""
    moves = [(1, 1)] if one and other else []
    moves += ([(1, 0)] if one else []) + ([(0, 1)] if other else [])
    if one and language(one[0].text) == ENGLISH:
        moves += [(1, many) for many in range(2, min(MANY, len(other)) + 1)]
    if other and language(other[0].text) == ENGLISH:
        moves += [(many, 1) for many in range(2, min(MANY, len(one)) + 1)]
    return moves


def _cost(one: Sequence[Word], other: Sequence[Word]) -> float:
    """What it costs to take words for the same place."""
    if not one or not other:
        return GAP * (len(one) + len(other))
    if len(one) == len(other) == 1 and _bare(one[0]) == _bare(other[0]):
        return _apart(one, other) * 0.2
    likeness = sounds_alike(" ".join(map(_bare, one)), " ".join(map(_bare, other)))
    # More than one to one has to earn its place by sound.
    return (1.0 - likeness) * max(len(one), len(other)) * UNLIKE + 0.1 + 0.3 * _apart(one, other)


def _apart(one: Sequence[Word], other: Sequence[Word]) -> float:
    """From 0 where the times of words meet to 1 where they are far apart."""
    gap = max(one[0].start, other[0].start) - min(one[-1].end, other[-1].end)
    return min(1.0, max(0.0, gap) / FAR)


@lru_cache(maxsize=8192)
def sounds_alike(one: str, other: str) -> float:
    """How alike two texts sound, from 0 to 1: their letters without diacritics, spelled as English ears hear them."""
    return SequenceMatcher(None, _sound(one), _sound(other), autojunk=False).ratio()


# Letters that stand for nearly the same sound, in Vietnamese or in English; longer ones first.
SOUNDS = (
    ("ngh", "n"), ("ng", "n"), ("nh", "n"), ("kh", "k"), ("th", "t"), ("tr", "t"), ("ch", "t"), ("ph", "f"),
    ("gh", "g"), ("qu", "k"), ("sh", "s"), ("ck", "k"), ("c", "k"), ("q", "k"), ("x", "s"), ("z", "s"), ("d", "t"),
    ("v", "f"), ("w", "u"), ("y", "i"), ("b", "p"), ("r", "l"), ("j", "t"),
)  # fmt: skip


def _sound(text: str) -> str:
    letters = folded(text)
    for spelled, spoken in SOUNDS:
        letters = letters.replace(spelled, spoken)
    return letters


def _agree(place: Place) -> bool:
    return len(place.one) == len(place.other) == 1 and _bare(place.one[0]) == _bare(place.other[0])


def _judged(place: Place, one: str, other: str) -> tuple[Side, Side]:
    """Both sides of a place, with how far each is trusted and why."""
    return _side(one, place.one, place.other), _side(other, place.other, place.one)


def _side(model: str, words: tuple[Word, ...], rival: tuple[Word, ...]) -> Side:
    if not words:
        return Side(model, words, NOTHING, "the other model is too unsure of a word that it heard alone")
    trusts, reasons = zip(*(_trust(model, word, rival) for word in words), strict=True)
    # The geometric mean: one word that cannot be believed spoils the others.
    trust = math.exp(sum(math.log(max(one, 1e-6)) for one in trusts) / len(trusts))
    return Side(model, words, trust, max(reasons, key=reasons.count))


def _trust(model: str, word: Word, rival: tuple[Word, ...]) -> tuple[float, str]:
    """How far a word is believed, from 0 to 1, and the reason."""
    spoken, own = language(word.text), _languages(model)
    if ANY_LANGUAGE in own:
        why = {ENGLISH: "an English word, which a model for all languages knows better", EITHER: "it is surer"}
        return word.confidence * GENERAL[spoken], why.get(spoken, "it is surer, though the word is Vietnamese")
    if spoken in (*own, EITHER):
        if _written_as_it_sounds(word, rival):
            return word.confidence * TRANSCRIBED, "it is surer, though the word sounds like an English one"
        return word.confidence * OWN, "a Vietnamese word, which a model for Vietnamese knows better"
    return word.confidence * FOREIGN, "it is surer, though the word is foreign to it"


def _written_as_it_sounds(word: Word, rival: tuple[Word, ...]) -> bool:
    """Whether the rival's words are English, and this is a piece of how they sound."""
    english = [other for other in rival if language(other.text) == ENGLISH]
    if not english:
        return False
    text = "".join(_sound(other.text) for other in english)
    piece = _sound(word.text)
    common = SequenceMatcher(None, piece, text, autojunk=False).get_matching_blocks()
    return sum(block.size for block in common) >= ALIKE * len(piece)


def _choice(sides: tuple[Side, Side], chosen: Side) -> FusionChoice:
    words = [word for side in sides for word in side.words]
    candidates = tuple(Candidate(side.model, side.text, side.confidence) for side in sides)
    rival = next(side for side in sides if side is not chosen)
    reason = f"{chosen.reason} (trust {chosen.trust:.2f} against {rival.trust:.2f})"
    start, end = min(word.start for word in words), max(word.end for word in words)
    return FusionChoice(start, end, candidates, chosen.model, reason)


def _surer(first: Word, second: Word, one: str, other: str) -> Word:
    """A word that both heard: as the first spells it, as sure as the surer is."""
    model = one if first.confidence >= second.confidence else other
    return _labelled(replace(first, confidence=max(first.confidence, second.confidence)), model)


def _labelled(word: Word, model: str) -> Word:
    return replace(word, model=model, language=language(word.text))


def _in_order(words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
    """Words of two models with times that do not run backwards."""
    placed: list[Word] = []
    now = start
    for word in words:
        begin = min(max(word.start, now), end)
        now = min(max(word.end, begin), end)
        placed.append(replace(word, start=begin, end=now))
    return tuple(placed)


def _foreign(words: Sequence[Word]) -> bool:
    """Whether a text has more English words than Vietnamese ones."""
    spoken = [language(word.text) for word in words]
    return spoken.count(ENGLISH) > spoken.count(VIETNAMESE)


def _texts(segment: Segment) -> list[str]:
    return [_bare(word) for word in segment.words]


def _bare(word: Word) -> str:
    return word.text.lower().strip(".,;:!?\"'()[]…-“”‘’")


@lru_cache(maxsize=64)
def _languages(model: str) -> tuple[str, ...]:
    """The languages that a model knows, without countries; those of an unknown model are all."""
    found = next((known.languages for known in MODELS if known.id == model), (ANY_LANGUAGE,))
    return tuple(one.partition("-")[0].lower() for one in found)
