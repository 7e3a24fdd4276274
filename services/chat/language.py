"""Which language a person writes in, and words made comparable: English and Vietnamese."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum


class Language(StrEnum):
    """The languages that answers are phrased in."""

    ENGLISH = "en"
    VIETNAMESE = "vi"


# Letters that Vietnamese has and English has not.
_VIETNAMESE_LETTERS = re.compile(r"[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
# Word pairs that give Vietnamese away when it is typed without its marks.
_VIETNAMESE_PAIRS = re.compile(
    r"\b(bao nhieu|xin chao|cam on|khach hang|san pham|don hang|co bao|liet ke|cho toi|la gi|la ai|nhung ai|co the|"
    r"cao nhat|thap nhat|nhieu nhat|tong so|trung binh|ban la|ban lam|tat ca)\b"
)


def fold(text: str) -> str:
    """Lower case without marks and punctuation, words separated by single blanks: `Bạn là ai?` becomes `ban la ai`."""
    decomposed = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(re.findall(r"[\w']+", bare.replace("’", "'")))


def detect(text: str) -> Language:
    """The language of a text; English where nothing speaks for Vietnamese."""
    composed = unicodedata.normalize("NFC", text)
    if _VIETNAMESE_LETTERS.search(composed) or _VIETNAMESE_PAIRS.search(fold(composed)):
        return Language.VIETNAMESE
    return Language.ENGLISH
