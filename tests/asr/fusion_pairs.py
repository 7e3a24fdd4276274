"""Pairs of hypotheses for Vietnamese speech with English terms: those written by hand, and random ones like them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from services.asr.transcript import Segment, Word

DATA = Path(__file__).parent / "data" / "fusion_pairs.txt"
SURE = 0.93
SYLLABLE = 0.25
"""Seconds that a syllable takes."""

TEMPLATES = (
    "chị gửi {} cho em trước năm giờ nhé",
    "mình chưa hiểu {} này hoạt động như thế nào",
    "hôm qua anh đã sửa xong {} rồi",
    "công ty đang cần thêm người làm {}",
    "em thấy {} lần này tốt hơn lần trước nhiều",
    "khách hàng hỏi về {} và {} của dự án",
    "bạn nhớ kiểm tra {} trước khi gửi {} cho họ",
    "chúng tôi đã bàn về {} suốt buổi sáng",
)
# English terms, and how a model for Vietnamese writes them.
TERMS = {
    "deadline": ("đét lai", "đe lai", "đét len"),
    "feature": ("phi chờ", "phít chơ"),
    "backend": ("bách en", "bắc en"),
    "frontend": ("phờ ron en", "phần en"),
    "meeting": ("mi tinh", "mít tinh"),
    "team": ("tim",),
    "report": ("ri pót", "rì bót"),
    "design": ("đi zai", "đì dai"),
    "marketing": ("mắc két tinh", "ma két tinh"),
    "project": ("bờ ro giéc", "rô chéc"),
    "budget": ("bớt giét", "bắt chét"),
    "server": ("sơ vờ", "xe vơ"),
    "cloud": ("cờ lao", "lao"),
    "website": ("oép sai", "quép sai"),
    "email": ("i meo", "y meo"),
    "chatbot": ("chát bót", "chét bót"),
    "database": ("đa ta bây", "đát ta bết"),
    "update": ("úp đết", "ắp đây"),
    "template": ("tem lết", "tem bờ lết"),
    "workflow": ("uốt lâu", "oóc phờ lâu"),
}
# Vietnamese words, and how a model for all languages mishears them.
MISHEARD = {
    "gửi": ("gữi", "gởi"),
    "trước": ("chước", "trướt"),
    "giờ": ("dờ", "giở"),
    "chưa": ("trưa", "chứa"),
    "hiểu": ("hiếu", "hiêu"),
    "động": ("đọng", "đông"),
    "sửa": ("sữa", "xửa"),
    "rồi": ("dồi", "rội"),
    "người": ("ngươi", "ngưới"),
    "thấy": ("thậy", "thây"),
    "tốt": ("tót", "tột"),
    "hỏi": ("hõi", "hói"),
    "nhớ": ("nhở", "nhờ"),
    "bàn": ("bạn", "bằng"),
    "buổi": ("bữi", "bui"),
    "sáng": ("sán", "xáng"),
    "kiểm": ("kiếm", "kiêm"),
}


class Pair(NamedTuple):
    """What was said, and what each model heard: words with their confidences."""

    reference: list[str]
    general: Segment
    vietnamese: Segment


def written() -> list[Pair]:
    """The pairs written by hand."""
    lines = [line for line in DATA.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    blocks = "\n".join(lines).strip().split("\n\n")
    return [_pair(*block.splitlines()) for block in blocks]


def generated(count: int, seed: int) -> list[Pair]:
    """Random pairs: terms in templates, misheard as each model mishears, at random confidences."""
    chance = random.Random(seed)
    return [_random(chance) for _ in range(count)]


def _random(chance: random.Random) -> Pair:
    template = chance.choice(TEMPLATES).split()
    reference, general, vietnamese = [], [], []
    for word in template:
        if word == "{}":
            term = chance.choice(sorted(TERMS))
            reference.append(term)
            general.append(_sure(term, chance.uniform(0.6, 0.98)))
            garbled = chance.choice(TERMS[term]).split()
            vietnamese += [_sure(part, chance.uniform(0.35, 0.75)) for part in garbled]
            continue
        reference.append(word)
        if word in MISHEARD and chance.random() < 0.45:
            general.append(_sure(chance.choice(MISHEARD[word]), chance.uniform(0.35, 0.85)))
        else:
            general.append(_sure(word, chance.uniform(0.6, 0.98)))
        vietnamese.append(_sure(word, chance.uniform(0.75, 0.99)))
        if chance.random() < 0.03:  # a word that one of them does not hear
            chance.choice((general, vietnamese)).pop()
    return _pair(" ".join(reference), " ".join(general), " ".join(vietnamese))


def _sure(word: str, confidence: float) -> str:
    return f"{word}|{confidence:.2f}"


def _pair(reference: str, general: str, vietnamese: str) -> Pair:
    length = max(len(general.split()), len(vietnamese.split())) * SYLLABLE
    return Pair(reference.split(), _segment(general, length, ""), _segment(vietnamese, length, "vi-VN"))


def _segment(text: str, length: float, language: str) -> Segment:
    """A hypothesis as a segment of `length` seconds: words are as long as their letters say."""
    parts = [part.partition("|") for part in text.split()]
    step = length / sum(len(word) + 1 for word, _, _ in parts)
    words, now = [], 0.0
    for word, _, confidence in parts:
        words.append(Word(word, now, now + len(word) * step, float(confidence or SURE)))
        now += (len(word) + 1) * step
    return Segment(" ".join(word.text for word in words), 0.0, length, tuple(words), language or "vi")
