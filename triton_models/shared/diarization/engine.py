"""Audio in, turns out: speech, windows, voices, speakers, frames.

All numbers that were tuned were chosen on AMI excerpts and simulated conversations with `python -m bench.diarization`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.diarization import clusters, frames, mel, speech
from triton_models.shared.diarization.frames import Turn
from triton_models.shared.diarization.mel import FRAMES, RATE
from triton_models.shared.diarization.options import Options
from triton_models.shared.diarization.speech import Segment
from triton_models.shared.diarization.voice import LONG, SHORT, SIZE, Voices, unit
from triton_models.shared.errors import InputError
from triton_models.shared.silero import WINDOW, Silero

MOST_SECONDS = 1800
"""Audio beyond this is refused: memory and time grow with it. Cut it and link the parts by their centroids."""
STEP = 30  # frames from one window to the next
TELLING = 100  # frames: shorter windows tell too little to say who there is
DIFFERENT, ALIKE = 0.4, 0.7
"""Cosines of a window's two halves below which they are two people's for certain, and above which they are one's."""
DOUBT = 0.1  # the trust in a window of two people
NEAR = 0.72
"""The cosine from which a voice is that of somebody known. One person's voice, in two halves of a conversation, is
above 0.86 in nine of ten cases, two people's below 0.7 in nine of ten."""
CERTAIN = 2.0  # added to a cosine, makes a window somebody's
REMEMBERED = 20.0  # seconds that a known voice counts for when it is updated

Floats = NDArray[np.float32]


class Diarization(NamedTuple):
    """Who speaks when; the tensors that the README describes, times in seconds."""

    turns: Floats
    speakers: NDArray[np.int32]
    centroids: Floats
    seconds: Floats
    overlap: Floats


class Windows(NamedTuple):
    """Where embeddings are taken, in frames; one segment's windows stand together, in the order of time."""

    segments: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    """int[n, 2]: of the long and of the short window that start here."""


class Diarizer:
    """The engine. It keeps nothing from call to call. Raises FileNotFoundError where weights are not installed."""

    def __init__(self) -> None:
        self._voices = Voices()

    @functools.cached_property
    def _silero(self) -> Silero:
        """Says where speech is, to callers who do not say it themselves."""
        return Silero()

    def diarize(
        self,
        samples: NDArray[np.int16],
        options: Options | None = None,
        known: Floats | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        likely: Floats | None = None,
    ) -> Diarization:
        """Finds the speakers of a recording. The same input always gives the same.

        Args:
            samples: 16 kHz, mono.
            options: How many speakers there may be; any number when None.
            known: float32[k, SIZE]: voices of people who may be among them; they get the numbers 0 to k - 1.
            cancelled: Asked between batches of work.
            likely: float32[windows]: Silero's probabilities of speech for each WINDOW of the samples, where they are
                known already; the last window may be incomplete.

        Raises:
            InputError: the audio is too long, `known` holds no voices, or `likely` is not for these samples.
            CancelledError: `cancelled` said so.
        """
        if len(samples) > MOST_SECONDS * RATE:
            raise InputError(f"samples: at most {MOST_SECONDS} seconds at once; cut the audio, link by centroids")
        known = _checked(known)
        padded = np.pad(samples, (0, -len(samples) % WINDOW))
        if likely is None:
            probabilities, _ = self._silero.probabilities(padded, cancelled=cancelled)
        else:
            probabilities = _fitting(likely, len(padded) // WINDOW)
        if not len(probabilities):
            return _nobody(known)
        spectra = mel.spectra(samples)
        segments = speech.segments(probabilities, spectra)
        if not segments:
            return _nobody(known)
        spectra *= np.float32(speech.gain(samples, segments))
        windows = _windows(segments)
        embeddings = self._voices.embed(spectra, windows.starts, windows.lengths, cancelled)
        telling = _telling(windows)
        trust = _trust(windows, embeddings[:, 1])
        options = options or Options()
        voices = clusters.speakers(
            embeddings[telling, 0], windows.segments[telling], trust[telling], options, cancelled
        )
        similarities = embeddings @ voices.T
        levels = frames.levels(spectra, segments)
        found = _turns(segments, windows, similarities, levels)
        for _ in voices:
            if absent := _absent(found, len(voices), options.least):
                _put_forward(absent, similarities)
                found = _turns(segments, windows, similarities, levels)
        return _diarization(found, voices, known)


def _checked(known: Floats | None) -> Floats:
    """The known voices with unit length. Raises InputError when they are none."""
    if known is None or known.size == 0:
        return np.zeros((0, SIZE), np.float32)
    if known.ndim != 2 or known.shape[1] != SIZE:
        raise InputError(f"known: must be rows of {SIZE} numbers, as in `centroids`; it has the shape {known.shape}")
    if not np.isfinite(known).all() or not known.any(axis=1).all():
        raise InputError("known: every row must be a voice: finite numbers that are not all zero")
    voices: Floats = unit(known.astype(np.float64)).astype(np.float32)
    return voices


def _fitting(likely: Floats, windows: int) -> Floats:
    """The probabilities that came with the audio. Raises InputError when they are none, or for other audio."""
    if likely.shape != (windows,):
        raise InputError(f"speech: must be {windows} numbers, one for every {WINDOW} samples; not {likely.shape}")
    if not ((likely >= 0) & (likely <= 1)).all():
        raise InputError("speech: must be probabilities, from 0 to 1")
    return likely


def _nobody(known: Floats) -> Diarization:
    """The answer for audio without speech."""
    none = np.zeros((0, 2), np.float32)
    return Diarization(none, np.zeros(0, np.int32), known, np.zeros(len(known), np.float32), none)


def _windows(segments: Sequence[Segment]) -> Windows:
    """A window every 0.3 s, evenly spread; towards a segment's end only the short ones still fit."""
    numbers, starts, lengths = [], [], []
    for number, segment in enumerate(segments):
        length = segment.end - segment.start
        last = max(0, length - LONG)
        offsets = np.rint(np.linspace(0, last, -(-last // STEP) + 1)).astype(np.int64)
        if length > SHORT:
            offsets = np.append(offsets, np.arange(last + STEP, length - SHORT + 1, STEP))
        numbers.append(np.full(len(offsets), number))
        starts.append(segment.start + offsets)
        lengths.append(np.stack([np.minimum(length - offsets, size) for size in (LONG, SHORT)], axis=1))
    return Windows(np.concatenate(numbers), np.concatenate(starts), np.concatenate(lengths))


def _telling(windows: Windows) -> NDArray[np.bool_]:
    """The windows that say who there is: full ones, and of a shorter segment its longest."""
    first = np.diff(windows.segments, prepend=-1) != 0
    telling = (windows.lengths[:, 0] >= LONG) | (first & (windows.lengths[:, 0] >= TELLING))
    found: NDArray[np.bool_] = telling if telling.any() else first
    return found


def _trust(windows: Windows, halves: Floats) -> Floats:
    """How sure it is that each window holds one voice: more, the more alike its two halves are. float32[windows].

    Args:
        windows: The windows.
        halves: float32[windows, SIZE]: embeddings of the short ones; the second half of a long window is the short
            window that starts in its middle.
    """
    middles = windows.starts + LONG - SHORT
    after = np.minimum(np.searchsorted(windows.starts, middles - STEP // 2), len(middles) - 1)
    fits = (np.abs(windows.starts[after] - middles) <= STEP // 2) & (windows.segments[after] == windows.segments)
    alike = (halves * halves[after]).sum(axis=1)
    trust = np.clip((alike - DIFFERENT) / (ALIKE - DIFFERENT), DOUBT, 1)
    return np.where(fits & (windows.lengths[:, 0] >= LONG), trust, 1).astype(np.float32)


def _turns(
    segments: Sequence[Segment], windows: Windows, similarities: Floats, levels: NDArray[np.float64]
) -> list[Turn]:
    """Everybody's turns, second voices included, not yet in order."""
    found = []
    for number, segment in enumerate(segments):
        here = windows.segments == number
        scores = _by_frame(segment, windows.starts[here], windows.lengths[here], similarities[here])
        alone = frames.turns(segment, scores)
        found += alone + frames.second_voices(segment, alone, scores, levels[segment.start : segment.end])
    return found


def _absent(found: Sequence[Turn], voices: int, least: int) -> list[int]:
    """The voices that are nobody's turn although so many speakers are asked for."""
    present = {turn.speaker for turn in found}
    return [] if len(present) >= min(least, voices) else sorted(set(range(voices)) - present)


def _put_forward(absent: Sequence[int], similarities: Floats) -> None:
    """Gives each of these voices the long window that is most like it compared to the others, in place."""
    for voice in absent:
        alike = similarities[:, 0].copy()
        own = alike[:, voice].copy()
        alike[:, voice] = -1
        similarities[int((own - alike.max(axis=1)).argmax()), :, voice] += CERTAIN


def _by_frame(
    segment: Segment, starts: NDArray[np.int64], lengths: NDArray[np.int64], similarities: Floats
) -> NDArray[np.float64]:
    """Similarities in each frame of a segment: long and short windows averaged, each read between their centres."""
    moments = np.arange(segment.start, segment.end) + 0.5
    scores = np.zeros((len(moments), similarities.shape[2]))
    for size in range(2):
        full = lengths[:, size] >= min(lengths[0, size], LONG)
        centres = starts[full] + lengths[full, size] / 2
        for speaker in range(scores.shape[1]):
            scores[:, speaker] += np.interp(moments, centres, similarities[full, size, speaker]) / 2
    return scores


def _diarization(found: list[Turn], voices: Floats, known: Floats) -> Diarization:
    """Numbers the speakers, known ones first and then as they come, and puts everything into tensors."""
    merged = _merged(found)
    numbers = _numbers(merged, voices, known)
    count = max([len(known), *(number + 1 for number in numbers.values())])
    seconds, centroids = np.zeros(count, np.float32), np.zeros((count, SIZE), np.float32)
    centroids[: len(known)] = known
    for turn in merged:
        seconds[numbers[turn.speaker]] += (turn.end - turn.start) / FRAMES
    for speaker, number in numbers.items():
        before = REMEMBERED * known[number] if number < len(known) else 0
        centroids[number] = unit(before + max(float(seconds[number]), 1 / FRAMES) * voices[speaker])
    ordered = sorted(merged, key=lambda turn: (turn.start, turn.end, numbers[turn.speaker]))
    return Diarization(
        np.array([turn[:2] for turn in ordered], np.float32).reshape(-1, 2) / FRAMES,
        np.array([numbers[turn.speaker] for turn in ordered], np.int32),
        centroids,
        seconds,
        np.array(_overlap(ordered), np.float32).reshape(-1, 2) / FRAMES,
    )


def _merged(found: list[Turn]) -> list[Turn]:
    """Turns of one speaker that touch, as one; in the order of time."""
    merged: dict[int, list[Turn]] = {}
    for turn in sorted(found):
        own = merged.setdefault(turn.speaker, [])
        if own and turn.start <= own[-1].end:
            own[-1] = own[-1]._replace(end=max(own[-1].end, turn.end))
        else:
            own.append(turn)
    return sorted(turn for own in merged.values() for turn in own)


def _numbers(merged: list[Turn], voices: Floats, known: Floats) -> dict[int, int]:
    """The number of each voice that speaks: that of the nearest known one, the best pairs first, or a new one."""
    present = list(dict.fromkeys(turn.speaker for turn in merged))
    alike = voices @ known.T
    pairs = sorted((float(-alike[voice, who]), voice, who) for voice in present for who in range(len(known)))
    numbers: dict[int, int] = {}
    for distance, voice, who in pairs:
        if -distance >= NEAR and voice not in numbers and who not in numbers.values():
            numbers[voice] = who
    strangers = (voice for voice in present if voice not in numbers)
    return numbers | {voice: len(known) + place for place, voice in enumerate(strangers)}


def _overlap(ordered: Sequence[Turn]) -> list[tuple[int, int]]:
    """Where more than one person speaks, in frames."""
    changes = sorted([(turn.start, 1) for turn in ordered] + [(turn.end, -1) for turn in ordered])
    found: list[tuple[int, int]] = []
    speaking, since = 0, 0
    for moment, change in changes:
        if speaking > 1 and moment > since:
            touching = found and found[-1][1] == since
            found[-1:] = [(found[-1][0], moment)] if touching else [*found[-1:], (since, moment)]
        speaking, since = speaking + change, moment
    return found
