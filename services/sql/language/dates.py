"""Days as people write them: `September 7th, 1987`, `7 Sept 1987`, `ngày 7 tháng 9 năm 1987`, `7/9/1987`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import NamedTuple

MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sep sept", "october oct", "november nov", "december dec"), 1)
    for name in names.split()
}  # fmt: skip
"""The number of each month by its English names."""
_MONTH = rf"(?P<month>{'|'.join(sorted(MONTHS, key=len, reverse=True))})\.?"
_DAY, _YEAR = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?", r"(?P<year>\d{4})\b"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"\b{_MONTH}\s+{_DAY}(?:,\s*|\s+){_YEAR}",
        rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,\s*|\s+){_YEAR}",
        rf"\bng[àa]y\s+{_DAY}\s+th[áa]ng\s+(?P<month>\d{{1,2}})\s+n[ăa]m\s+{_YEAR}",
    )
)
_SLASHED = re.compile(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\w/])")


class Day(NamedTuple):
    """A day in a text."""

    start: int
    end: int
    """After its last character."""
    iso: str
    """As databases write it: `1987-09-07`."""


def days(text: str, day_first: bool) -> Iterator[Day]:
    """The days of a text, those that do not exist left out.

    Args:
        text: In English or Vietnamese.
        day_first: Whether 7/9 is the 7th of September for sure; else it is none, since it may be the 9th of July.
    """
    for form in _FORMS:
        for match in form.finditer(text):
            month = match["month"].lower()
            yield from _day(match, int(match["year"]), MONTHS.get(month) or int(month), int(match["day"]))
    for match in _SLASHED.finditer(text):
        first, second, year = map(int, match.groups())
        if day_first or first > 12:
            yield from _day(match, year, second, first)
        elif second > 12:
            yield from _day(match, year, first, second)


def _day(match: re.Match[str], year: int, month: int, day: int) -> Iterator[Day]:
    try:
        yield Day(*match.span(), dt.date(year, month, day).isoformat())
    except ValueError:
        # The 31st of February, month 13.
        return
