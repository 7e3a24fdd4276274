"""Sounds that nobody says: noise, tones, signals, music."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RATE = 16000
Signal = NDArray[np.float64]


def sound(name: str, seconds: float) -> NDArray[np.int16]:
    """A sound of SOUNDS, at 16 kHz."""
    signal = SOUNDS[name](np.arange(round(seconds * RATE)) / RATE)
    peak = np.abs(signal).max()
    scaled: NDArray[np.int16] = (signal / (peak or 1) * 18000).astype(np.int16)
    return scaled


def coloured(power: float) -> Callable[[Signal], Signal]:
    """Noise whose power falls with the frequency to a power: 0 is white, 1 pink, 2 brown."""

    def make(time: Signal) -> Signal:
        random = np.random.default_rng(1)
        frequencies = np.fft.rfftfreq(len(time), 1 / RATE)
        spectrum = random.normal(size=len(frequencies)) + 1j * random.normal(size=len(frequencies))
        signal: Signal = np.fft.irfft(spectrum / np.maximum(frequencies, 20) ** (power / 2), len(time))
        return signal

    return make


def tone(*frequencies: float) -> Callable[[Signal], Signal]:
    """Tones together."""

    def make(time: Signal) -> Signal:
        signal: Signal = np.sum([np.sin(2 * np.pi * frequency * time) for frequency in frequencies], axis=0)
        return signal

    return make


def bursts(time: Signal) -> Signal:
    """Noise that comes and goes at the pace of syllables."""
    signal: Signal = coloured(1)(time) * (np.sin(2 * np.pi * 4 * time) > 0)
    return signal


def keys(time: Signal) -> Signal:
    """Keys of a telephone (DTMF)."""
    random = np.random.default_rng(2)
    low, high = random.choice([697, 770, 852, 941], 400), random.choice([1209, 1336, 1477], 400)
    key = (time / 0.2).astype(int)
    on = (time % 0.2) < 0.12
    signal: Signal = on * (np.sin(2 * np.pi * low[key] * time) + np.sin(2 * np.pi * high[key] * time))
    return signal


def melody(partials: int, decay: float, vibrato: float = 0.0, drums: bool = False) -> Callable[[Signal], Signal]:
    """Music: a melody over chords, in tones of some partials that die away."""

    def make(time: Signal) -> Signal:
        random = np.random.default_rng(3)
        notes = random.choice([60, 62, 64, 65, 67, 69, 71, 72], 200)
        beat, inside = (time / 0.4).astype(int), time % 0.4
        chord = np.array([(48, 52, 55), (45, 48, 52), (53, 57, 60), (55, 59, 62)])[(beat // 4) % 4]
        signal = np.zeros(len(time))
        for pitch, loudness in ((notes[beat], 1.0), *((chord[:, place], 0.4) for place in range(3))):
            frequency = 440 * 2 ** ((pitch - 69) / 12) * (1 + vibrato * np.sin(2 * np.pi * 5.5 * time))
            phase = 2 * np.pi * np.cumsum(frequency) / RATE
            tones = np.sum([np.sin(part * phase) / part for part in range(1, partials + 1)], axis=0)
            signal += loudness * tones * np.exp(-inside / decay)
        if drums:
            signal += 2 * random.normal(size=len(time)) * np.exp(-inside / 0.03) * (beat % 2)
        return signal

    return make


SOUNDS: dict[str, Callable[[Signal], Signal]] = {
    "silence": np.zeros_like,
    "white noise": coloured(0),
    "pink noise": coloured(1),
    "brown noise": coloured(2),
    "bursts of noise": bursts,
    "a tone": tone(440),
    "mains hum": tone(50, 100, 150, 250),
    "a chord": tone(220, 277, 330),
    "a dial tone": tone(350, 440),
    "telephone keys": keys,
    "piano": melody(6, 0.25),
    "organ": melody(8, 10.0),
    "strings": melody(12, 10.0, vibrato=0.006),
    "a band": melody(6, 0.3, drums=True),
    "clicks": lambda time: ((time * RATE).astype(int) % 4000 == 0).astype(np.float64),
    "a siren": lambda time: np.sin(2 * np.pi * np.cumsum(700 + 300 * np.sin(2 * np.pi * 0.5 * time)) / RATE),
}
"""By name: from times in seconds to samples."""
