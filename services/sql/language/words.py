"""Words: folding of diacritics, English lemmas and plurals by rule, names of tables and columns split into words."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from services.sql.language.vietnamese_names import english_name

_IRREGULAR = {
    "children": "child",
    "people": "person",
    "persons": "person",
    "men": "man",
    "women": "woman",
    "feet": "foot",
    "mice": "mouse",
    "geese": "goose",
    "teeth": "tooth",
    "countries": "country",
    "series": "series",
    "species": "species",
    "status": "status",
    "address": "address",
    "addresses": "address",
    "class": "class",
    "news": "news",
    "bus": "bus",
    "buses": "bus",
    "gas": "gas",
    "analyses": "analysis",
    "movies": "movie",
    "cookies": "cookie",
    "staff": "staff",
    "data": "data",
    "criteria": "criterion",
    "indices": "index",
    "has": "have",
    "had": "have",
    "having": "have",
    "is": "be",
    "are": "be",
    "was": "be",
    "were": "be",
    "been": "be",
    "did": "do",
    "does": "do",
    "done": "do",
    "doing": "do",
    "went": "go",
    "made": "make",
    "bought": "buy",
    "sold": "sell",
    "paid": "pay",
    "spent": "spend",
    "wrote": "write",
    "written": "write",
    "taught": "teach",
    "taken": "take",
    "took": "take",
    "won": "win",
    "held": "hold",
    "built": "build",
    "born": "bear",
    "led": "lead",
    "gave": "give",
    "given": "give",
    "got": "get",
    "came": "come",
    "played": "play",
    "stayed": "stay",
    "ran": "run",
    "cities": "city",
    "lens": "lens",
    "lenses": "lens",
    "campus": "campus",
    "ids": "id",
    "yes": "yes",
    "this": "this",
}
# What designers write as one word.
_RUN_TOGETHER = {
    "fname": ("first", "name"), "firstname": ("first", "name"), "forename": ("first", "name"),
    "lname": ("last", "name"), "lastname": ("last", "name"), "surname": ("last", "name"),
    "fullname": ("full", "name"), "dob": ("birth", "date"),
}  # fmt: skip
_DOUBLED = re.compile(r"([bdgmnprt])\1$")
_SPLIT = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]+|\d+")


def listed(text: str) -> list[str]:
    """The words of a text, for tables of words that are easier to read as one."""
    return text.split()


def fold(text: str) -> str:
    """Lower case without diacritics: `Đà Nẵng` → `da nang`."""
    return unmarked(text).lower()


def unmarked(text: str) -> str:
    """Without diacritics, upper and lower case as they are: `Đà Nẵng` → `Da Nang`."""
    plain = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(char for char in plain if not unicodedata.combining(char))


@lru_cache(maxsize=65536)
def lemma(word: str) -> str:
    """The base form of an English word by suffix rules: plurals, -ing and -ed (after Porter's step 1).

    The result need not be a word; it only has to be the same for all forms of one.
    """
    word = word.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A rougher base form: the lemma without -ing, -ed, -er, -ion, -ment and final e: `ordered` meets `order`."""
    base = lemma(word)
    for suffix in ("ation", "ement", "ment", "ing", "ion", "ed", "er", "or"):
        if base.endswith(suffix) and len(base) - len(suffix) >= 3:
            base = base[: -len(suffix)]
            if _DOUBLED.search(base):
                base = base[:-1]
            break
    if base.endswith("y") and len(base) > 3:
        return base[:-1] + "i"
    return base[:-1] if base.endswith("e") and len(base) > 3 else base


def plural(word: str) -> str:
    """The plural of an English noun by rule; plural words stay."""
    if lemma(word) != word.lower():
        return word
    for many, one in (("people", "person"), ("children", "child"), ("men", "man"), ("women", "woman")):
        if word == one:
            return many
    if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
        return word[:-1] + "ies"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    return word + "s"


@lru_cache(maxsize=16384)
def plain_words(name: str) -> tuple[str, ...]:
    """The words of a name or phrase as they are written, folded: `ngay_sinh` → `("ngay", "sinh")`."""
    return tuple(fold(part) for part in _SPLIT.findall(name))


@lru_cache(maxsize=16384)
def split_name(name: str) -> tuple[str, ...]:
    """The words of a table's or column's name: `OrderItems`, `order_items`, `order-items` → `("order", "items")`.

    A Vietnamese name gives the English words that the rules know for it: `ngay_sinh` → `("birth", "date")`.
    """
    words = tuple(part for word in plain_words(name) for part in _RUN_TOGETHER.get(word, (word,)))
    return english_name(words, marked=fold(name) != name.lower()) or words


def spoken_name(name: str) -> str:
    """A name as people say it: `order_items` → `order items`."""
    return " ".join(split_name(name))
