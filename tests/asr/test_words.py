"""Words in order: times that never run backwards, loops, and who says them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.asr.align import Turn, align
from services.asr.models import Heard
from services.asr.tidy import tidy
from services.asr.transcript import Segment, Word

TIMES = st.floats(-2, 12, allow_nan=False)
WORDS = st.lists(st.builds(Word, st.sampled_from(["a", "b", "Hi,", "ừ"]), TIMES, TIMES, st.floats(-1, 2)), max_size=12)


def heard(text: str) -> Heard:
    words = tuple(Word(word, 0.3 * n, 0.3 * n + 0.25, 0.9) for n, word in enumerate(text.split()))
    return Heard(text, "en", words)


@given(WORDS)
def test_whatever_times_a_model_gives_they_run_forwards_inside_the_segment(words: list[Word]) -> None:
    segment = tidy(Heard(" ".join(word.text for word in words), "en", tuple(words)), 3.0, 9.0)
    times = [3.0, *(time for word in segment.words for time in (word.start, word.end)), 9.0]
    assert times == sorted(times)
    assert all(0 <= word.confidence <= 1 for word in segment.words)


def test_a_loop_is_said_once() -> None:
    looped = tidy(heard("so thank you for watching. " + "Thank you for watching. " * 9 + "bye"), 0.0, 60.0)
    assert looped.text == "so thank you for watching. bye"
    assert [word.text for word in looped.words] == looped.text.split()
    alone = tidy(heard("la " * 40), 0.0, 60.0)
    assert alone.text == "la"


def test_what_people_repeat_stays() -> None:
    for text in ("no no no no I said no", "very very good", "one two one two one two one two", "ha ha ha ha ha"):
        assert tidy(heard(text), 0.0, 60.0).text == text


SPEAKERS = st.sampled_from(["0", "1", "2"])
TURNS = st.lists(st.tuples(st.floats(0, 8), st.floats(0.05, 3), SPEAKERS), max_size=6)


@given(st.lists(st.sampled_from(["yes", "no.", "ừ", "well,"]), min_size=1, max_size=10), TURNS)
def test_splitting_loses_no_word_and_no_order(said: list[str], turns: list[tuple[float, float, str]]) -> None:
    texts = [f"{n}{word}" for n, word in enumerate(said)]  # one word six times would be a loop, said once
    segment = tidy(heard(" ".join(texts)), 1.0, 8.0)
    found = align(segment, [Turn(start, start + length, who) for start, length, who in sorted(turns)])
    assert " ".join(part.text for part in found) == segment.text
    assert [word.text for part in found for word in part.words] == texts
    assert all({word.speaker for word in part.words} == {part.speaker} for part in found)
    assert all(one.speaker != two.speaker for one, two in itertools.pairwise(found))
    edges = [edge for part in found for edge in (part.start, part.end)]
    assert edges == sorted(edges)


def spoken(*turns: Turn) -> list[tuple[str, str]]:
    words = tuple(Word(f"w{n}", 0.5 * n, 0.5 * n + 0.4, 0.9) for n in range(4))
    segment = Segment("w0 w1 w2 w3", 0.0, 2.0, words)
    return [(part.speaker, part.text) for part in align(segment, turns)]


def test_a_word_is_of_who_speaks_for_most_of_it() -> None:
    assert spoken(Turn(0, 1.1, "0"), Turn(1.1, 2, "1")) == [("0", "w0 w1"), ("1", "w2 w3")]
    assert spoken(Turn(0, 2, "0"), Turn(0.55, 0.6, "1")) == [("0", "w0 w1 w2 w3")]


def test_where_two_speak_it_is_who_spoke_before() -> None:
    assert spoken(Turn(0, 2, "0"), Turn(0.9, 2, "1")) == [("0", "w0 w1 w2 w3")]


def test_a_word_outside_of_all_turns_is_of_the_nearest() -> None:
    assert spoken(Turn(0, 0.5, "0"), Turn(1.4, 2, "1")) == [("0", "w0 w1"), ("1", "w2 w3")]
    assert spoken() == [("", "w0 w1 w2 w3")]


def test_text_without_spaces_is_split_where_the_words_are() -> None:
    words = (Word("你好", 0.0, 0.4, 1.0), Word("吗", 0.5, 0.9, 1.0))
    found = align(Segment("你好吗", 0.0, 1.0, words), [Turn(0, 0.45, "0"), Turn(0.45, 1, "1")])
    assert [(part.speaker, part.text) for part in found] == [("0", "你好"), ("1", "吗")]
