"""Another colour for something in a prompt: the words for colours, English and Vietnamese."""

from __future__ import annotations

import re
from typing import NamedTuple

from services.chat.language import fold


class Colour(NamedTuple):
    """A colour: its words in English, and in Vietnamese, the usual one of each first."""

    english: tuple[str, ...]
    vietnamese: tuple[str, ...]


COLOURS = (
    Colour(("red",), ("đỏ",)),
    Colour(("green",), ("xanh lá", "xanh lá cây", "xanh lục")),
    Colour(("blue",), ("xanh dương", "xanh lam", "xanh da trời")),
    Colour(("yellow",), ("vàng",)),
    Colour(("orange",), ("cam",)),
    Colour(("purple", "violet"), ("tím",)),
    Colour(("pink",), ("hồng",)),
    Colour(("brown",), ("nâu",)),
    Colour(("cyan", "turquoise"), ("xanh ngọc", "xanh lơ")),
    Colour(("white",), ("trắng",)),
    Colour(("black",), ("đen",)),
    Colour(("grey", "gray"), ("xám",)),
)


def _any_of(words: set[str]) -> str:
    """A pattern for any of these words, the longest first."""
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


_ENGLISH = {word for colour in COLOURS for word in colour.english}
_VIETNAMESE = {word for colour in COLOURS for word in colour.vietnamese}
ANY = "(?:" + _any_of(_ENGLISH | {fold(word) for word in _VIETNAMESE}) + ")"
"""A pattern for any colour in a folded text."""
_BY_WORD = {fold(word): colour for colour in COLOURS for word in (*colour.english, *colour.vietnamese)}
# In a prompt. Vietnamese without its marks counts after “mau” only: “do” may be anything.
_IN_ENGLISH = re.compile(rf"\b(?P<colour>{_any_of(_ENGLISH)})\b", re.IGNORECASE)
_IN_VIETNAMESE = re.compile(
    rf"\b(?:(?P<colour>{_any_of(_VIETNAMESE)})|mau (?P<plain>{_any_of({fold(word) for word in _VIETNAMESE})}))\b",
    re.IGNORECASE,
)
_BACKGROUND = frozenset(["background", "nen"])


def recoloured(prompt: str, colour: str, thing: str = "") -> str:
    """The prompt with another colour; empty where it is not clear which of its colours is meant.

    Args:
        prompt: It may have one colour besides that of the background; with `thing`, more.
        colour: The new one, folded; one of ANY.
        thing: What it is the colour of, as the person calls it; empty: the only thing that has one.
    """
    wanted = _BY_WORD[colour]
    places = [(place, wanted.english[0]) for place in _in_english(prompt, thing)]
    places += [(place, wanted.vietnamese[0]) for place in _in_vietnamese(prompt, thing)]
    if len(places) != 1:
        return ""
    (start, end), word = places[0]
    return prompt[:start] + word + prompt[end:]


def _in_english(prompt: str, thing: str) -> list[tuple[int, int]]:
    """Where the colours of a thing stand in an English prompt, before it; empty: of all things but the background."""
    name = "background" if not thing or fold(thing) in _BACKGROUND else thing
    beside = re.compile(rf"\s+{re.escape(name)}\b", re.IGNORECASE)
    found = [match.span() for match in _IN_ENGLISH.finditer(prompt)]
    return [(start, end) for start, end in found if bool(beside.match(prompt, end)) is bool(thing)]


def _in_vietnamese(prompt: str, thing: str) -> list[tuple[int, int]]:
    """The same of a Vietnamese prompt: behind the thing, perhaps with its size in between."""
    name = r"n(?:ề|e)n" if not thing or fold(thing) in _BACKGROUND else re.escape(thing)
    beside = re.compile(rf"\b{name}(?:\s+(?!m[àa]u)\w+)?(?:\s+m[àa]u)?\s+$", re.IGNORECASE)
    matches = _IN_VIETNAMESE.finditer(prompt)
    found = [match.span("colour" if match["colour"] else "plain") for match in matches]
    return [(start, end) for start, end in found if bool(beside.search(prompt[:start])) is bool(thing)]
