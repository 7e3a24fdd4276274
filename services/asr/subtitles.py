"""Cues of subtitles: a transcript cut into pieces that can be read while they are spoken.

At most two lines of 42 characters and seven seconds, as the usual guidelines for subtitles have it. Cues are cut
between words, at their times; where a segment has none, its time is shared out by length.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.asr.tidy import spans
from services.asr.transcript import Segment, Transcript, Word

LINE = 42
"""Characters to a line."""
LINES = 2
LONGEST = 7.0
"""Seconds that a cue is shown, at most."""
ENDS = (".", "!", "?", "…")
COMFORTABLE = 24
"""Characters from which on a cue ends with its sentence."""


class Cue(NamedTuple):
    """A piece of a transcript: from when to when, in seconds, its lines, and who speaks."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str


class Piece(NamedTuple):
    """A word of a text, with what stands around it."""

    text: str
    start: float
    end: float


def cues(transcript: Transcript) -> Iterator[Cue]:
    """The cues of a transcript, in order; no two are shown at the same time."""
    names = {speaker.id: speaker.display_name for speaker in transcript.speakers}
    before = 0.0
    for segment in transcript.segments:
        for pieces in _cut(_pieces(segment)):
            text = " ".join(piece.text for piece in pieces)
            start = max(pieces[0].start, before)
            before = max(pieces[-1].end, start)
            yield Cue(start, before, tuple(_lines(text)), names.get(segment.speaker, segment.speaker))


def _lines(text: str) -> list[str]:
    """The text on as few lines as it fits on, of about the same length."""
    count = len(textwrap.wrap(text, LINE)) or 1
    width = -(-len(text) // count)
    for allowed in range(width, LINE + 1):
        if len(lines := textwrap.wrap(text, allowed, break_long_words=allowed == LINE)) <= count:
            return lines
    return textwrap.wrap(text, LINE)


def _cut(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces, gathered to cues."""
    gathered: list[Piece] = []
    for piece in pieces:
        if gathered and not _fits([*gathered, piece]):
            yield gathered
            gathered = []
        gathered.append(piece)
        if piece.text.endswith(ENDS) and len(" ".join(one.text for one in gathered)) >= COMFORTABLE:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _fits(pieces: Sequence[Piece]) -> bool:
    text = " ".join(piece.text for piece in pieces)
    return pieces[-1].end - pieces[0].start <= LONGEST and len(textwrap.wrap(text, LINE)) <= LINES


def _pieces(segment: Segment) -> list[Piece]:
    """The words of a segment as its text writes them."""
    texts = segment.text.split()
    if not texts:
        return []
    timed = _timed(segment)
    if timed is None:
        step = (segment.end - segment.start) / len(segment.text)
        timed, place = [], 0
        for text in texts:
            place = segment.text.index(text, place)
            start = segment.start + place * step
            place += len(text)
            timed.append(Piece(text, start, segment.start + place * step))
    # The first and the last cue have the whole of the segment: people read longer than others speak.
    first, last = timed[0], timed[-1]
    timed[0] = first._replace(start=max(segment.start, first.start - 0.3))
    timed[-1] = last._replace(end=max(last.end, min(segment.end, last.end + 0.5)))
    return timed


def _timed(segment: Segment) -> list[Piece] | None:
    """The words with their times; None where the text cannot be told apart by them."""
    words: Sequence[Word] = segment.words
    if not words:
        return None
    found = [
        Piece(text, word.start, word.end)
        for word, (start, end) in zip(words, spans(segment.text, words), strict=True)
        if (text := segment.text[start:end].strip())
    ]
    return found if " ".join(piece.text for piece in found).split() == segment.text.split() else None
