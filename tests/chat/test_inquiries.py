"""Questions about a recording are told from all others."""

from __future__ import annotations

import itertools

import pytest

from bench.shop_questions import questions
from services.chat.inquiries import Inquiry, Kind, asks_about_recording, inquiry, names
from services.chat.language import Language

EN, VI = Language.ENGLISH, Language.VIETNAMESE


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Please summarise this meeting", Inquiry(Kind.SUMMARY, EN)),
        ("What are the main points?", Inquiry(Kind.SUMMARY, EN)),
        ("Tóm tắt cuộc họp này", Inquiry(Kind.SUMMARY, VI)),
        ("How many people spoke in this recording?", Inquiry(Kind.SPEAKERS, EN)),
        ("Có mấy người nói trong cuộc họp?", Inquiry(Kind.SPEAKERS, VI)),
        ("Who said it was too expensive in the meeting?", Inquiry(Kind.WHO_SAID, EN, topic="it was too expensive")),
        ("Ai nhắc đến đơn hàng?", Inquiry(Kind.WHO_SAID, VI, topic="don hang")),
        ("When did they mention the price?", Inquiry(Kind.WHEN, EN, topic="the price")),
        ("When did S1 talk about products?", Inquiry(Kind.WHEN, EN, "s1", "products")),
        ("Khi nào Lan nói về giá?", Inquiry(Kind.WHEN, VI, "lan", "gia")),
        ("Giá được nhắc đến khi nào?", Inquiry(Kind.WHEN, VI, topic="gia")),
        ("Was the lamp mentioned?", Inquiry(Kind.ABOUT, EN, topic="the lamp")),
        ("Mọi người nói gì về giá?", Inquiry(Kind.ABOUT, VI, topic="gia")),
        ("What did Anh Minh say about the orders?", Inquiry(Kind.SAID_BY, EN, "anh minh", "the orders")),
        ("Lan nói gì về giá trong cuộc họp?", Inquiry(Kind.SAID_BY, VI, "lan", "gia")),
        ("Người nói số 2 nói gì?", Inquiry(Kind.SAID_BY, VI, "nguoi noi so 2")),
        ("Cho tôi xem bản chép", Inquiry(Kind.TRANSCRIPT, VI)),
        ("Cuộc họp dài bao lâu?", Inquiry(Kind.LENGTH, VI)),
        ("Who is angry in the interview?", Inquiry(Kind.OTHER, EN, topic="who is angry")),
    ],
)
def test_what_is_asked(text: str, asked: Inquiry) -> None:
    assert inquiry(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        "How many customers are there?",
        "Which employee has the lowest salary?",
        "Có bao nhiêu khách hàng ở Đà Lạt?",
        "Khách hàng nào mua nhiều nhất?",
        "When was the last order?",
        "Who ordered the lamp?",
        "Please transcribe this recording and answer",
        "Answer the question in the recording please",
    ],
)
def test_what_asks_about_no_recording(text: str) -> None:
    assert not asks_about_recording(text)


def test_questions_about_data_are_none() -> None:
    assert [text for text in itertools.islice(questions(3), 2000) if inquiry(text)] == []


def test_a_hostile_text_costs_no_time() -> None:
    # Nested repetitions would take longer than anybody waits.
    for text in (
        "who said " * 20_000,
        "a " * 50_000,
        "what did " + "x " * 50_000,
        "when did they " * 7_000,
        "please " * 15_000,
        "in the meeting " * 7_000,
    ):
        inquiry(text)


def test_names_are_given_and_asked_for() -> None:
    assert names(["S1 is Anna and S2 là Bình.", "Speaker 3 is called Zoe, s1 = Ann"]) == {
        "S1": "Ann",
        "S2": "Bình",
        "S3": "Zoe",
    }
    assert names(["S1 là ai?", "S2 is who?", "the lamp is red"]) == {}
