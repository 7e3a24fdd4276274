"""A question without what its words stand for: its n-grams, and the neighbourhoods of its marks, as names."""

from __future__ import annotations

from collections.abc import Sequence

from services.sql.language.tokens import Token
from services.sql.meaning.marks import Mark

_SYMBOLS = {"number": "#", "text": "V", "period": "P"}


class Contexts:
    """The neighbourhoods of a question's marks, as names.

    Args:
        tokens: The question.
        marks: What `scan` found.
    """

    def __init__(self, tokens: Sequence[Token], marks: Sequence[Mark]) -> None:
        self._tokens = tokens
        self._marks = marks
        self._symbols = [_symbol(mark) for mark in marks]
        self._at = {position: number for number, mark in enumerate(marks) for position in range(mark.start, mark.end)}
        self._mentions = [number for number, mark in enumerate(marks) if mark.kind == "mention"]
        self._kinds = {mark.sign.kind for mark in marks if mark.sign is not None}
        self._known: dict[int, list[str]] = {}

    def of(self, number: int) -> list[str]:
        """The names of one mark's neighbourhood."""
        if number not in self._known:
            self._known[number] = self._named(number)
        return self._known[number]

    def _word(self, position: int) -> str:
        if not 0 <= position < len(self._tokens):
            return "^" if position < 0 else "$"
        number = self._at.get(position)
        if number is not None and self._marks[number].kind != "sign":
            return self._symbols[number]
        return self._tokens[position].word

    def _named(self, number: int) -> list[str]:
        mark = self._marks[number]
        before, earlier = self._word(mark.start - 1), self._word(mark.start - 2)
        after, later = self._word(mark.end), self._word(mark.end + 1)
        rank = self._mentions.index(number) if number in self._mentions else -1
        found = [
            "", f"<{before}", f"<{earlier} {before}", f">{after}", f">{after} {later}", f"<{before}>{after}",
            f"n{min(rank, 3)}", f"n{min(rank, 1)}{self._word(0)} {self._word(1)}",
            f"n{min(rank, 2)}of{min(len(self._mentions), 5)}",
        ]  # fmt: skip
        signs = [self._mark_name(other) for other in self._marks[:number][::-1] if other.kind == "sign"]
        found.append(f"s{signs[0] if signs else ''}")
        found.append(f"s{' '.join(signs[:2])}")
        found.append(f"<<{self._symbols[number - 1] if number else '^'}")
        found.append(f">>{self._symbols[number + 1] if number + 1 < len(self._marks) else '$'}")
        found += [f"has {kind}" for kind in self._kinds if kind not in ("and", "where")]
        if rank == len(self._mentions) - 1:
            found.append("last")
        return found

    def _mark_name(self, mark: Mark) -> str:
        return f"{mark.sign.kind}:{mark.sign.value}" if mark.sign else mark.kind


def _symbol(mark: Mark) -> str:
    if mark.kind == "sign" and mark.sign is not None:
        return f"{mark.sign.kind}:{mark.sign.value}"
    if mark.kind != "mention":
        return _SYMBOLS[mark.kind]
    first = mark.items[0]
    return "V" if first.value is not None else "C" if first.column else "T"


def delexicalised(tokens: Sequence[Token], marks: Sequence[Mark]) -> list[str]:
    """The question's words, with what is linked replaced by a letter for what it is linked to."""
    starts = {mark.start: mark for mark in marks if mark.kind != "sign"}
    found, position = ["^"], 0
    while position < len(tokens):
        mark = starts.get(position)
        found.append(_symbol(mark) if mark else tokens[position].word)
        position = mark.end if mark else position + 1
    return [*found, "$"]


def ngrams(words: Sequence[str]) -> list[str]:
    """Runs of one, two and three words."""
    found = dict.fromkeys(words)
    for size in (2, 3):
        found.update(dict.fromkeys(" ".join(words[n : n + size]) for n in range(len(words) - size + 1)))
    return list(found)
