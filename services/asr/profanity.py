"""Masks profane words: the first letter stays, the others become asterisks.

The list is short on purpose and stands here in full: coarse words of English and Vietnamese that are hardly ever
anything else. Words with an innocent sense are left alone, because a transcript that masks what was innocent is worse
than one that shows a coarse word. Masked texts are as long as they were: every position in them stays right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from services.asr.transcript import Alternative, Candidate, Edit, FusionChoice, Segment, Word

ENGLISH = """
    arsehole arseholes asshole assholes bastard bastards bitch bitches bitching bollocks bullshit cocksucker cunt cunts
    dickhead dickheads dumbass fuck fucked fucker fuckers fuckin fucking fucks goddamn jackass motherfucker
    motherfuckers motherfucking nigger niggers shit shits shitty slut sluts twat twats wanker wankers whore whores
"""
VIETNAMESE = (
    "địt",
    "đụ",
    "đéo",
    "lồn",
    "cặc",
    "buồi",
    "đĩ mẹ",
    "đĩ chó",
    "con đĩ",
    "đồ đĩ",
    "mẹ kiếp",
    "đù má",
    "đù mẹ",
    "vãi lồn",
    "vcl",
    "đkm",
    "đmm",
)
LONGER_FIRST = sorted([*ENGLISH.split(), *VIETNAMESE], key=len, reverse=True)
PROFANE = re.compile(rf"(?<!\w)(?:{'|'.join(LONGER_FIRST)})(?!\w)", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with its profane words masked; as long as it was."""
    return PROFANE.sub(lambda found: re.sub(r"(?<=\w)\w", "*", found.group()), text)


def filtered(segment: Segment) -> Segment:
    """The segment with profane words masked wherever they stand in it."""
    text, raw = masked(segment.text), masked(segment.raw_text)
    return replace(
        segment,
        text=text,
        raw_text=raw,
        words=_words(segment.words),
        alternatives=tuple(Alternative(masked(one.text), one.confidence) for one in segment.alternatives),
        edits=_edits(segment.edits, raw, text),
        choices=tuple(map(_choice, segment.choices)),
    )


def _words(words: Sequence[Word]) -> tuple[Word, ...]:
    """Words by themselves and together: some are profane only in company."""
    together = masked(" ".join(word.text for word in words))
    found, place = [], 0
    for word in words:
        found.append(replace(word, text=together[place : place + len(word.text)]))
        place += len(word.text) + 1
    return tuple(found)


def _edits(edits: Sequence[Edit], raw: str, text: str) -> tuple[Edit, ...]:
    """The edits, read anew from the masked texts."""
    found, shift = [], 0
    for edit in edits:
        start = edit.start + shift
        found.append(replace(edit, before=raw[edit.start : edit.end], after=text[start : start + len(edit.after)]))
        shift += len(edit.after) - len(edit.before)
    return tuple(found)


def _choice(choice: FusionChoice) -> FusionChoice:
    candidates = tuple(Candidate(one.model, masked(one.text), one.confidence) for one in choice.candidates)
    return replace(choice, candidates=candidates)
