"""A question as tokens: words with their lemmas and positions, numbers, quoted texts; Vietnamese becomes English words.

The engine's rules are written for English. A Vietnamese question is rewritten phrase by phrase into the English words
of those rules, each keeping the position of the words that it came from; words that no phrase covers (names) stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from services.sql.language.dates import days
from services.sql.language.vietnamese import PHRASES, SPELT, SURE_SIGNS
from services.sql.language.words import fold, lemma, listed

_TOKEN = re.compile(
    r"(?P<quoted>\"[^\"]+\"|“[^”]+”|[‘’][^‘’]+’|(?<![\w])'[^']+'(?!\w))"
    r"|(?P<date>\d{4}-\d{2}-\d{2})"
    r"|(?P<number>(?:(?<!\S)-)?(?:\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?![\w-])))"
    r"|(?P<word>[^\W_]+(?:[_.@&-][^\W_]+)*)(?:'s|’s)?"
    r"|(?P<sign>>=|<=|!=|[<>=,?;:])"
)
NUMBER_WORDS = {
    word: float(number)
    for number, word in enumerate(
        listed(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen twenty"
        )
    )
} | {"thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "seventy": 70.0, "eighty": 80.0, "ninety": 90.0}
VIETNAMESE_NUMBERS = {
    tuple(words.split()): english
    for words, english in (
        ("mot", "one"), ("hai", "two"), ("ba", "three"), ("bon", "four"), ("sau", "six"), ("bay", "seven"),
        ("tam", "eight"), ("chin", "nine"), ("muoi", "ten"), ("hai muoi", "twenty"), ("ba muoi", "thirty"),
        ("mot tram", "one hundred"), ("mot nghin", "one thousand"), ("mot ngan", "one thousand"),
    )
}  # fmt: skip
NUMBER_WORDS |= {"hundred": 100.0, "thousand": 1000.0, "million": 1e6, "billion": 1e9}
_LONGEST_PHRASE = max(len(phrase) for phrase in PHRASES)
_LONGEST_KEPT = 6
_OPEN = {"after": "since", "later": "since", "onwards": "since", "before": "until", "earlier": "until"}
_ACCENTED = re.compile(r"[ăâđêôơưàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩịòóỏõọồốổỗộờớởỡợùúủũụừứửữựỳýỷỹỵ]", re.IGNORECASE)


@dataclass(frozen=True)
class Token:
    """A word, number, sign or quoted text of a question."""

    text: str
    """As written, without quotes."""
    word: str
    """Folded: lower case without diacritics."""
    lemma: str
    start: int
    """Position of its first character in the question, in code points."""
    end: int
    quoted: bool = False
    number: float | None = None


def is_vietnamese(question: str) -> bool:
    """Whether a question is Vietnamese, also when typed without diacritics."""
    words = " " + " ".join(re.findall(r"\w+", fold(question))) + " "
    signs = sum(f" {sign} " in words for sign in SURE_SIGNS)
    return signs >= 2 or (signs >= 1 and (bool(_ACCENTED.search(question)) or len(words.split()) <= 6))


Known = Callable[[tuple[str, ...]], bool]
"""Whether folded words are a whole name or value of a database."""


def tokenize(
    question: str, known: Known = lambda _words: False, spell: Callable[[list[Token]], list[Token]] = list
) -> list[Token]:
    """The tokens of a question, in English or Vietnamese.

    Args:
        question: The question.
        known: What stays as it is, because the database has it: `đang chạy` where that is a value.
        spell: Corrects spelling mistakes.
    """
    vietnamese = is_vietnamese(question)
    written = _days([_token(match) for match in _TOKEN.finditer(question)], question, known, vietnamese)
    found = spell(_numbers(written))
    return _numbers(_english(found, known)) if vietnamese else _open(_ranges(found))


def _token(match: re.Match[str]) -> Token:
    text = match[match.lastgroup or 0]
    start, end = match.span(match.lastgroup or 0)
    if match.lastgroup == "quoted":
        text = text[1:-1].strip()
        return Token(text, fold(text), fold(text), start, end, quoted=True)
    number = float(text.replace(",", "")) if match.lastgroup == "number" else None
    word = fold(text)
    return Token(text, word, lemma(word), start, end, number=number)


def _days(tokens: list[Token], question: str, known: Known, vietnamese: bool) -> list[Token]:
    """Days become single tokens, unless the database has a value that is written like that."""
    found = tokens
    for day in days(question, vietnamese):
        inside = [token for token in found if day.start <= token.start and token.end <= day.end]
        if inside and not known(tuple(token.word for token in inside)):
            at = found.index(inside[0])
            whole = Token(day.iso, day.iso, day.iso, inside[0].start, inside[-1].end)
            found = [*found[:at], whole, *found[at + len(inside) :]]
    return found


def _numbers(tokens: list[Token]) -> list[Token]:
    """Number words become numbers: `two hundred` is one token of 200, `twenty five` of 25."""
    found: list[Token] = []
    for token in tokens:
        value = NUMBER_WORDS.get(token.word) if token.number is None and not token.quoted else None
        last = found[-1] if found else None
        if value is None or (
            token.word == "one" and not (last and last.word in ("than", "least", "most", "exactly", "only"))
        ):
            found.append(token)
        elif (
            last
            and last.number is not None
            and last.text.isalpha() | (" " in last.text)
            and (value >= 100 or last.number % 100 >= 20 > 9 >= value)
        ):
            total = last.number * value if value >= 100 else last.number + value
            found[-1] = replace(last, text=f"{last.text} {token.text}", end=token.end, number=total)
        else:
            found.append(replace(token, number=value))
    return _years(found)


def _years(tokens: list[Token]) -> list[Token]:
    """Years as people say them: `twenty` `twenty five` is 2025, `nineteen` `ninety` is 1990."""
    found: list[Token] = []
    for token in tokens:
        last = found[-1] if found else None
        spoken = last is not None and last.number in (19.0, 20.0) and not last.text[0].isdigit()
        if last is not None and spoken and token.number is not None and 10 <= token.number <= 99:
            year = (last.number or 0.0) * 100 + token.number
            found[-1] = replace(last, text=f"{last.text} {token.text}", end=token.end, number=year)
        else:
            found.append(token)
    return found


def _english(tokens: list[Token], known: Known) -> list[Token]:
    """Vietnamese phrases rewritten, longest first; `nhiều … nhất` closes around what it compares."""
    found: list[Token] = []
    position = 0
    # Whoever types diacritics types all of them: then `gia` is not `giá`.
    spelt = any(_ACCENTED.search(token.text) for token in tokens)
    while position < len(tokens):
        kept = _kept(tokens[position : position + _LONGEST_KEPT], known)
        for length in range(min(max(_LONGEST_PHRASE, kept), len(tokens) - position), 0, -1):
            if length == kept:
                found += tokens[position : position + kept]
                position += kept
                break
            window = tokens[position : position + length]
            english = None if any(item.quoted for item in window) else _translation(window)
            if length == 1 and spelt and not _is_spelt(window[0]):
                english = None
            # A single syllable in a capitalised name is a name: `Hà`, `Mai`, `Nam`.
            if english is not None and not (length == 1 and position and window[0].text[:1].isupper()):
                found += [Token(word, word, lemma(word), window[0].start, window[-1].end) for word in english.split()]
                position += length
                break
        else:
            found.append(tokens[position])
            position += 1
    return _ranges(_closed_superlatives(_five(found, tokens)))


def _translation(window: list[Token]) -> str | None:
    words = tuple(item.word for item in window)
    number = VIETNAMESE_NUMBERS.get(words)
    # `sáu`, not `sau`: only one of the two is a number.
    if number is not None and (words not in PHRASES or window[0].text.lower() == "sáu"):
        return number
    return PHRASES.get(words)


def _kept(tokens: list[Token], known: Known) -> int:
    """How many of the first tokens are a name or value of several words of the database."""
    words = tuple(token.word for token in tokens)
    return next((length for length in range(len(words), 1, -1) if known(words[:length])), 0)


def _is_spelt(token: Token) -> bool:
    """Whether a syllable has the diacritics of the word that its folded form is known as; the older `huỷ` too."""
    expected = SPELT.get(token.word)
    return expected is None or token.text.lower() in (expected, expected.replace("ủy", "uỷ"))


def _five(found: list[Token], tokens: list[Token]) -> list[Token]:
    """`năm` before a noun at the beginning is the number, not the year: `năm sản phẩm rẻ nhất`."""
    first = tokens[0].word == "nam" and len(found) > 1 and found[0].word == "year"
    if first and found[1].number is None and found[1].word not in ("which", "this", "last", "before"):
        return [replace(found[0], text="five", word="five", lemma="five"), *found[1:]]
    return found


def _ranges(tokens: list[Token]) -> list[Token]:
    """`from 50 to 100` → `between 50 and 100`; `from 2 … or more` → `at least 2 …`."""
    found = list(tokens)
    numbers = [token.number is not None or token.word in NUMBER_WORDS for token in tokens]
    upwards = any(token.word in ("vi_up", "vi_down") for token in tokens)
    down = any(token.word == "vi_down" for token in tokens)
    for at in range(len(tokens) - 1, -1, -1):
        if tokens[at].word != "from" or at + 1 >= len(tokens) or not numbers[at + 1]:
            continue
        if at + 3 < len(tokens) and tokens[at + 2].word == "to" and numbers[at + 3]:
            found[at], found[at + 2] = _word(tokens[at], "between"), _word(tokens[at + 2], "and")
        elif upwards:
            found[at : at + 1] = [_word(tokens[at], "at"), _word(tokens[at], "most" if down else "least")]
    return [token for token in found if token.word not in ("vi_up", "vi_down")]


def _open(tokens: list[Token]) -> list[Token]:
    """Ranges with one end: `in 2005 or later`, `in or after 2005` → `since 2005`, with `before` → `until 2005`."""
    found: list[Token] = []
    position = 0
    while position < len(tokens):
        words = [token.word for token in tokens[position : position + 4]]
        number = next((n for n in (0, 1, 2) if n < len(words) and tokens[position + n].number is not None), 3)
        if words[0] in ("in", "on") and words[1:2] == ["or"] and words[2:3] and words[2] in _OPEN:
            found.append(_word(tokens[position], _OPEN[words[2]]))
            position += 3
        elif words[0] in ("in", "from") and number < 3 and words[1:number] in ([], ["year"]) and (
            words[number + 1 : number + 2] == ["or"] and (end := _at(tokens, position + number + 2)) in _OPEN
        ):  # fmt: skip
            found += [_word(tokens[position], _OPEN[end]), tokens[position + number]]
            position += number + 3
        else:
            found.append(tokens[position])
            position += 1
    return found


def _at(tokens: list[Token], position: int) -> str:
    return tokens[position].word if position < len(tokens) else ""


def _word(token: Token, word: str) -> Token:
    """The token with another word."""
    return replace(token, text=word, word=word, lemma=lemma(word))


def _closed_superlatives(tokens: list[Token]) -> list[Token]:
    """`many … VI_MOST` → `most …`, `few … VI_MOST` → `fewest …`; a lone VI_MOST falls away."""
    found = list(tokens)
    for position, token in enumerate(tokens):
        if token.word != "vi_most":
            continue
        for back in range(position - 1, max(-1, position - 6), -1):
            if tokens[back].word in ("many", "few"):
                word = "most" if tokens[back].word == "many" else "fewest"
                found[back] = replace(tokens[back], word=word, lemma=word)
                break
    return [token for token in found if token.word != "vi_most"]
