"""A question as plain words for comparing questions: stems, with the numbers and the values of the database among them.

Signs fall away, quoted texts become words, Vietnamese is rewritten to the English words that the engine reads, so that
a Vietnamese question meets an English example.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from services.sql.language.tokens import tokenize
from services.sql.language.words import fold, listed, stem

MAX_WORDS = 80
# The longest value that is looked for, in words.
MAX_VALUE_WORDS = 7
SLOT = "§"
"""Stands for a value in the words of an example."""
_PLAIN = {
    "largest": "biggest", "greatest": "biggest", "maximum": "max", "minimum": "min", "average": "avg", "mean": "avg",
    "display": "show", "list": "show", "give": "show", "return": "show", "find": "show", "tell": "show",
    "different": "distinct", "unique": "distinct", "whose": "with", "that": "which", "who": "which",
    "bordering": "border", "lists": "show", "descending": "desc", "ascending": "asc", "every": "each",
    "id": "id", "ids": "id", "identifier": "id", "usa": "us", "america": "us", "least": "least",
    "neighbor": "border", "neighbors": "border", "neighboring": "border", "neighbour": "border",
    "neighbours": "border", "neighbouring": "border", "adjacent": "border", "adjoin": "border", "surrounding": "border",
    "citizens": "people", "residents": "people", "inhabitants": "people", "populous": "populated", "called": "named",
    "traverse": "run", "traverses": "run", "traversed": "run", "flow": "run", "flows": "run", "flowing": "run",
}  # fmt: skip
"""Words that people use for each other in questions, whatever the database."""
_QUIET = listed(
    "the a an of is are was were be do does did there in on at for to and what which who show me us please all any "
    "that with by from have has had it its their them they can could you i we as this these those how many s "
    "so far now ever yet currently also then been being just here found located situated lie lies exist exists"
)
QUIET = frozenset(_QUIET) | frozenset(map(stem, _QUIET))
"""Words, as they are written and by their stems, that say little about which columns are meant."""


@dataclass(frozen=True)
class Word:
    """A word of a question."""

    stem: str
    """What it is compared by."""
    folded: str
    number: float | None = None
    quoted: bool = False
    proper: bool = False
    """Whether it is written like a name."""


@lru_cache(maxsize=4096)
def words_of(question: str) -> tuple[Word, ...]:
    """The words of a question, at most MAX_WORDS."""
    found: list[Word] = []
    for token in tokenize(question):
        if token.quoted:
            found += [Word(stem_of(part), part, _number(part), True, True) for part in _split(token.text)]
        elif token.number is not None:
            text = _plain_number(token.number)
            found.append(Word(text, text, token.number))
        elif token.word[:1].isalnum():
            proper = token.text[:1].isupper() and token.start > 0
            found += [Word(stem_of(part), part, None, False, proper) for part in _split(token.text)]
    return tuple(found[:MAX_WORDS])


def order_likeness(left: Sequence[str], right: Sequence[str], weight: Callable[[str], float]) -> float:
    """How much of two sequences of words stands in the same order, from 0 to 1: their weighted longest common part."""
    row = [0.0] * (len(right) + 1)
    for word in left:
        diagonal = 0.0
        gain = weight(word)
        for at, other in enumerate(right, 1):
            above = row[at]
            row[at] = max(above, row[at - 1], diagonal + gain if word == other else 0.0)
            diagonal = above
    total = sum(map(weight, left)) + sum(map(weight, right))
    return 2 * row[-1] / total if total else 0.0


def _split(text: str) -> list[str]:
    """The folded words of a text; signs between them fall away."""
    return "".join(char if char.isalnum() else " " for char in fold(text)).split()


def _plain_number(number: float) -> str:
    """A number as SQL has it: `150000`, `2.5`."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def value_words(value: str) -> tuple[str, ...]:
    """The words of a value, as `Word.folded` has them."""
    return tuple(_split(value))


def _number(part: str) -> float | None:
    return float(part) if part.isascii() and part.isdigit() else None


@lru_cache(maxsize=65536)
def stem_of(word: str) -> str:
    """What a folded word is compared by: its stem, or that of a word which people use for it."""
    plain = _PLAIN.get(word, word)
    return stem(plain)


def find(needle: str, words: Sequence[Word]) -> tuple[int, int] | None:
    """Where a literal's text stands among words; None where it does not."""
    number = _as_number(needle)
    if number is not None:
        for at, word in enumerate(words):
            if word.number == number:
                return at, at + 1
    parts = _split(needle)
    if not parts:
        return None
    stems = [stem_of(part) for part in parts]
    for exact in (True, False):
        for start in range(len(words) - len(parts) + 1):
            window = words[start : start + len(parts)]
            if [word.folded if exact else word.stem for word in window] == (parts if exact else stems):
                return start, start + len(parts)
    return None


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def pairs(stems: Sequence[str]) -> set[tuple[str, str]]:
    """Neighbouring words, the ends included."""
    padded = ["^", *stems, "$"]
    return set(itertools.pairwise(padded))


def trigrams(stems: Iterable[str]) -> set[str]:
    """Runs of three characters of words that say something, for words that are spelt or built differently."""
    found: set[str] = set()
    for word in stems:
        if word not in QUIET:
            padded = f" {word} "
            found.update(padded[at : at + 3] for at in range(len(padded) - 2))
    return found
