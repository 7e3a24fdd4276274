"""Brings what a model heard into order: times that never run backwards, words inside their segment, no loops.

A recogniser that generates text may fall into a loop on audio that it does not understand, and repeat a phrase until
its budget is used up. People repeat themselves too ("no, no, no"), but not that often.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.asr.models import Heard
from services.asr.transcript import Segment, Word

LONGEST_LOOP = 12
"""Words of the longest phrase that is looked for."""
REPEATS = 5
"""How many times in a row a phrase may be said before it is taken for a loop."""


def tidy(heard: Heard, start: float, end: float) -> Segment:
    """What a model heard, as a segment of the audio from `start` to `end`, in seconds."""
    placed = _placed(heard.words, start, end)
    kept = without_loops(placed)
    text = heard.text.strip()
    if len(kept) < len(placed):
        spoken = spans(text, placed)
        text = " ".join(text[spoken[index][0] : spoken[index][1]].strip() for index in kept)
    words = tuple(placed[index] for index in kept)
    return Segment(text, start, end, words, heard.language, alternatives=heard.alternatives)


def _placed(words: Sequence[Word], start: float, end: float) -> list[Word]:
    """The words with times of the whole audio, each beginning where the one before has ended, or later."""
    placed: list[Word] = []
    now = start
    for word in words:
        begin = min(max(start + word.start, now), end)
        now = min(max(start + word.end, begin), end)
        placed.append(Word(word.text, begin, now, min(max(word.confidence, 0.0), 1.0)))
    return placed


def without_loops(words: Sequence[Word]) -> list[int]:
    """The positions of the words that are no repetition of a loop: of each loop, its first round."""
    texts = [_bare(word.text) for word in words]
    kept: list[int] = []
    place = 0
    while place < len(texts):
        length, rounds = _loop(texts, place)
        kept += range(place, place + length)
        place += length * rounds
    return kept


def _loop(texts: list[str], place: int) -> tuple[int, int]:
    """Length and rounds of the loop that begins at a place; one word, once, where none does."""
    for length in range(1, LONGEST_LOOP + 1):
        phrase = texts[place : place + length]
        rounds = 1
        while texts[place + rounds * length : place + (rounds + 1) * length] == phrase:
            rounds += 1
        if rounds > REPEATS and len(phrase) == length:
            return length, rounds
    return 1, 1


def _bare(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum()) or text


def spans(text: str, words: Sequence[Word]) -> list[tuple[int, int]]:
    """Where each word stands in a text, with what follows it up to the next one.

    The spans cover the text without a gap. A word that the text does not have gets an empty span.
    """
    starts: list[int] = []
    cursor = 0
    for word in words:
        found = text.find(word.text, cursor)
        starts.append(cursor if found < 0 else found)
        cursor = cursor if found < 0 else found + len(word.text)
    if starts:
        starts[0] = 0
    return list(zip(starts, [*starts[1:], len(text)], strict=True))
