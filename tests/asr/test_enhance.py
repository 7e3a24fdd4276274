"""Enhancement that can be undone and makes nothing up, and masks that change no position."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.asr.enhance import applied, edits, faithful, reverted, rewritten, undone
from services.asr.profanity import filtered, masked
from services.asr.transcript import Alternative, Segment, Word

TEXTS = st.text(st.sampled_from("ab ,.ÔộA'\n1"), max_size=40)


@given(TEXTS, TEXTS)
def test_edits_make_the_text_and_undo_it(raw: str, text: str) -> None:
    changes = edits(raw, text)
    assert applied(raw, changes) == text
    assert undone(text, changes) == raw
    assert all(raw[edit.start : edit.end] == edit.before for edit in changes)
    assert all(one.end <= two.start for one, two in itertools.pairwise(changes))


def segment(text: str) -> Segment:
    words = tuple(Word(word, 1.0 + n, 1.8 + n, 0.9, "S1") for n, word in enumerate(text.split()))
    return Segment(text, 1.0, 1.0 + len(words), words, "en-US", speaker="S1")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("hello how are you", "Hello, how are you?"),
        ("we met on monday in hanoi with mister tran", "We met on Monday in Hanoi with Mister Tran."),
        ("em gui bao cao cho anh roi nhe", "Em gửi báo cáo cho anh rồi nhé."),
        (
            "their going to send the the report by friday i think",
            "They're going to send the report by Friday, I think.",
        ),
    ],
)
def test_punctuation_casing_and_small_corrections_are_kept(raw: str, text: str) -> None:
    enhanced = rewritten(segment(raw), text)
    assert (enhanced.text, enhanced.raw_text) == (text, raw)
    assert applied(raw, enhanced.edits) == text
    assert [word.text for word in enhanced.words] == text.split()
    times = [time for word in enhanced.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(word.speaker == "S1" for word in enhanced.words)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("the price is fine", "The price is 900 dollars, which is fine."),
        ("send it on monday", "Send it on Tuesday."),
        ("do not press the button", "Do press the button."),
        ("we can do that for you today", "We cannot do that for you today."),
        ("chúng tôi không đồng ý với giá này", "Chúng tôi đồng ý với giá này."),
        ("call 555 1234 now", "Call 555 1235 now."),
        ("hello", ""),
        ("hello", "Sure! Here is the corrected text: Hello."),
        ("one two three four five six", "One two three."),
    ],
)
def test_what_nobody_said_is_dropped(raw: str, text: str) -> None:
    assert not faithful(raw, text)
    assert rewritten(segment(raw), text) == segment(raw)


def test_an_enhancement_can_be_undone() -> None:
    raw = segment("their going to send the the report by friday i think")
    enhanced = rewritten(raw, "They're going to send the report by Friday, I think.")
    back = reverted(enhanced)
    assert (back.text, back.raw_text, back.edits) == (raw.text, "", ())
    assert [word.text for word in back.words] == raw.text.split()
    assert reverted(back) == back


def test_masks_keep_the_first_letter_and_the_length() -> None:
    assert masked("Shit, that is bullshit!") == "S***, that is b*******!"
    assert masked("đồ con đĩ kia") == "đồ c** đ* kia"
    assert masked("Scunthorpe shitake classic") == "Scunthorpe shitake classic"
    assert masked("quả óc chó rất ngon") == "quả óc chó rất ngon"


def test_a_masked_segment_is_masked_everywhere_and_its_edits_still_fit() -> None:
    raw = replace(segment("this is shit mẹ kiếp"), alternatives=(Alternative("this is shit", 0.1),))
    found = filtered(rewritten(raw, "This is shit, mẹ kiếp."))
    assert found.text == "This is s***, m* k***."
    assert found.raw_text == "this is s*** m* k***"
    assert applied(found.raw_text, found.edits) == found.text
    assert [word.text for word in found.words] == ["This", "is", "s***,", "m*", "k***."]
    assert found.alternatives[0].text == "this is s***"
