"""Mel spectra as the speaker network learned them: librosa's `melspectrogram` with resemblyzer's settings.

25 ms Hann windows every 10 ms, centred, padded with zeros, power spectrum, 40 bands on Slaney's mel scale with unit
area. Not logarithmic: a louder recording has larger values. Tested against numbers of the original.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.silero import floats

RATE = 16000
HOP = 160  # samples from one frame to the next
FRAMES = RATE // HOP  # a second
WIDTH = 400  # samples of a frame
BANDS = 40
PIECE = 1000  # frames at a time: 10 s, 3 MB of spectra

# Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
LINEAR = 200 / 3  # Hz for a mel
KNEE = 1000.0  # Hz
LOGARITHM = np.log(6.4) / 27


def spectra(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """The mel power spectra of audio at 16 kHz, float32[len(samples) // HOP + 1, BANDS]."""
    count = len(samples) // HOP + 1
    found = np.empty((count, BANDS), np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WIDTH) / WIDTH)
    for start in range(0, count, PIECE):
        stop = min(count, start + PIECE)
        first, last = start * HOP - WIDTH // 2, (stop - 1) * HOP + WIDTH // 2
        piece = floats(samples[max(0, first) : last]).astype(np.float64)
        piece = np.pad(piece, (max(0, -first), max(0, last - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(piece, WIDTH)[::HOP]
        found[start:stop] = np.abs(np.fft.rfft(frames * window)) ** 2 @ FILTERS.T
    return found


def _to_mel(hertz: float) -> float:
    return hertz / LINEAR if hertz < KNEE else KNEE / LINEAR + float(np.log(hertz / KNEE) / LOGARITHM)


def _to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = KNEE / LINEAR
    found: NDArray[np.float64] = np.where(mel < knee, mel * LINEAR, KNEE * np.exp(LOGARITHM * (mel - knee)))
    return found


def _filters() -> NDArray[np.float64]:
    """The weight of each bin of the spectrum in each band, float64[BANDS, WIDTH // 2 + 1]: triangles of unit area."""
    corners = _to_hertz(np.linspace(0, _to_mel(RATE / 2), BANDS + 2))
    bins = np.linspace(0, RATE / 2, WIDTH // 2 + 1)
    widths, slopes = np.diff(corners)[:, None], corners[:, None] - bins
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    triangles: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return triangles * (2 / (corners[2:] - corners[:-2]))[:, None]


FILTERS = _filters()
