"""Spelling mistakes in questions: a word that nobody knows becomes the known one that is one edit away.

An edit is a letter too many, one missing, a wrong one, or two neighbours that changed places (Damerau 1964). In
Vietnamese, whose syllables are short and close to each other, the neighbours decide: the corrected syllable must make a
known phrase with the one before or after it. Diacritics are folded away before: a missing one is no mistake.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from services.sql.language.lexicon import QUIET, SIGNS, STOP
from services.sql.language.tokens import NUMBER_WORDS, VIETNAMESE_NUMBERS, Token, is_vietnamese
from services.sql.language.vietnamese import PHRASES, SPELT
from services.sql.language.words import lemma, plural
from services.sql.linking.linking import LinkIndex, said_words

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Shorter words have too many neighbours.
_SHORT_ENGLISH, _SHORT_VIETNAMESE = 5, 3


def corrected(question: str, tokens: Sequence[Token], index: LinkIndex) -> list[Token]:
    """The tokens with misspelt words corrected; what is quoted, a number, or a name that no value is like stays.

    Args:
        question: As it was asked.
        tokens: Its tokens, Vietnamese ones not rewritten yet.
        index: The words of the database.
    """
    vietnamese = is_vietnamese(question)
    known = _syllables() if vietnamese else _english()
    found = list(tokens)
    for at, token in enumerate(tokens):
        if token.quoted or token.number is not None or not token.word.isalpha() or _is_known(token, index, known):
            continue
        named = at > 0 and token.text[:1].isupper()
        better = _named(token, index) if named else _better(found, at, index, vietnamese)
        if better:
            found[at] = replace(token, text=SPELT.get(better, better), word=better, lemma=lemma(better))
    return found


def _is_known(token: Token, index: LinkIndex, known: frozenset[str]) -> bool:
    word, base = token.word, token.lemma
    return bool({word, base, plural(base)} & (known | index.words)) or bool(index.names([word]))


def _named(token: Token, index: LinkIndex) -> str:
    """The word of a value that a name is like; empty where there is none, or several."""
    near = (
        [word for word in edits(token.word) if word in index.value_words] if len(token.word) >= _SHORT_ENGLISH else []
    )
    return near[0] if len(near) == 1 else ""


def _better(tokens: Sequence[Token], at: int, index: LinkIndex, vietnamese: bool) -> str:
    word = tokens[at].word
    own = [other for other in edits(word) if other in index.words] if len(word) >= _SHORT_ENGLISH else []
    if not vietnamese:
        near = own or [other for other in edits(word) if other in _steering()] if len(word) >= _SHORT_ENGLISH else []
        return near[0] if len({lemma(other) for other in near}) == 1 else ""
    if len(word) < _SHORT_VIETNAMESE:
        return ""
    before = tokens[at - 1].word if at else ""
    after = tokens[at + 1].word if at + 1 < len(tokens) else ""
    fitting = [
        other
        for other in edits(word)
        if (before, other) in _pairs() or (other, after) in _pairs() or (before, other) in index.pairs
        or (other, after) in index.pairs
    ]  # fmt: skip
    swapped = [other for other in fitting if len(other) == len(word) and sorted(other) == sorted(word)]
    for near in (swapped, fitting, own):
        if len(set(near)) == 1:
            return near[0]
    return ""


def edits(word: str) -> Iterator[str]:
    """The words one edit away, each once, the word itself not among them.

    The first letter is hardly ever the wrong one: it stays, unless it changed places with the second.
    """
    seen = {word}
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    made = itertools.chain(
        (left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1),
        (left + right[1:] for left, right in cuts if right),
        (left + letter + right[1:] for left, right in cuts if right for letter in _LETTERS),
        (left + letter + right for left, right in cuts for letter in _LETTERS),
    )
    for other in made:
        first = other[:1] == word[:1] or other[:2] == word[1::-1]
        if first and other not in seen:
            seen.add(other)
            yield other


@cache
def _steering() -> frozenset[str]:
    """The longer English words that steer a query."""
    return frozenset(word for phrase in SIGNS for word in phrase if len(word) >= _SHORT_ENGLISH)


@cache
def _english() -> frozenset[str]:
    return (
        frozenset(word for phrase in SIGNS for word in phrase) | STOP | QUIET | frozenset(NUMBER_WORDS) | said_words()
    )


@cache
def _syllables() -> frozenset[str]:
    return frozenset(word for phrase in (*PHRASES, *VIETNAMESE_NUMBERS) for word in phrase) | _english()


@cache
def _pairs() -> frozenset[tuple[str, str]]:
    return frozenset(pair for phrase in PHRASES for pair in itertools.pairwise(phrase))
