"""Fusion of two recognisers: fewer wrong words than the better of both, every choice with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.asr import distance
from services.asr.fusion import fuse
from services.asr.transcript import Config, Segment, Word
from services.asr.vietnamese import is_syllable, language
from tests.asr.fakes import ToneEngine, pipeline, recording, talk
from tests.asr.fusion_pairs import Pair, generated, written

GENERAL, VIETNAMESE = "whisper", "phowhisper"
SETS = {"written": written(), "generated": generated(120, 1), "other": generated(120, 2)}


def fused(pair: Pair) -> Segment:
    return fuse({GENERAL: pair.general, VIETNAMESE: pair.vietnamese})


def wrong(pair: Pair, segment: Segment) -> int:
    """Words wrong, without casing."""
    return distance(pair.reference, segment.text.lower().split())


def rates(pairs: Iterable[Pair]) -> dict[str, float]:
    """Word error rates in percent of both models and of their fusion."""
    kept = list(pairs)
    total = sum(len(pair.reference) for pair in kept)
    return {
        GENERAL: 100 * sum(wrong(pair, pair.general) for pair in kept) / total,
        VIETNAMESE: 100 * sum(wrong(pair, pair.vietnamese) for pair in kept) / total,
        "fusion": 100 * sum(wrong(pair, fused(pair)) for pair in kept) / total,
    }


def test_there_are_enough_pairs() -> None:
    assert len(SETS["written"]) >= 40
    assert sum(map(len, SETS.values())) >= 60


@pytest.mark.parametrize("name", SETS)
def test_fusion_is_better_than_the_better_of_both(name: str) -> None:
    found = rates(SETS[name])
    assert found["fusion"] < 0.5 * min(found[GENERAL], found[VIETNAMESE]), found


@pytest.mark.parametrize("name", SETS)
def test_fusion_never_loses_to_both(name: str) -> None:
    for pair in SETS[name]:
        worst = max(wrong(pair, pair.general), wrong(pair, pair.vietnamese))
        assert wrong(pair, fused(pair)) <= worst, (pair.reference, fused(pair).text)


@pytest.mark.parametrize("pair", SETS["written"][:8], ids=lambda pair: " ".join(pair.reference)[:30])
def test_every_difference_is_accounted_for(pair: Pair) -> None:
    segment = fused(pair)
    for choice in segment.choices:
        assert {one.model for one in choice.candidates} == {GENERAL, VIETNAMESE}
        assert choice.chosen in (GENERAL, VIETNAMESE)
        assert "trust" in choice.reason
        assert 0 <= choice.start <= choice.end <= segment.end
        kept = next(one for one in choice.candidates if one.model == choice.chosen)
        assert kept.text in segment.text
    assert all(word.model in (GENERAL, VIETNAMESE) for word in segment.words)


def test_an_english_term_is_believed_of_one_and_a_tone_of_the_other() -> None:
    segment = fused(SETS["written"][0])
    assert segment.text == "em gửi deadline cho cả team rồi nhé"
    chosen = {choice.chosen: choice.reason for choice in segment.choices}
    assert "English word" in chosen[GENERAL]
    assert "Vietnamese word" in chosen[VIETNAMESE]
    assert [word.language for word in segment.words if word.text in ("deadline", "gửi")] == ["vi", "en"]


VOCABULARY = ["em", "có", "check", "mail", "chưa", "làm", "sale", "ơi"]
words = st.lists(st.tuples(st.sampled_from(VOCABULARY), st.floats(0, 1)), max_size=8)


def segment_of(found: list[tuple[str, float]]) -> Segment:
    placed = tuple(Word(text, 0.3 * n, 0.3 * n + 0.2, sure) for n, (text, sure) in enumerate(found))
    return Segment(" ".join(text for text, _ in found), 0.0, 3.0, placed, "vi")


@given(words)
def test_what_both_heard_is_left_as_it_is(found: list[tuple[str, float]]) -> None:
    segment = segment_of(found)
    both = fuse({GENERAL: segment, VIETNAMESE: replace(segment, language="vi-VN")})
    assert (both.text, both.choices) == (segment.text, ())
    assert [(word.text, word.start, word.end) for word in both.words] == [
        (word.text, word.start, word.end) for word in segment.words
    ]


@given(words, words)
def test_nothing_is_made_up_and_times_never_run_backwards(
    one: list[tuple[str, float]], other: list[tuple[str, float]]
) -> None:
    both = fuse({GENERAL: segment_of(one), VIETNAMESE: segment_of(other)})
    assert {word.text for word in both.words} <= {text for text, _ in [*one, *other]}
    times = [time for word in both.words for time in (word.start, word.end)]
    assert times == sorted(times)


async def test_the_fusion_model_hears_with_both() -> None:
    engine = ToneEngine()
    transcript = await pipeline(engine, model="fusion").transcribe(recording(talk((0, [1, 2]))), Config())
    assert (transcript.model, transcript.text) == ("fusion", "w1 w2")
    assert sorted(engine.heard) == [VIETNAMESE, GENERAL]


async def test_a_model_that_does_not_know_the_language_is_not_asked() -> None:
    engine = ToneEngine()
    audio = recording(talk((0, [1, 2])))
    transcript = await pipeline(engine, model="fusion").transcribe(audio, Config(language="en"))
    assert (transcript.text, engine.heard) == ("w1 w2", [GENERAL])


@pytest.mark.parametrize("word", ["không", "nghiêng", "quyển", "giếng", "gì", "Tuấn", "đường,", "hoạ", "được", "Nam"])
def test_vietnamese_syllables_are_known(word: str) -> None:
    assert language(word) != "en"


@pytest.mark.parametrize("word", ["deadline", "team", "check", "chat", "top", "sales", "web", "plan", "Google", "key"])
def test_english_words_are_no_syllables(word: str) -> None:
    assert language(word) == "en"


@pytest.mark.parametrize("word", ["can", "long", "me", "2024", "hay"])
def test_what_may_be_either_is_left_open(word: str) -> None:
    assert language(word) == ""


def test_stops_have_one_of_two_tones() -> None:
    assert is_syllable("các")
    assert is_syllable("cạc")
    assert not is_syllable("cac")
    assert not is_syllable("càc")
