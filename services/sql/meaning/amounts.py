"""Reads numbers, quoted texts, days and periods: what a condition compares with, and how many rows are asked for."""

from __future__ import annotations

import re
from dataclasses import replace

from services.sql.language.lexicon import Sign
from services.sql.language.words import split_name
from services.sql.linking.linking import computed
from services.sql.meaning.draft import Draft
from services.sql.meaning.frame import Filter
from services.sql.meaning.marks import Mark


class Amounts:
    """Reads the numbers, texts and periods of a question.

    Args:
        draft: The reading that they go into.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def read(self, mark: Mark, position: int) -> None:
        """The condition or the limit that a number, a text or a period makes; `loose` where it finds no column."""
        if mark.kind == "number":
            self._read_number(mark, position)
        elif mark.kind == "text":
            self._read_text(mark)
        else:
            self._read_period(mark)

    def _read_number(self, mark: Mark, position: int) -> None:
        draft = self._draft
        following = draft.next(position)
        previous = draft.marks[position - 1] if position else None
        sure = mark.number.is_integer() and 0 < mark.number < 1000
        if draft.compare is not None:
            self._compare_with(mark.number, following)
        elif sure and (
            (previous and previous.is_sign("super", "popular")) or (following and following.is_sign("super", "popular"))
        ):
            draft.limit = int(mark.number)
        elif previous and previous.is_sign("and", "or") and self._listed_number(mark.number, previous):
            return
        elif sure and following and any(not item.column for item in following.items) and not draft.frame.tables:
            # "5 customers": so many of them.
            draft.limit = int(mark.number)
        elif previous and self._is_foreign_year(mark):
            draft.loose.append(mark)
        elif (draft.last is not None and draft.parts.numeric(draft.last)) or (
            draft.last and previous and previous.kind == "mention"
        ):
            draft.unselect(draft.last)
            draft.add_condition(Filter(draft.last, "=", (mark.number,)))
        else:
            draft.loose.append(mark)

    def _is_foreign_year(self, mark: Mark) -> bool:
        """Whether a number reads as a year, but would be compared with an amount: `price in 2025`."""
        draft = self._draft
        before = draft.tokens[mark.start - 1].word if mark.start else ""
        column = "" if draft.last is None else draft.last[1]
        amount = before in ("in", "year", "and") and "year" not in split_name(column)
        return _is_year(mark.number) and (computed(column) or amount)

    def _listed_number(self, number: float, previous: Mark) -> bool:
        """`in 1999 or 2000`: one more value of the condition before."""
        draft = self._draft
        last = draft.frame.filters[-1] if draft.frame.filters else None
        if last is None or last.op != "=" or not isinstance(last.values[0], float):
            return False
        either = previous.is_sign("or") or not draft.frame.sets
        draft.frame.filters.append(Filter(last.ref, "=", (number,), joined_by_or=either))
        draft.either = False
        return True

    def _compare_with(self, number: float, following: Mark | None) -> None:
        draft = self._draft
        compare = draft.compare
        assert compare is not None and compare.sign is not None
        draft.compared.append(number)
        op = compare.sign.value
        if following is not None and following.is_sign("compare") and following.words in ("or more", "or less"):
            op = following.sign.value if following.sign else op
            draft.compare = replace(compare, sign=Sign("compare", op))
        if op == "between" and len(draft.compared) < 2:
            return
        main = draft.frame.tables[0] if draft.frame.tables else None
        hinted = draft.parts.hinted(main, compare.sign.hints) if main and compare.sign.hints else None
        if hinted and not hinted[1].startswith("-"):
            draft.add_comparison(hinted)
        elif draft.last is not None and (
            draft.parts.numeric(draft.last) or not following or following.kind != "mention"
        ):
            draft.add_comparison(draft.last)
        elif op == "between" and all(_is_year(value) for value in draft.compared):
            self._between_years()

    def _between_years(self) -> None:
        """`races held between 2009 and 2011`: nothing else is named that the numbers could be about."""
        draft = self._draft
        own = draft.parts.year_column(draft.frame.tables, others=False)
        if own is not None and draft.parts.numeric(own):
            draft.add_comparison(own)
        elif (ref := draft.temporal()) is not None:
            first, last = sorted(f"{value:.0f}" for value in draft.compared if isinstance(value, float))
            draft.compared = []
            draft.add_condition(Filter(ref, "period >=", (first,)))
            draft.add_condition(Filter(ref, "period <=", (last,)))

    def _read_text(self, mark: Mark) -> None:
        """A quoted text that is no known value, or a date."""
        draft = self._draft
        text = mark.text
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            self._read_date(mark)
            return
        ref = draft.last or draft.parts.text_column(draft.frame.tables or draft.mentioned)
        if ref is None:
            draft.loose.append(mark)
            return
        draft.unselect(ref)
        draft.add_condition(Filter(ref, draft.like or "=", (text,)))
        draft.like = ""

    def _read_date(self, mark: Mark) -> None:
        """A day; `between` waits for the second one."""
        draft = self._draft
        ref = draft.last if draft.last and draft.parts.is_temporal(draft.last) else draft.temporal()
        op = draft.operator
        if ref is None:
            draft.loose.append(mark)
            return
        draft.compared.append(mark.text)
        if op == "between" and len(draft.compared) < 2:
            return
        draft.add_condition(Filter(ref, op, tuple(draft.compared)))
        draft.compared = []

    def _read_period(self, mark: Mark) -> None:
        draft = self._draft
        op = draft.operator
        year = mark.text[:4]
        ref = draft.temporal()
        if draft.last and draft.parts.numeric(draft.last) and (ref is None or "year" in split_name(draft.last[1])):
            ref = draft.last
        own = draft.parts.year_column(draft.frame.tables, others=False) if mark.text.isdigit() else None
        if own is not None and ref is not None and ref[0] not in draft.frame.tables:
            # "movies made before 2000": their own year, not the date of their ratings.
            ref = own
        if ref is None or not draft.parts.is_temporal(ref):
            ref = ref or draft.parts.year_column(draft.near())
            if ref is None or not year.isdigit():
                draft.loose.append(mark)
                return
            draft.unselect(ref)
            draft.add_condition(Filter(ref, op, (float(year),)))
            return
        draft.unselect(ref)
        draft.add_condition(Filter(ref, f"period {op}", (mark.text,)))


def _is_year(value: str | float) -> bool:
    return isinstance(value, float) and value.is_integer() and 1900 <= value <= 2100
