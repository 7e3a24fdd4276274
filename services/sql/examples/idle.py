"""Words that tell nothing in one database: `in the united states` where every row is in the USA.

Questions are compared without them, so that `the longest river in the usa` is the example `the longest river`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.sql.language.phrases import QUIET, Word, stem_of, value_words
from services.sql.language.words import split_name
from services.sql.schema import Schema

# Names of countries in several words, by the short ones that stand for them.
_LONG: Mapping[tuple[str, ...], str] = {
    ("united", "states", "of", "america"): "us",
    ("united", "states"): "us",
    ("united", "kingdom"): "uk",
    ("great", "britain"): "uk",
}
_PLACING = frozenset({"in", "of", "within", "from", "across", "for", "throughout", "inside"})
_POINTING = frozenset({"the", "this", "whole", "entire"})
_MAX_WORDS = 4


def without_idle(words: Sequence[Word], schema: Schema) -> tuple[Word, ...]:
    """Words without those that say what is so of every row; all of them where nothing else would be left.

    Args:
        words: A question's.
        schema: The database's.
    """
    if not schema.constants:
        return tuple(words)
    values = {tuple(map(stem_of, value_words(value))) for value in schema.constants}
    names = {stem_of(part) for column in schema.constants.values() for part in split_name(column)} - {"name"}
    gone: set[int] = set()
    at = 0
    while at < len(words):
        length = _length(words, at, values) or int(_is_pointed(words, at, names))
        if length:
            gone |= set(range(_start(words, at), at + length))
        at += length or 1
    kept = tuple(word for number, word in enumerate(words) if number not in gone)
    return kept if any(word.stem not in QUIET for word in kept) else tuple(words)


def _length(words: Sequence[Word], at: int, values: set[tuple[str, ...]]) -> int:
    """How many words from here on name a value of every row."""
    for length in range(min(_MAX_WORDS, len(words) - at), 0, -1):
        run = words[at : at + length]
        long = _LONG.get(tuple(word.folded for word in run))
        stems = (long,) if long is not None else tuple(word.stem for word in run)
        if stems in values:
            return length
    return 0


def _is_pointed(words: Sequence[Word], at: int, names: set[str]) -> bool:
    """Whether a word points at what all rows share: `in the country`."""
    before = words[at - 2 : at] if at > 1 else ()
    pointing = len(before) == 2 and before[0].folded in _PLACING and before[1].folded in _POINTING
    return pointing and words[at].stem in names


def _start(words: Sequence[Word], at: int) -> int:
    """Where the words begin that only lead to this one: `in the`."""
    while at > 0 and words[at - 1].folded in _POINTING:
        at -= 1
    return at - 1 if at > 0 and words[at - 1].folded in _PLACING else at
