"""The engine on conversations of synthetic voices: who speaks when, hints, known voices, and strange audio."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.der import Turn, errors
from tests.diarization.conversations import MAN, OLD, RATE, SENTENCES, WOMAN, speak, talk
from triton_models.shared.diarization.engine import MOST_SECONDS, Diarization, Diarizer
from triton_models.shared.diarization.options import Options
from triton_models.shared.errors import CancelledError, InputError


def turns(found: Diarization) -> list[Turn]:
    """What was found, as the scorer reads it."""
    return [
        Turn(float(start), float(end), str(speaker))
        for (start, end), speaker in zip(found.turns, found.speakers, strict=True)
    ]


def check(found: Diarization, seconds: float) -> None:
    """What holds for every answer."""
    for name, value in found._asdict().items():
        assert np.isfinite(value).all(), name
    assert (found.turns[:, 1] > found.turns[:, 0]).all()
    assert (found.turns >= 0).all()
    assert (found.turns <= seconds + 0.011).all()
    assert (np.diff(found.turns[:, 0]) >= 0).all()
    assert len(found.turns) == len(found.speakers)
    assert len(found.centroids) == len(found.seconds)
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(1, abs=1e-5)
    for speaker, spoken in enumerate(found.seconds):
        own = found.turns[found.speakers == speaker]
        assert spoken == pytest.approx((own[:, 1] - own[:, 0]).sum(), abs=0.02)
    assert (found.overlap[:, 1] > found.overlap[:, 0]).all()


@pytest.mark.parametrize("voices", [[WOMAN], [WOMAN, MAN], [WOMAN, MAN, OLD]])
def test_the_speakers_of_a_conversation_are_found(diarizer: Diarizer, voices: list[str]) -> None:
    spoken = talk(voices * 3)
    found = diarizer.diarize(spoken.samples)
    check(found, len(spoken.samples) / RATE)
    assert len(found.centroids) == len(voices)
    assert errors(spoken.turns, turns(found), 0.25).rate < 8


def test_speakers_are_numbered_as_they_come(diarizer: Diarizer) -> None:
    found = diarizer.diarize(talk([WOMAN, MAN, WOMAN, MAN]).samples)
    assert found.speakers[0] == 0
    assert list(dict.fromkeys(found.speakers.tolist())) == [0, 1]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_given_number_of_speakers_is_exact(diarizer: Diarizer, count: int) -> None:
    spoken = talk([WOMAN, MAN, WOMAN, MAN])
    found = diarizer.diarize(spoken.samples, Options(count, count))
    check(found, len(spoken.samples) / RATE)
    assert set(found.speakers.tolist()) == set(range(count))
    assert len(found.centroids) == count


def test_bounds_of_the_number_hold(diarizer: Diarizer) -> None:
    samples = talk([WOMAN, MAN, WOMAN, MAN]).samples
    assert len(diarizer.diarize(samples, Options(most=1)).centroids) == 1
    assert len(diarizer.diarize(samples, Options(least=3)).centroids) >= 3


def test_a_reference_recording_names_its_speaker(diarizer: Diarizer) -> None:
    references = [diarizer.diarize(speak(SENTENCES[3], voice), Options(1, 1)).centroids[0] for voice in (OLD, MAN)]
    spoken = talk([WOMAN, MAN, WOMAN, MAN])
    found = diarizer.diarize(spoken.samples, known=np.array(references))
    check(found, len(spoken.samples) / RATE)
    # 0 is known and silent, 1 is known and speaks, 2 is new.
    assert found.speakers.tolist()[:4] == [2, 1, 2, 1]
    assert found.seconds[0] == 0
    assert found.centroids[0] == pytest.approx(references[0], abs=1e-6)
    assert float(found.centroids[1] @ references[1]) > 0.95


def test_known_voices_stay_who_they_are_from_piece_to_piece(diarizer: Diarizer) -> None:
    whole = talk([WOMAN, MAN, WOMAN, MAN, MAN, WOMAN])
    half = len(whole.samples) // 2
    first = diarizer.diarize(whole.samples[:half])
    second = diarizer.diarize(whole.samples[half:], known=first.centroids)
    later = [Turn(turn.start + half / RATE, turn.end + half / RATE, turn.speaker) for turn in turns(second)]
    assert errors(whole.turns, turns(first) + later, 0.25).rate < 8


def test_a_single_utterance_of_somebody_known(diarizer: Diarizer) -> None:
    known = [diarizer.diarize(speak(SENTENCES[0], voice), Options(1, 1)).centroids[0] for voice in (WOMAN, MAN)]
    for who, voice in enumerate((WOMAN, MAN)):
        found = diarizer.diarize(speak(SENTENCES[2], voice)[: 2 * RATE], known=np.array(known))
        assert set(found.speakers.tolist()) == {who}


def test_people_who_speak_at_once_overlap(diarizer: Diarizer) -> None:
    spoken = talk([WOMAN, MAN] * 4, pause=-1.0)
    found = diarizer.diarize(spoken.samples, Options(2, 2))
    check(found, len(spoken.samples) / RATE)
    true = [(after.start, before.end) for before, after in zip(spoken.turns, spoken.turns[1:], strict=False)]
    told = sum(float(end - start) for start, end in found.overlap)
    right = sum(max(0, min(e, float(end)) - max(s, float(start))) for s, e in true for start, end in found.overlap)
    assert told > 0.5
    assert right > 0.5 * told


def noise(level: float) -> NDArray[np.int16]:
    """Ten seconds of noise."""
    return np.random.default_rng(1).normal(0, level, 10 * RATE).clip(-32768, 32767).astype(np.int16)


def tones() -> NDArray[np.int16]:
    """Ten seconds of a chord that changes twice a second."""
    time = np.arange(10 * RATE) / RATE
    steps = 220 * 2 ** (np.random.default_rng(2).integers(0, 12, 20)[(2 * time).astype(int)] / 12)
    wave = sum(np.sin(2 * np.pi * np.cumsum(steps * k) / RATE) for k in (1, 1.25, 1.5))
    return np.asarray(4000 * wave, np.int16)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.int16),
        np.zeros(1, np.int16),
        np.zeros(10 * RATE, np.int16),
        np.full(10 * RATE, 12000, np.int16),
        noise(20),
        noise(300),
        tones(),
    ],
    ids=["nothing", "one sample", "silence", "offset", "hiss", "noise", "music"],
)
def test_audio_without_speech_has_no_turns(diarizer: Diarizer, samples: NDArray[np.int16]) -> None:
    known = np.eye(2, 256, dtype=np.float32)
    found = diarizer.diarize(samples, Options(2, 2), known)
    assert (found.turns.shape, found.speakers.shape, found.overlap.shape) == ((0, 2), (0,), (0, 2))
    assert (found.centroids == known).all()
    assert found.seconds.tolist() == [0, 0]


@pytest.mark.parametrize("milliseconds", [30, 100, 250, 400, 700, 1000, 1500, 1700])
def test_clips_however_short(diarizer: Diarizer, milliseconds: int) -> None:
    clip = speak(SENTENCES[0], MAN)[RATE // 2 :][: RATE * milliseconds // 1000]
    found = diarizer.diarize(clip, Options(3, 3))
    check(found, milliseconds / 1000)
    assert milliseconds < 700 or len(found.turns)


def test_clipped_audio_with_an_offset_is_still_two_people(diarizer: Diarizer) -> None:
    spoken = talk([WOMAN, MAN, WOMAN, MAN])
    loud = np.clip(spoken.samples.astype(np.int32) * 6 + 3000, -32768, 32767).astype(np.int16)
    found = diarizer.diarize(loud)
    check(found, len(loud) / RATE)
    assert errors(spoken.turns, turns(found), 0.25).rate < 20


@pytest.mark.parametrize("gain", [0.02, 0.2])
def test_quiet_recordings_are_heard_as_loud_ones(diarizer: Diarizer, gain: float) -> None:
    spoken = talk([WOMAN, MAN, WOMAN, MAN])
    found = diarizer.diarize((spoken.samples * gain).astype(np.int16))
    assert errors(spoken.turns, turns(found), 0.25).rate < 8


def test_the_same_audio_always_gives_the_same(diarizer: Diarizer) -> None:
    samples = talk([WOMAN, MAN, WOMAN, MAN]).samples
    first, second = diarizer.diarize(samples), diarizer.diarize(samples)
    assert all((mine == theirs).all() for mine, theirs in zip(first, second, strict=True))


def test_a_caller_who_gives_up_stops_the_work_at_any_step(diarizer: Diarizer) -> None:
    samples = talk([WOMAN, MAN]).samples
    asked = 0

    def counting() -> bool:
        nonlocal asked
        asked += 1
        return False

    diarizer.diarize(samples, cancelled=counting)
    steps = asked
    assert steps > 3
    for step in range(steps):
        left = iter([False] * step + [True])
        with pytest.raises(CancelledError):
            diarizer.diarize(samples, cancelled=lambda left=left: next(left))  # type: ignore[misc]  # bound now


def test_audio_that_is_too_long_is_refused(diarizer: Diarizer) -> None:
    with pytest.raises(InputError, match="samples: at most 1800 seconds"):
        diarizer.diarize(np.zeros((MOST_SECONDS + 1) * RATE, np.int16))


@pytest.mark.parametrize(
    "known",
    [np.ones((2, 100)), np.ones(256), np.zeros((1, 256)), np.full((1, 256), np.nan), np.full((1, 256), np.inf)],
    ids=["size", "flat", "zeros", "nan", "infinite"],
)
def test_known_voices_that_are_none_are_refused(diarizer: Diarizer, known: NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="known: "):
        diarizer.diarize(np.zeros(RATE, np.int16), known=known.astype(np.float32))
