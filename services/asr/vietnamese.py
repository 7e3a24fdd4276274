"""Which language a written word is of, Vietnamese or English, by the shape of its letters alone.

Vietnamese is written in syllables, each an onset, a rime and a tone, and the sets of onsets and rimes are closed
(Đoàn Thiện Thuật, "Ngữ âm tiếng Việt", 1977, counts 22 onsets and some 155 rimes). A word that is no such syllable is
not Vietnamese; one that is and has a Vietnamese letter or tone is. Syllables that end in a stop (c, ch, p, t) have one
of two tones, so "chat" or "top", without a mark, are no syllables. What is left, like "can" or "long", may be either.
"""

from __future__ import annotations

import functools
import unicodedata

VIETNAMESE, ENGLISH, EITHER = "vi", "en", ""

_ONSETS = "b c ch d đ g gh gi h k kh l m n ng ngh nh p ph qu r s t th tr v x"
_RIMES = """
    a ac ach ai am an ang anh ao ap at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng âp ât âu ây
    e ec em en eng eo ep et ê êch êm ên êng ênh êp êt êu
    i ia ich iêc iêm iên iêng iêp iêt iêu im in inh ip it iu
    o oa oac oach oai oam oan oang oanh oao oap oat oay oăc oăm oăn oăng oăt oc oe oem oen oeo oet oi om on ong ooc oong
    op ot ô ôc ôi ôm ôn ông ôp ôt ơ ơi ơm ơn ơp ơt ơu
    u ua uân uâng uât uây uc uê uêch uên uênh uêt ui um un ung uôc uôi uôm uôn uông uôt uơ uơn up ut uy uya uych uyên
    uyêt uyn uynh uyt uyu ư ưa ưc ưi ưm ưn ưng ươc ươi ươm ươn ương ươp ươt ươu ưt ưu
    y yêm yên yêng yêt yêu ych yt ynh
"""
ONSETS = frozenset(("", *_ONSETS.split()))
RIMES = frozenset(_RIMES.split())
TONES = frozenset("\u0300\u0301\u0303\u0309\u0323")
"""Grave, acute, tilde, hook above, dot below."""
OF_STOPS = frozenset("\u0301\u0323")
STOPS = ("c", "ch", "p", "t")
FRONT = frozenset("eêiy")


@functools.lru_cache(maxsize=4096)
def language(word: str) -> str:
    """`vi`, `en`, or empty where it may be either; punctuation around the word does not matter."""
    letters = unicodedata.normalize("NFC", word.strip(".,;:!?\"'()[]…-“”‘’")).lower()
    if not letters.isalpha():
        return ENGLISH if letters.isascii() and any(map(str.isalpha, letters)) else EITHER
    if not is_syllable(letters):
        return ENGLISH if letters.isascii() else EITHER
    return EITHER if letters.isascii() else VIETNAMESE


def is_syllable(word: str) -> bool:
    """Whether lower-case letters are a syllable that Vietnamese orthography allows."""
    parts = unicodedata.normalize("NFD", word)
    tones = [mark for mark in parts if mark in TONES]
    bare = unicodedata.normalize("NFC", "".join(mark for mark in parts if mark not in TONES))
    if len(tones) > 1:
        return False
    for length in range(4):
        onset, rime = bare[:length], bare[length:]
        if onset in ONSETS and rime in RIMES and _fits(onset, rime):
            return not rime.endswith(STOPS) or (bool(tones) and tones[0] in OF_STOPS)
    return False


def _fits(onset: str, rime: str) -> bool:
    """Whether the spelling of an onset goes with the rime: k, gh and ngh stand before front vowels, c, g, ng do not."""
    if onset in ("k", "gh", "ngh"):
        return rime[0] in FRONT
    return not (onset in ("c", "ng") and rime[0] in FRONT) and not (onset == "g" and rime[0] in "eêy")


def folded(word: str) -> str:
    """The letters of a word in lower case without tones and diacritics: how it looks to whoever reads it as English."""
    parts = unicodedata.normalize("NFD", word.lower().replace("đ", "d"))
    return "".join(letter for letter in parts if letter.isalnum() and not unicodedata.combining(letter))
