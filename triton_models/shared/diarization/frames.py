"""From windows of a second to boundaries of hundredths: who speaks in each frame, and where two speak at once."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.diarization.mel import FRAMES
from triton_models.shared.diarization.speech import Segment, smooth

TRUST = 0.1  # log likelihood for a frame of one unit of cosine
SWITCH = 0.25  # log likelihood that a change of speaker costs
STRIDE = 2  # frames to a decision
NEAR = 0.6  # seconds from a change beyond which it no longer matters
LOUDNESS = 30  # frames that the level is averaged over
BRIEF = 10  # frames; shorter overlaps are not told
# A logistic regression for two speaking at once, fitted on AMI excerpts and simulated conversations: how far the second
# voice's similarity is above the first one's (never), decibels over the usual level, seconds to the nearest change.
MARGIN, LOUDER, DISTANCE, BIAS = 11.1, 0.168, -3.41, 0.35
SURE = 0.0  # log odds from which a second speaker is named: a wrong name costs as much as a right one saves


class Turn(NamedTuple):
    """One speaker's stretch, in frames."""

    start: int
    end: int
    speaker: int


def turns(segment: Segment, similarities: NDArray[np.float64]) -> list[Turn]:
    """Who speaks when within one segment, by Viterbi's algorithm.

    Args:
        segment: The segment.
        similarities: float[frames of the segment, speakers]: cosines.
    """
    scores = TRUST * STRIDE * similarities[::STRIDE]
    back = np.empty(scores.shape, np.int64)
    everyone = np.arange(scores.shape[1])
    total = scores[0]
    for place in range(1, len(scores)):
        best = int(total.argmax())
        changed = total[best] - SWITCH
        back[place] = np.where(total >= changed, everyone, best)
        total = np.maximum(total, changed) + scores[place]
    path = np.empty(len(scores), np.int64)
    path[-1] = total.argmax()
    for place in range(len(scores) - 1, 0, -1):
        path[place - 1] = back[place, path[place]]
    changes = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist()]
    ends = [segment.start + STRIDE * change for change in changes[1:]] + [segment.end]
    starts = [segment.start + STRIDE * change for change in changes]
    return [Turn(start, end, int(path[at])) for start, end, at in zip(starts, ends, changes, strict=True)]


def second_voices(
    segment: Segment, found: list[Turn], similarities: NDArray[np.float64], levels: NDArray[np.float64]
) -> list[Turn]:
    """Where a second person speaks as well, and who.

    Args:
        segment: The segment.
        found: Its turns.
        similarities: float[frames of the segment, speakers]: cosines.
        levels: float[frames of the segment]: decibels over the recording's usual level of speech.
    """
    if similarities.shape[1] < 2:
        return []
    frames = np.arange(len(similarities))
    speaking = np.concatenate([np.full(turn.end - turn.start, turn.speaker) for turn in found])
    others = similarities.copy()
    others[frames, speaking] = -np.inf
    second = others.argmax(axis=1)
    distance = np.full(len(frames), NEAR)
    for turn in found[1:]:
        distance = np.minimum(distance, np.abs(frames - (turn.start - segment.start)) / FRAMES)
    margin = -np.abs(similarities[frames, second] - similarities[frames, speaking])
    odds = MARGIN * margin + LOUDER * levels + DISTANCE * distance + BIAS
    who = np.where(odds > SURE, second, -1)
    edges = [0, *(np.flatnonzero(np.diff(who)) + 1).tolist(), len(who)]
    runs = [Turn(start, end, int(who[start])) for start, end in itertools.pairwise(edges)]
    return [
        Turn(segment.start + run.start, segment.start + run.end, run.speaker)
        for run in runs
        if run.speaker >= 0 and run.end - run.start >= BRIEF
    ]


def levels(spectra: NDArray[np.float32], segments: list[Segment]) -> NDArray[np.float64]:
    """Decibels over the median of speech, float[frames]."""
    decibels = smooth(10 * np.log10(spectra.sum(axis=1) + 1e-9), LOUDNESS).astype(np.float64)
    spoken = np.concatenate([decibels[segment.start : segment.end] for segment in segments])
    relative: NDArray[np.float64] = decibels - np.median(spoken)
    return relative
