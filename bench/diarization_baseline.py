"""The pipeline that the development data's README describes, to measure the engine against in the same run.

Silero VAD at 0.2, embeddings of 1.6 s every 0.8 s, average linkage cut at 0.38, small clusters absorbed, one pass of
Viterbi. It shares the networks with the engine; everything else is as simple as it says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.der import Turn
from triton_models.shared.diarization import frames, mel, speech
from triton_models.shared.diarization.mel import FRAMES
from triton_models.shared.diarization.speech import Segment
from triton_models.shared.diarization.tree import average_linkage
from triton_models.shared.diarization.voice import LONG, Voices, unit
from triton_models.shared.silero import WINDOW, Silero

HOP = 80  # frames
HEIGHT = 0.38
SMALL_SECONDS, SMALL_SHARE = 5.0, 0.1
PADDING = 3  # frames


class Baseline:
    """The pipeline."""

    def __init__(self) -> None:
        self._silero, self._voices = Silero(), Voices()

    def turns(self, samples: NDArray[np.int16]) -> list[Turn]:
        """Who speaks when in 16 kHz audio."""
        probabilities, _ = self._silero.probabilities(np.pad(samples, (0, -len(samples) % WINDOW)))
        spectra = mel.spectra(samples)
        segments = speech.heard(probabilities, len(spectra), PADDING)
        if not segments:
            return []
        starts = [np.append(np.arange(s.start, s.end - LONG, HOP), max(s.start, s.end - LONG)) for s in segments]
        lengths = [np.full(len(begun), min(LONG, s.end - s.start)) for begun, s in zip(starts, segments, strict=True)]
        flat = np.concatenate(lengths)
        vectors = self._voices.embed(spectra, np.concatenate(starts), flat[:, None])[:, 0]
        labels = _absorbed(average_linkage(vectors).cut(HEIGHT), vectors, flat / FRAMES)
        voices = unit(np.array([vectors[labels == label].sum(axis=0) for label in range(labels.max() + 1)]))
        found, at = [], 0
        for segment, begun in zip(segments, starts, strict=True):
            alike = vectors[at : at + len(begun)] @ voices.T
            found += _viterbi(segment, begun + min(LONG, segment.end - segment.start) / 2, alike)
            at += len(begun)
        return found


def _absorbed(
    labels: NDArray[np.int64], vectors: NDArray[np.float32], seconds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The labels without clusters that are too small: each joins the one that is most like it."""
    least = min(SMALL_SECONDS, SMALL_SHARE * float(seconds.sum()))
    while labels.max() > 0:
        sizes = np.bincount(labels, seconds)
        smallest = int(sizes.argmin())
        if sizes[smallest] >= least:
            break
        centres = unit(np.array([vectors[labels == label].sum(axis=0) for label in range(len(sizes))]))
        alike = centres @ centres[smallest]
        alike[smallest] = -1
        labels = np.unique(np.where(labels == smallest, alike.argmax(), labels), return_inverse=True)[1]
    return labels


def _viterbi(segment: Segment, centres: NDArray[np.float64], alike: NDArray[np.float32]) -> list[Turn]:
    """Each frame is as similar to the voices as the nearest window is."""
    moments = np.arange(segment.start, segment.end)
    nearest = np.abs(moments[:, None] - centres).argmin(axis=1)
    return [
        Turn(turn.start / FRAMES, turn.end / FRAMES, str(turn.speaker))
        for turn in frames.turns(segment, alike[nearest].astype(np.float64))
    ]
