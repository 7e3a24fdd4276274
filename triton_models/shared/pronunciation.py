"""A small pronouncing dictionary for exactly the words at hand: CMUdict, then numbers in words, then letter rules."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from triton_models.shared import letters, numbers

VARIANT = re.compile(r"\(\d+\)$")
MOST = 6  # pronunciations of one word: more only slow the search down


def look_up(words: Iterable[str], dictionary: Path) -> dict[str, list[str]]:
    """Pronunciations of `words`, as far as the dictionary has them, by reading it once (some 50 ms for CMUdict).

    Args:
        words: In the dictionary's case, which is lower.
        dictionary: A file of lines `word phone phone …`, alternatives as `word(2) …`.
    """
    wanted, found = set(words), dict[str, list[str]]()
    with dictionary.open(encoding="utf-8") as lines:
        for line in lines:
            name, _, phones = line.rstrip("\n").partition(" ")
            word = VARIANT.sub("", name) if name.endswith(")") else name
            if word in wanted:
                found.setdefault(word, []).append(phones.strip())
    return found


def pronounce(words: Iterable[str], dictionary: Path) -> dict[str, list[str]]:
    """Pronunciations of every word that has any, the likelier first.

    Args:
        words: As they shall come out: any case and script, numbers in digits.
        dictionary: See `look_up`.
    """
    words = list(words)
    said = {word: numbers.spoken(word) or [" ".join(_parts(word))] for word in words}
    simple = {part for ways in said.values() for way in ways for part in way.split()}
    known = look_up({letters.fold(part) for part in simple} | simple, dictionary)
    spoken = {word: _join(ways, known) for word, ways in said.items()}
    return {word: phones for word, phones in spoken.items() if phones}


def _parts(word: str) -> list[str]:
    """The pieces of a word that are said one after the other: `wi-fi` is two, `A4` is a letter and a number."""
    pieces = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+", word.lower())
    return [part for piece in pieces for part in (numbers.spoken(piece)[:1] or [piece])]


def _join(ways: Iterable[str], known: Mapping[str, list[str]]) -> list[str]:
    """The pronunciations of a word that is said in any of `ways`."""
    found: list[str] = []
    for way in ways:
        options = [_word(part, known)[: 2 if " " in way else MOST] for part in way.split()]
        found += [" ".join(choice) for choice in itertools.islice(itertools.product(*options), MOST)]
    return [phones for phones in dict.fromkeys(found) if phones][:MOST]


def _word(word: str, known: Mapping[str, list[str]]) -> list[str]:
    """The pronunciations of one simple word. A foreign name gets the rules' idea besides a look-alike's of CMUdict."""
    if word in known:
        return known[word]
    return [*known.get(letters.fold(word), []), *letters.pronunciations(word)]


def write(words: Mapping[str, list[str]], path: Path) -> None:
    """Writes a dictionary file as pocketsphinx reads it."""
    lines = [
        f"{word}{f'({number})' if number > 1 else ''} {phones}\n"
        for word, ways in words.items()
        for number, phones in enumerate(ways, 1)
    ]
    path.write_text("".join(lines), encoding="utf-8")
