"""Words to speakers: each word goes to whoever speaks for most of it, and a segment ends where the speaker changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from services.asr.tidy import spans
from services.asr.transcript import Segment, Word

NEAR = 1.0
"""Seconds that a word may be away from a speaker's turn and still be theirs."""


class Turn(NamedTuple):
    """Somebody speaks, from `start` to `end`, in seconds from the beginning of the audio."""

    start: float
    end: float
    speaker: str


def align(segment: Segment, turns: Sequence[Turn]) -> tuple[Segment, ...]:
    """The segment as one segment for each stretch of words of one speaker; speakers of no turn are the empty string.

    Args:
        segment: As recognised.
        turns: Those of its part of the audio, ordered by start; turns of different speakers may overlap.
    """
    if not segment.words:
        return (replace(segment, speaker=_speaker(segment.start, segment.end, turns, "")),) if segment.text else ()
    said: list[Word] = []
    before = ""
    for word in segment.words:
        before = _speaker(word.start, word.end, turns, before)
        said.append(replace(word, speaker=before))
    return _split(segment, said)


def _speaker(start: float, end: float, turns: Sequence[Turn], before: str) -> str:
    """Who speaks for most of a time. Among equals it is who spoke before; where nobody speaks, who is nearest."""
    shares: dict[str, float] = {}
    nearest, gap = before, NEAR
    for turn in turns:
        share = min(end, turn.end) - max(start, turn.start)
        if share > 0 or turn.start <= start <= end <= turn.end:
            shares[turn.speaker] = shares.get(turn.speaker, 0.0) + share
        elif -share < gap:
            nearest, gap = turn.speaker, -share
    if not shares:
        return nearest
    most = max(shares.values())
    return before if shares.get(before, -1.0) >= most - 1e-6 else max(shares, key=lambda speaker: shares[speaker])


def _split(segment: Segment, words: Sequence[Word]) -> tuple[Segment, ...]:
    """The segment, cut before each word of another speaker. What only holds for the whole stays with the whole."""
    if len({word.speaker for word in words}) == 1:
        return (replace(segment, words=tuple(words), speaker=words[0].speaker),)
    places = spans(segment.text, words)
    pieces: list[Segment] = []
    for speaker, group in groupby(range(len(words)), key=lambda index: words[index].speaker):
        indices = list(group)
        own = tuple(words[index] for index in indices)
        start = segment.start if not pieces else own[0].start
        end = segment.end if indices[-1] == len(words) - 1 else own[-1].end
        pieces.append(
            Segment(
                segment.text[places[indices[0]][0] : places[indices[-1]][1]].strip(),
                start,
                end,
                own,
                segment.language,
                speaker=speaker,
                channel=segment.channel,
                choices=tuple(choice for choice in segment.choices if start <= choice.start < end),
            )
        )
    return tuple(pieces)
