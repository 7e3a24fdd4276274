"""What a model made up is dropped; what people say is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_models.shared import plausibility


def kept(text: str) -> str:
    words = text.split()
    return " ".join(words[number] for number in plausibility.without_loops(words))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Thank you. " * 30, "Thank you."),
        ("so I said " + "and then we went " * 9 + "home", "so I said and then we went home"),
        ("la " * 40, "la"),
        ("Hẹn gặp lại các bạn. hẹn gặp lại các bạn! " * 5, "Hẹn gặp lại các bạn."),
        ("a b " * 10 + "c d " * 10, "a b c d"),
    ],
)
def test_what_is_said_over_and_over_is_said_once(said: str, left: str) -> None:
    assert kept(said) == left


@pytest.mark.parametrize(
    "said",
    [
        "no no no no no no I will not",
        "row row row your boat",
        "one two three one two three one two three go",
        "ha ha ha ha",
        "",
    ],
)
def test_what_people_repeat_is_kept(said: str) -> None:
    assert kept(said) == said


@given(st.lists(st.sampled_from(["a", "b", "c", "?"]), max_size=60))
def test_what_is_kept_is_in_order_and_has_no_loop_left_of_one_word(words: list[str]) -> None:
    numbers = plausibility.without_loops(words)
    assert numbers == sorted(set(numbers))
    left = [words[number] for number in numbers]
    assert set(left) == set(words)


def test_nobody_spoke_only_where_the_model_doubts_text_and_speech() -> None:
    assert plausibility.nobody_spoke(0.9, -2.0)
    assert not plausibility.nobody_spoke(0.9, -0.2)
    assert not plausibility.nobody_spoke(0.1, -2.0)


def test_repetitive_texts_are_told_from_others() -> None:
    assert plausibility.repeats("Subtitles by the community. " * 12)
    assert not plausibility.repeats("Xin chào các bạn, hôm nay chúng ta nói về thời tiết ở Hà Nội trong tuần này.")
    assert not plausibility.repeats("")


def test_digital_silence_is_told_from_a_whisper() -> None:
    assert not plausibility.audible(np.zeros(0, np.float32))
    assert not plausibility.audible(np.full(100, 2 / 32768, np.float32))
    assert plausibility.audible(np.array([0, 0.001], np.float32))
