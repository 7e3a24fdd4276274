"""How written numbers are said in English: `2024` is "twenty twenty four", or "two thousand twenty four"."""

from __future__ import annotations

import re

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
NUMBER = re.compile(r"([$€£]?)(\d+(?:,\d{3})*)(?:\.(\d+))?(st|nd|rd|th|%|s)?")
CURRENCIES = {"$": "dollars", "€": "euros", "£": "pounds"}
LONGEST = 12  # digits; longer ones are codes, said digit by digit


def cardinal(value: int) -> str:
    """A whole number from 0 up in words: 342 is "three hundred forty two"."""
    if value < 20:
        return ONES[value]
    if value < 100:
        return " ".join([TENS[value // 10 - 2], *([ONES[value % 10]] if value % 10 else [])])
    size, name = next(scale for scale in SCALES if value >= scale[0])
    rest = value % size
    return f"{cardinal(value // size)} {name}" + (f" {cardinal(rest)}" if rest else "")


def ordinal(value: int) -> str:
    """The ordinal in words: 23 is "twenty third"."""
    *before, last = cardinal(value).split()
    last = ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return " ".join([*before, last])


def spoken(token: str) -> list[str]:
    """The ways to say a written number, the usual one first; empty when `token` is none.

    Understood: 7, 1,500, 3.25, 2024, 23rd, 50%, $20, 1990s.
    """
    match = NUMBER.fullmatch(token.lower())
    if match is None:
        return []
    sign, whole, decimals, suffix = match.groups()
    digits = whole.replace(",", "")
    if decimals:
        said = [f"{cardinal(int(digits))} point {_digits(decimals)}"]
    elif suffix in ("st", "nd", "rd", "th"):
        return [ordinal(int(digits))]
    else:
        said = _whole(digits)
    if suffix == "%":
        said = [f"{words} percent" for words in said]
    if suffix == "s":
        said = [words[:-1] + "ies" if words.endswith("y") else words + "s" for words in said]
    return [f"{words} {CURRENCIES[sign]}" for words in said] + said if sign else said


def _digits(digits: str) -> str:
    return " ".join(ONES[int(digit)] for digit in digits)


def _whole(digits: str) -> list[str]:
    """The ways to say a whole number: as a count, as a year, with "and", digit by digit for codes."""
    if len(digits) > LONGEST or (digits.startswith("0") and len(digits) > 1):
        return [_digits(digits)]
    value = int(digits)
    said = [cardinal(value)]
    if 1100 <= value <= 2099 and value % 1000 >= 10 and value % 100:
        low = f"oh {ONES[value % 100]}" if value % 100 < 10 else cardinal(value % 100)
        said.insert(0, f"{cardinal(value // 100)} {low}")
    if 1100 <= value <= 9900 and value % 1000 and value % 100 == 0:
        said.append(f"{cardinal(value // 100)} hundred")
    if value > 100 and value % 100:
        head = cardinal(value - value % 100)
        said.append(f"{head} and {cardinal(value % 100)}")
    if said[-1].startswith("one "):
        said += ["a " + words.removeprefix("one ") for words in said if words.startswith("one ")]
    return said
