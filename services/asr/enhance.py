"""Lets a language model restore punctuation and casing, and keeps it from saying what nobody said.

A text that differs in more than a bound from what was recognised is dropped. What is kept comes with its edits, by
which it can be undone, and its words keep the times of the words that were recognised.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import groupby, zip_longest

from services.asr.models import Engine
from services.asr.transcript import Edit, Segment, Word

BATCH = 8
"""Texts to a request, at most."""
ADDED_OR_DROPPED = 0.1
"""Words that may be added or dropped, as a share of those recognised, rounded down."""
CORRECTED = 0.25
"""Words that may become similar ones, as a share of those recognised, rounded up."""
SIMILAR = 0.5
"""How alike a word and its correction are at least, without diacritics; 1 is the same."""
FIXED = frozenset(["not", "no", "never", "none", "cannot", "khong", "chang", "chua", "dung", "cha"])
"""Words that turn the meaning around, without diacritics: never added, dropped or corrected; numbers neither."""
TOKEN = re.compile(r"\s+|\w+(?:['’]\w+)*|[^\w\s]")
WORD = re.compile(r"\w+(?:['’]\w+)*")


class Enhancer:
    """Enhances segments.

    Args:
        engine: The models.
        model: Id of the enhancement model.
    """

    batch = BATCH

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine, self._model = engine, model

    async def enhance(self, segments: Sequence[Segment]) -> list[Segment]:
        """The segments, each enhanced or as it was. Raises Unavailable when the model server is away."""
        enhanced: list[Segment] = []
        for language, group in groupby(segments, key=lambda segment: segment.language):
            own = list(group)
            texts = await self._engine.enhance(self._model, [segment.text for segment in own], language)
            enhanced += [rewritten(segment, text) for segment, text in zip(own, texts, strict=True)]
        return enhanced


def rewritten(segment: Segment, text: str) -> Segment:
    """The segment with another text, or as it was where that changes too much of what was said."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if text == segment.text or not faithful(segment.text, text):
        return segment
    words = _placed(segment.words, text.split())
    return replace(segment, text=text, words=words, raw_text=segment.text, edits=edits(segment.text, text))


def reverted(segment: Segment) -> Segment:
    """The segment with the text that was recognised; its words keep their new spelling only where that is a word's."""
    if not segment.raw_text:
        return segment
    words = _placed(segment.words, segment.raw_text.split())
    return replace(segment, text=segment.raw_text, words=words, raw_text="", edits=())


def faithful(raw: str, text: str) -> bool:
    """Whether a text says what the raw one says, within the bounds of this module."""
    before, after = _words(raw), _words(text)
    if not before or not after:
        return False
    if _fixed(before) != _fixed(after):
        return False
    changed = corrected = 0
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        alike = "".join(before[i1:i2]), "".join(after[j1:j2])
        if min(i2 - i1, j2 - j1) and _likeness(*alike) >= SIMILAR and abs((i2 - i1) - (j2 - j1)) <= 1:
            corrected += _corrections(before[i1:i2], after[j1:j2])
        else:
            changed += (i2 - i1) + (j2 - j1)
    most = -(-len(before) * CORRECTED // 1)
    return changed <= int(len(before) * ADDED_OR_DROPPED) and corrected <= most


def edits(raw: str, text: str) -> tuple[Edit, ...]:
    """What turns `raw` into `text`, in order of place."""
    before, after = TOKEN.findall(raw), TOKEN.findall(text)
    places = [0]
    for token in before:
        places.append(places[-1] + len(token))
    return tuple(
        Edit(places[i1], places[i2], "".join(before[i1:i2]), "".join(after[j1:j2]))
        for kind, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if kind != "equal"
    )


def applied(raw: str, changes: Sequence[Edit]) -> str:
    """The raw text with the edits."""
    parts, place = [], 0
    for edit in changes:
        parts += [raw[place : edit.start], edit.after]
        place = edit.end
    return "".join([*parts, raw[place:]])


def undone(text: str, changes: Sequence[Edit]) -> str:
    """The raw text of an edited one."""
    parts, place, shift = [], 0, 0
    for edit in changes:
        start = edit.start + shift
        parts += [text[place:start], edit.before]
        place = start + len(edit.after)
        shift += len(edit.after) - len(edit.before)
    return "".join([*parts, text[place:]])


def _corrections(before: Sequence[str], after: Sequence[str]) -> int:
    """How many words were corrected. Diacritics where the recogniser writes none are restored, not corrected."""
    pairs = zip_longest(before, after, fillvalue="")
    return sum(not (one.isascii() and one == _folded(other)) for one, other in pairs)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(text)]


def _fixed(words: Sequence[str]) -> Counter[str]:
    """The words that must stay as they are, whatever diacritics they get."""
    return Counter(
        _folded(word)
        for word in words
        if _folded(word) in FIXED or word.endswith(("n't", "n’t")) or any(map(str.isdigit, word))
    )


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, _folded(one), _folded(other), autojunk=False).ratio()


def _folded(text: str) -> str:
    """Without diacritics."""
    parts = unicodedata.normalize("NFD", text.replace("đ", "d"))
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def _placed(words: Sequence[Word], tokens: Sequence[str]) -> tuple[Word, ...]:
    """Tokens of a text as words, with the times of the words that they stand for."""
    bare = [" ".join(_words(word.text)) or word.text for word in words]
    new = [" ".join(_words(token)) or token for token in tokens]
    placed: list[Word] = []
    for _kind, i1, i2, j1, j2 in SequenceMatcher(None, bare, new, autojunk=False).get_opcodes():
        if j2 - j1 == i2 - i1:
            placed += [replace(word, text=token) for word, token in zip(words[i1:i2], tokens[j1:j2], strict=True)]
        elif words:
            placed += _spread(words, i1, i2, tokens[j1:j2])
    return tuple(placed)


def _spread(words: Sequence[Word], first: int, last: int, tokens: Sequence[str]) -> list[Word]:
    """Tokens over the time of words that are more or fewer; where there is none, at the end of the word before."""
    like = words[max(0, first - 1) if first == last else first]
    if first == last:
        time = words[first - 1].end if first else words[0].start
        return [replace(like, text=token, start=time, end=time) for token in tokens]
    start, step = words[first].start, (words[last - 1].end - words[first].start) / max(1, len(tokens))
    confidence = sum(word.confidence for word in words[first:last]) / (last - first)
    return [
        replace(like, text=token, start=start + index * step, end=start + (index + 1) * step, confidence=confidence)
        for index, token in enumerate(tokens)
    ]
