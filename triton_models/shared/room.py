"""Puts speech into a quiet room: a little silence on both sides, and a noise floor where there is digital silence.

An acoustic model that learned from microphones has never heard samples that are exactly zero. Between the sounds of
synthesised speech, in what telephones and conferencing software mute, and at a cut edge they are: the logarithm of no
energy is far from anything the model knows, and words around such gaps are lost. A recording with a noise of its own
hardly changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOOR = 1400
"""The speech's peak over the noise's standard deviation: 63 dB, below the noise of almost any microphone."""
SEED = 1


def in_room(samples: NDArray[np.int16], margin: int) -> NDArray[np.int16]:
    """The samples with `margin` more on both sides, and noise over all. The same samples always give the same.

    Args:
        samples: Speech.
        margin: Samples of silence to add before and after.
    """
    padded = np.pad(samples.astype(np.float32), margin)
    level = max(1.0, float(np.abs(padded).max(initial=0)) / FLOOR)
    noise = np.random.default_rng(SEED).standard_normal(len(padded), np.float32)
    louder: NDArray[np.int16] = np.clip(np.rint(padded + level * noise), -32768, 32767).astype(np.int16)
    return louder
