"""Where speech is: Silero's probabilities, tightened by the level, because they fall slowly after the last word."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.diarization.mel import FRAMES, HOP
from triton_models.shared.silero import WINDOW

BEGIN, END = 0.2, 0.05
"""Probabilities at which speech begins and ends: at the customary 0.5 a quarter of the speech in meetings is missed."""
PEAK = 0.3  # what is never more likely than this is noise
LIKELY = 0.5  # what the network is sure of is speech however quiet
PAUSE = 15  # frames; shorter pauses do not interrupt
PAD = 6  # frames before and after
SHORTEST = 10  # frames
BLIP = 25  # frames; what the network finds must be as long
RISE = 0.4  # nepers over the noise floor, averaged over the bands, below which unlikely speech is silence
MOST_RISE = 3.0
VOICE = slice(3, 34)  # bands that speech has and rumble has not
FLOOR = 0.1  # the quantile of the level that is taken for noise
LEVEL = -21.0
"""The level in dB, relative to full scale, that speech is brought to: the network hears loudness, and was trained on
speech about as loud. Between -23 and -18 it tells voices apart equally well; far-field speech at -38 it does not."""


class Segment(NamedTuple):
    """A stretch of speech, in frames."""

    start: int
    end: int


def segments(probabilities: NDArray[np.float32], spectra: NDArray[np.float32]) -> list[Segment]:
    """The stretches of speech, in order.

    Args:
        probabilities: float32[windows], from Silero.
        spectra: float32[frames, BANDS] of the same audio.
    """
    likely = probabilities[np.minimum(np.arange(len(spectra)) * HOP // WINDOW, len(probabilities) - 1)]
    mask = _mask(heard(probabilities, len(spectra), PAD), len(spectra))
    mask &= (rise(spectra) > RISE) | (likely > LIKELY)
    found = _segments(_dropped(_bridged(mask, PAUSE), SHORTEST))
    return [segment for segment in found if likely[segment.start : segment.end].max() >= PEAK]


def heard(probabilities: NDArray[np.float32], frames: int, pad: int) -> list[Segment]:
    """What the network alone takes for speech, with `pad` frames more on both sides."""
    speaking = _dropped(_bridged(_hysteresis(probabilities, frames), PAUSE), BLIP)
    grown = [Segment(max(0, start - pad), min(frames, end + pad)) for start, end in _segments(speaking)]
    return _segments(_mask(grown, frames))


def gain(samples: NDArray[np.int16], found: list[Segment]) -> float:
    """The factor on power that brings the speech in these samples to LEVEL; 1 where there is none."""
    parts = [samples[segment.start * HOP : segment.end * HOP] for segment in found]
    energy = sum(float(np.dot(part.astype(np.float32), part.astype(np.float32))) for part in parts) / 32768**2
    return 10 ** (LEVEL / 10) * sum(map(len, parts)) / energy if energy > 0 else 1.0


def rise(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each frame's voice bands rise over the noise floor, nepers of power, float32[frames]."""
    levels = np.log(spectra[:, VOICE] + 1e-10)
    floor = np.quantile(smooth(levels, FRAMES // 10), FLOOR, axis=0)
    return smooth(np.minimum(np.maximum(levels - floor, 0).mean(axis=1), MOST_RISE), 7)


def smooth(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The moving average over `width` frames along the first axis; the ends are averaged over what is there."""
    sums = np.concatenate([np.zeros_like(values[:1], np.float64), np.cumsum(values, axis=0, dtype=np.float64)])
    places = np.arange(len(values))
    low, high = np.maximum(places - width // 2, 0), np.minimum(places + width - width // 2, len(values))
    counts = (high - low).reshape(-1, *[1] * (values.ndim - 1))
    average: NDArray[np.float32] = ((sums[high] - sums[low]) / counts).astype(np.float32)
    return average


def _hysteresis(probabilities: NDArray[np.float32], frames: int) -> NDArray[np.bool_]:
    """Speech from where the probability reaches BEGIN until where it falls below END."""
    decided = np.where(probabilities >= BEGIN, 1, np.where(probabilities < END, 0, -1))
    last = np.maximum.accumulate(np.where(decided >= 0, np.arange(len(decided)), -1))
    speaking = (last >= 0) & (decided[np.maximum(last, 0)] == 1)
    found: NDArray[np.bool_] = speaking[np.minimum(np.arange(frames) * HOP // WINDOW, len(speaking) - 1)]
    return found


def _segments(mask: NDArray[np.bool_]) -> list[Segment]:
    """Where the mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [Segment(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _mask(segments: list[Segment], frames: int) -> NDArray[np.bool_]:
    """True where the segments are."""
    mask = np.zeros(frames, bool)
    for start, end in segments:
        mask[start:end] = True
    return mask


def _bridged(mask: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """The mask with gaps that are shorter than `gap` filled."""
    filled = mask.copy()
    runs = _segments(mask)
    for (_, end), (start, _) in itertools.pairwise(runs):
        if start - end < gap:
            filled[end:start] = True
    return filled


def _dropped(mask: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """The mask without runs that are shorter than `shortest`."""
    kept = mask.copy()
    for start, end in _segments(mask):
        if end - start < shortest:
            kept[start:end] = False
    return kept
