"""Captions of scenes, in English and Vietnamese, with what each says: what it leaves out is free in the picture."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np

from triton_models.training.scenes import Scene, Thing
from triton_models.training.words import ENGLISH, VIETNAMESE, Choices, Language

UNSAID = -1
OPPOSITE = (1, 0, 3, 2)  # of the relations
# How often each is said.
SAY_COLOUR, SAY_SIZE, SAY_SIZE_OF_PAIR, SAY_PLACE, SAY_BACKGROUND, SAY_RELATION = 0.9, 0.45, 0.3, 0.6, 0.4, 0.88
VIETNAMESE_SHARE, PLAIN_SHARE, OPENING_SHARE, SIDES_SHARE = 0.4, 0.2, 0.15, 0.15


@dataclass(frozen=True)
class SaidThing:
    """What a caption says of one thing: indices as in scenes.py, or UNSAID; `last` is the index of its last word."""

    shape: int
    colour: int
    size: int
    last: int


@dataclass(frozen=True)
class Caption:
    """A caption and what it says. `relation` is of the thing named first to the one named second."""

    text: str
    things: tuple[SaidThing, ...]
    count: int
    place: int = UNSAID
    relation: int = UNSAID
    background: int = UNSAID


def plain(text: str) -> str:
    """Text without diacritics, as Vietnamese is often typed."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    return bare.replace("đ", "d")


def write_caption(scene: Scene, rng: np.random.Generator, language: str | None = None, full: bool = False) -> Caption:
    """A caption in `language` ("en", "vi") or in one drawn at random; `full` leaves out no colour or relation."""
    vietnamese = language == "vi" if language else rng.random() < VIETNAMESE_SHARE
    writer = _Writer(scene, rng, VIETNAMESE if vietnamese else ENGLISH, full)
    caption = writer.write()
    if vietnamese and not full and rng.random() < PLAIN_SHARE:
        return Caption(plain(caption.text), *_rest(caption))
    return caption


def _rest(caption: Caption) -> tuple[tuple[SaidThing, ...], int, int, int, int]:
    return caption.things, caption.count, caption.place, caption.relation, caption.background


class _Writer:
    """One caption in the making."""

    def __init__(self, scene: Scene, rng: np.random.Generator, words: Language, full: bool) -> None:
        self._scene, self._rng, self._words, self._full = scene, rng, words, full
        self._text: list[str] = []
        self._things: list[SaidThing] = []

    def write(self) -> Caption:
        if self._chance(OPENING_SHARE):
            self._say(self._of(self._words.openings))
        place = relation = UNSAID
        if self._scene.kind == "pair":
            relation = self._pair()
        else:
            size_said = self._chance(SAY_SIZE)
            self._thing(self._scene.things[0], size_said, len(self._scene.things))
            if self._scene.kind == "single" and self._chance(SAY_PLACE):
                place = self._scene.place
                self._say(self._of(self._words.places[place]))
        background = self._background()
        count = len(self._scene.things)
        return Caption(" ".join(self._text), tuple(self._things), count, place, relation, background)

    def _pair(self) -> int:
        first, second = self._scene.things
        relation = self._scene.relation
        if self._chance(0.5):
            first, second, relation = second, first, OPPOSITE[relation]
        sized = [self._chance(SAY_SIZE_OF_PAIR) for _ in range(2)]
        said = self._full or self._chance(SAY_RELATION)
        by_sides = said and self._chance(SIDES_SHARE)
        self._thing(first, sized[0])
        if by_sides:
            self._say(self._words.sides[relation][0])
        self._say(self._of(self._words.relations[relation]) if said and not by_sides else self._words.joint)
        self._thing(second, sized[1])
        if by_sides:
            self._say(self._words.sides[relation][1])
        return relation if said else UNSAID

    def _thing(self, thing: Thing, size_said: bool, count: int = 1) -> None:
        colour_said = self._full or self._chance(SAY_COLOUR)
        words = self._words
        noun = self._of((words.shapes if count == 1 else words.plurals)[thing.shape])
        size = self._of(words.sizes[thing.size]) if size_said else ""
        colour = self._of(words.colours[thing.colour]) if colour_said else ""
        phrase = self._vietnamese(noun, size, colour) if words is VIETNAMESE else f"{size} {colour} {noun}"
        phrase = " ".join(phrase.split())
        if count > 1:
            phrase = f"{self._of(words.numbers[count - 2])} {phrase}"
        elif self._chance(0.85):
            phrase = f"{self._article(phrase)} {phrase}"
        self._say(phrase)
        last = sum(len(part.split()) for part in self._text) - 1
        said = thing.shape, thing.colour if colour_said else UNSAID, thing.size if size_said else UNSAID
        self._things.append(SaidThing(*said, last))

    def _vietnamese(self, noun: str, size: str, colour: str) -> str:
        if colour and self._chance(0.5):
            colour = f"màu {colour}"
        return f"{noun} {size} {colour}" if self._chance(0.5) else f"{noun} {colour} {size}"

    def _article(self, phrase: str) -> str:
        if self._words is VIETNAMESE:
            return "một"
        return "an" if phrase[0] in "aeiou" else "a"

    def _background(self) -> int:
        if not self._chance(SAY_BACKGROUND):
            return UNSAID
        colour = self._of(self._words.backgrounds[self._scene.background])
        self._say(self._of(self._words.grounds).format(colour))
        return self._scene.background

    def _say(self, words: str) -> None:
        self._text.append(words)

    def _of(self, choices: Choices) -> str:
        return choices[int(self._rng.integers(len(choices)))]

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)


def all_words() -> list[str]:
    """Every word that captions are made of, also without diacritics, sorted."""
    words = {"a", "an", "một", "màu", "background"}
    for language in (ENGLISH, VIETNAMESE):
        for value in vars(language).values():
            words.update(_words_of(value))
    return sorted({form for word in words for form in (word, plain(word))} - {""})


def _words_of(value: str | tuple[object, ...]) -> set[str]:
    if isinstance(value, str):
        return set(value.replace("{}", " ").split())
    return {word for part in value for word in _words_of(part)}  # type: ignore[arg-type]  # tuples of tuples of words
