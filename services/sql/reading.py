"""Reads a question into a frame: walks its marks from left to right and decides what each reference is for."""

from __future__ import annotations

import re
from dataclasses import replace

from services.sql.choice import Chooser, Situation
from services.sql.frame import Filter, Frame, Ref, Term
from services.sql.lexicon import Sign
from services.sql.linking import Item, computed
from services.sql.marks import Mark
from services.sql.parts import SIZES, display_columns, doubtful
from services.sql.words import listed, split_name, stem

_SIZE_WORDS = frozenset(listed("largest biggest greatest smallest"))
_LACKING = ("without", "no", "have no", "without any", "do not have", "do not have any", "not have any")
_SELLING = frozenset(listed("sold sell sells"))
_DEEDS = _SELLING | frozenset(listed("ordered order bought buy purchased purchase"))
"""What is done with products."""
_GENERAL_SUPERS = frozenset(listed("highest largest biggest greatest lowest smallest most least best worst top"))


class Reader:
    """Reads one question, once.

    Args:
        chooser: Chooses what the question's mentions stand for; it holds the question.
    """

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self._parts = chooser.parts
        self._marks = chooser.marks
        self._tokens = chooser.tokens
        self.frame = Frame()
        self.loose: list[Mark] = []
        """Words that steer a query or hold a value, and found nothing to act on: the reading is then likely wrong."""
        self._signs: dict[str, Mark] = {}
        """The last sign of each kind."""
        self._aggregate = ""
        self._super: Mark | None = None
        self._popular = ""
        self._selling: Mark | None = None
        self._order = self._group = self._negated = self._or = self._distinct = False
        self._compare: Mark | None = None
        self._compare_number: list[str | float] = []
        self._like = ""
        self._limit: int | None = None
        self._last: Ref | None = None
        self._in_where = False
        self._entity_before_super = False

    def read(self) -> Frame:
        """The frame of the question."""
        for position, mark in enumerate(self._marks):
            if mark.kind == "mention":
                self._read_mention(mark, position)
            elif mark.kind == "sign":
                self._read_sign(mark, position)
            elif mark.kind == "number":
                self._read_number(mark, position)
            elif mark.kind == "text":
                self._read_text(mark)
            else:
                self._read_period(mark)
        self._finish()
        return self.frame

    def _situation(self) -> Situation:
        return Situation(self.frame.tables, self._last, self._order, self._group)

    def _near(self) -> list[str]:
        """The tables that the question is about, and those that it mentions later."""
        return [*self.frame.tables, *self._chooser.mentioned]

    def _touch(self, table: str) -> None:
        if table not in self.frame.tables:
            self.frame.tables.append(table)

    def _next(self, position: int) -> Mark | None:
        return self._marks[position + 1] if position + 1 < len(self._marks) else None

    # Mentions.

    def _read_mention(self, mark: Mark, position: int) -> None:
        item = self._chooser.choose(mark, position, self._situation())
        if item.value is not None:
            self._read_value(item, position)
        elif item.column:
            self._read_column(item, position)
        else:
            self._read_table(item.table)

    def _read_value(self, item: Item, position: int) -> None:
        self._touch(item.table)
        self._unselect(item.ref, position)
        previous = self.frame.filters[-1] if self.frame.filters else None
        same = previous is not None and previous.ref == item.ref and previous.op == "="
        # "a laptop but not a monitor" is no choice between two.
        either = self._or or bool(same and previous and not previous.negated and not self._negated)
        op = {"starts": "starts", "ends": "ends", "contains": "contains"}.get(self._like, "=")
        self.frame.filters.append(
            Filter(
                item.ref,
                op,
                (item.value or "",),
                negated=self._take_not(),
                joined_by_or=either and previous is not None,
            )
        )
        self._or, self._like, self._last, self._compare = False, "", None, None

    def _unselect(self, ref: Ref, position: int) -> None:
        """`city Hanoi`, `whose city is Hanoi`: the column just selected was the condition's."""
        just_selected = bool(self.frame.select) and self.frame.select[-1] == Term(ref) and self._last == ref
        if just_selected and not self._marks[position - 1].is_sign("and", "group"):
            self.frame.select.pop()

    def _take_not(self) -> bool:
        negated, self._negated = self._negated, False
        return negated

    def _read_column(self, item: Item, position: int) -> None:
        ref = item.ref
        following = self._next(position)
        self._touch(ref[0])
        if self._compare_number and self._parts.numeric(ref):
            self._add_compare(ref)
        elif self._negated and self._lacks(position):
            # "customers without email"
            self._add_filter(Filter(ref, "null", negated=False))
        elif self._conditioned(ref, following):
            self._last = ref
        elif self._super or self._popular:
            self._superlative(ref)
        elif self._order:
            self._set_order(Term(ref, self._aggregate))
            self._aggregate = ""
        elif self._group and not self._aggregate:
            self._add_group(Term(ref))
        elif self._aggregate:
            self._add_aggregate(ref)
        else:
            self._add_select(ref)
        self._last = ref

    def _lacks(self, position: int) -> bool:
        """Whether a column is what is missing: `without email`, and no value follows."""
        before, after = self._marks[position - 1], self._next(position)
        if not before.is_sign("not") or before.words not in _LACKING or not self.frame.tables:
            return False
        if after is not None and after.kind in ("number", "text", "mention"):
            return False
        self._negated = False
        return True

    def _conditioned(self, ref: Ref, following: Mark | None) -> bool:
        """Whether a condition follows: then the column is not asked for."""
        if following is None or self._group or self._order or self._super:
            return False
        if following.is_sign("compare", "like"):
            return not self._aggregate
        if following.kind in ("number", "text"):
            return not self._aggregate
        if following.is_sign("not"):
            return self._in_where
        return following.kind == "mention" and any(item.ref == ref and item.value for item in following.items)

    def _add_select(self, ref: Ref) -> None:
        term = Term(ref)
        last = self.frame.filters[-1] if self.frame.filters else None
        if last is not None and last.ref == ref and (self._last is None or last.against):
            # "from Duke college": the column names the value before it.
            return
        if term not in self.frame.select:
            self.frame.select.append(term)
        if self._distinct:
            self.frame.distinct, self._distinct = True, False

    def _add_aggregate(self, ref: Ref) -> None:
        aggregate = self._aggregate
        if aggregate in ("SUM", "AVG") and not self._parts.numeric(ref):
            self._add_select(ref)
        elif aggregate == "COUNT":
            table = self._parts.table(ref[0])
            column = self._parts.column(ref)
            if column is not None and column.numeric and ref[1] not in table.key_columns and not self._distinct:
                # "the number of seats": a column that holds a number is the number.
                self._add_select(ref)
            else:
                self.frame.select.append(Term(ref, "COUNT", distinct=True))
        else:
            self.frame.select.append(Term(ref, aggregate))
        # "the average and maximum age" keeps the first until the column comes; "average price and stock" goes on.
        self._aggregate, self._distinct = "", False
        for earlier, term in enumerate(self.frame.select):
            if term.ref == ("", ""):
                self.frame.select[earlier] = Term(ref, term.aggregate)

    def _add_group(self, term: Term) -> None:
        self._group = False
        if term not in self.frame.groups:
            self.frame.groups.append(term)

    def _set_order(self, term: Term) -> None:
        self._order = False
        if self.frame.order is None:
            self.frame.order = term

    def _superlative(self, ref: Ref) -> None:
        """A superlative meets its column."""
        words = self._super.words if self._super else ""
        counts = words in ("most", "fewest", "least") or words.endswith("number of")
        if self._popular or (counts and not self._parts.numeric(ref)):
            direction = self._popular or (self._super.sign.value if self._super and self._super.sign else "desc")
            self.frame.groups.append(Term(ref))
            self._add_select(ref)
            self._rank(Term((ref[0], "*"), "COUNT"), direction)
        elif self._super and self._super.sign:
            if self._super.sign.hints and not self._hint_fits(ref):
                self._add_select(ref)
                return
            self._rank(Term(ref, self._aggregate if self._aggregate in ("AVG", "SUM") else ""), self._super.sign.value)
        self._aggregate = ""

    def _hint_fits(self, ref: Ref) -> bool:
        """Whether an adjective is about this very column: `oldest age`."""
        sign = self._super.sign if self._super else None
        words = set(map(stem, split_name(ref[1])))
        return sign is not None and any(stem(hint.lstrip("-")) in words for hint in sign.hints)

    def _rank(self, term: Term, direction: str) -> None:
        self.frame.order = term
        self.frame.descending = direction == "desc"
        self.frame.limit = self._limit or 1
        self._limit = None
        self._super, self._popular = None, ""

    def _read_table(self, table: str) -> None:
        rows = (table, "*")
        if self._negated and self.frame.tables and table != self.frame.tables[0]:
            self._negated = False
            self.frame.without.append(table)
            self._last = None
            return
        self._touch(table)
        if self._compare_number and self.frame.tables[0] != table:
            op = self._compare.sign.value if self._compare and self._compare.sign else "="
            self.frame.having.append(Filter(rows, op, tuple(self._compare_number), aggregate="COUNT"))
            self._compare, self._compare_number = None, []
        elif self._aggregate == "COUNT":
            if self._order:
                self._set_order(Term(rows, "COUNT"))
            elif Term(rows, "COUNT") not in self.frame.select:
                self.frame.select.append(Term(rows, "COUNT"))
            self._aggregate, self._distinct = "", False
        elif self._popular:
            self.frame.groups.append(Term(rows))
            self._rank(Term(("", "*"), "COUNT"), self._popular)
        elif self._super:
            self._super_table(table)
        elif self._group:
            self._add_group(Term(rows))
        elif not self._super:
            self._entity_before_super = True
        self._last = None

    def _super_table(self, table: str) -> None:
        """`the oldest customer`, `the most orders`."""
        mark = self._super
        assert mark is not None and mark.sign is not None
        sized = mark.words in _SIZE_WORDS and table == self.frame.tables[0]
        ref = self._parts.hinted(table, SIZES if sized else mark.sign.hints)
        if ref is not None and (ref[0] == table or not sized):
            descending = mark.sign.value == "desc"
            if ref[1].startswith("-"):
                ref, descending = (ref[0], ref[1][1:]), not descending
            self._rank(Term(ref), "desc" if descending else "asc")
        elif (
            not mark.sign.hints
            and mark.words not in ("top", "first", "last", "best", "worst")
            and self.frame.tables[0] != table
        ):
            self._rank(Term((table, "*"), "COUNT"), mark.sign.value)
        elif mark.words in ("most", "fewest", "least") and self.frame.select:
            # "which city has the most customers": their column counts them.
            self.frame.groups += [term for term in self.frame.select if not term.aggregate]
            self._rank(Term((table, "*"), "COUNT"), mark.sign.value)

    # Signs.

    def _read_sign(self, mark: Mark, position: int) -> None:
        sign = mark.sign
        assert sign is not None
        self._signs[sign.kind] = mark
        following = self._next(position)
        if sign.kind == "aggregate":
            self._read_aggregate(sign, following)
        elif sign.kind == "compare":
            self._compare, self._compare_number = mark, []
        elif sign.kind == "super":
            self._super = mark
        elif sign.kind == "popular":
            self._popular = sign.value
        elif sign.kind == "selling":
            self._selling = mark
        elif sign.kind == "order":
            # "Sort the names by age": the order comes later.
            self._order = mark.words != "sort" or bool(self.frame.select)
        elif sign.kind == "alphabet":
            self.frame.descending = False
            if self.frame.select and self.frame.order is None:
                self.frame.order = Term(self.frame.select[-1].ref)
            self._order = self.frame.order is None
        elif sign.kind == "direction":
            self.frame.descending = sign.value == "desc"
            self._order = self.frame.order is None
        elif sign.kind == "group":
            self._group = True
        elif sign.kind == "by":
            self._read_by(mark, following)
        elif sign.kind == "period":
            self._read_period_group(sign.value)
        elif sign.kind == "like":
            self._like = sign.value
        else:
            self._read_small_sign(sign)

    def _read_small_sign(self, sign: Sign) -> None:
        if sign.kind == "not":
            self._negated = True
        elif sign.kind == "distinct":
            self._distinct = True
        elif sign.kind == "both":
            self.frame.sets = "INTERSECT"
        elif sign.kind == "or":
            self._or = True
        elif sign.kind == "everything":
            self.frame.everything = True
        elif sign.kind == "where":
            self._in_where = True
        elif sign.kind == "and" and self._in_where and self._compare is None:
            self._last = None

    def _read_aggregate(self, sign: Sign, following: Mark | None) -> None:
        if self._compare and sign.value == "AVG" and self._last:
            op = self._compare.sign.value if self._compare.sign else ">"
            self._add_filter(Filter(self._last, op, against="AVG"))
            return
        if self._compare_number or (self._aggregate not in ("", "COUNT") and sign.value == "COUNT"):
            # "more than 5 total horses", "the average number of horses": the word belongs to the column.
            return
        if self._aggregate and following is not None and self._aggregate != "COUNT":
            # "average and maximum age": the first waits for the same column.
            self.frame.select.append(Term(("", ""), self._aggregate))
        self._aggregate = sign.value

    def _read_by(self, mark: Mark, following: Mark | None) -> None:
        """`by` groups after an aggregate and sorts otherwise; after a participle (`written by`) it does neither."""
        before = self._tokens[mark.start - 1].word if mark.start else ""
        named = following is None or following.kind != "mention" or following.items[0].value is not None
        if named or before.endswith(("ed", "en", "ght", "made")):
            return
        if any(term.aggregate or computed(term.ref[1]) for term in self.frame.select):
            self._group = True
        elif not (self._super or self._aggregate):
            self._order = True
        if self._super and self._limit:
            self._group = False

    def _read_period_group(self, period: str) -> None:
        ref = self._temporal()
        if ref:
            self.frame.groups.append(Term(ref, period=period))

    # Numbers, texts, periods.

    def _read_number(self, mark: Mark, position: int) -> None:
        following = self._next(position)
        previous = self._marks[position - 1] if position else None
        sure = mark.number.is_integer() and 0 < mark.number < 1000
        if self._compare is not None:
            self._compare_with(mark.number, following)
        elif sure and (
            (previous and previous.is_sign("super", "popular")) or (following and following.is_sign("super", "popular"))
        ):
            self._limit = int(mark.number)
        elif previous and previous.is_sign("and", "or") and self._listed_number(mark.number, previous):
            return
        elif sure and following and any(not item.column for item in following.items) and not self.frame.tables:
            # "5 customers": so many of them.
            self._limit = int(mark.number)
        elif previous and self._is_foreign_year(mark):
            self.loose.append(mark)
        elif (self._last is not None and self._parts.numeric(self._last)) or (
            self._last and previous and previous.kind == "mention"
        ):
            self._unselect_number(self._last)
            self._add_filter(Filter(self._last, "=", (mark.number,)))
        else:
            self.loose.append(mark)

    def _is_foreign_year(self, mark: Mark) -> bool:
        """Whether a number reads as a year, but would be compared with an amount: `price in 2025`."""
        before = self._tokens[mark.start - 1].word if mark.start else ""
        column = "" if self._last is None else self._last[1]
        year = mark.number.is_integer() and 1900 <= mark.number <= 2100
        return year and (computed(column) or (before in ("in", "year", "and") and "year" not in split_name(column)))

    def _listed_number(self, number: float, previous: Mark) -> bool:
        """`in 1999 or 2000`: one more value of the condition before."""
        last = self.frame.filters[-1] if self.frame.filters else None
        if last is None or last.op != "=" or not isinstance(last.values[0], float):
            return False
        either = previous.is_sign("or") or not self.frame.sets
        self.frame.filters.append(Filter(last.ref, "=", (number,), joined_by_or=either))
        self._or = False
        return True

    def _unselect_number(self, ref: Ref) -> None:
        if self.frame.select and self.frame.select[-1] == Term(ref):
            self.frame.select.pop()

    def _compare_with(self, number: float, following: Mark | None) -> None:
        compare = self._compare
        assert compare is not None and compare.sign is not None
        self._compare_number.append(number)
        op = compare.sign.value
        if following is not None and following.is_sign("compare") and following.words in ("or more", "or less"):
            op = following.sign.value if following.sign else op
            self._compare = replace(compare, sign=Sign("compare", op))
        if op == "between" and len(self._compare_number) < 2:
            return
        main = self.frame.tables[0] if self.frame.tables else None
        hinted = self._parts.hinted(main, compare.sign.hints) if main and compare.sign.hints else None
        if hinted and not hinted[1].startswith("-"):
            self._add_compare(hinted)
        elif self._last is not None and (
            self._parts.numeric(self._last) or not following or following.kind != "mention"
        ):
            self._add_compare(self._last)

    def _add_compare(self, ref: Ref) -> None:
        op = self._compare.sign.value if self._compare and self._compare.sign else "="
        self._unselect_number(ref)
        aggregated = [term for term in self.frame.select if term.ref == ref and term.aggregate]
        if aggregated and self._in_where:
            self.frame.select.remove(aggregated[-1])
            numbers = tuple(self._compare_number)
            self.frame.having.append(Filter(ref, op, numbers, aggregate=aggregated[-1].aggregate))
        else:
            self._add_filter(Filter(ref, op, tuple(self._compare_number)))
        self._compare, self._compare_number = None, []

    def _add_filter(self, found: Filter) -> None:
        self._touch(found.ref[0])
        either = self._or and bool(self.frame.filters)
        self.frame.filters.append(replace(found, negated=self._take_not(), joined_by_or=either))
        self._or = False
        self._compare = None

    def _read_text(self, mark: Mark) -> None:
        """A quoted text that is no known value, or a date."""
        text = mark.text
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            self._read_date(mark)
            return
        ref = self._last or self._parts.text_column(self.frame.tables or list(self._chooser.mentioned))
        if ref is None:
            self.loose.append(mark)
            return
        self._unselect_number(ref)
        self._add_filter(Filter(ref, self._like or "=", (text,)))
        self._like = ""

    def _read_date(self, mark: Mark) -> None:
        """A day; `between` waits for the second one."""
        ref = self._last if self._last and self._parts.is_temporal(self._last) else self._temporal()
        op = self._compare.sign.value if self._compare and self._compare.sign else "="
        if ref is None:
            self.loose.append(mark)
            return
        self._compare_number.append(mark.text)
        if op == "between" and len(self._compare_number) < 2:
            return
        self._add_filter(Filter(ref, op, tuple(self._compare_number)))
        self._compare_number = []

    def _temporal(self) -> Ref | None:
        """The date column that a period is about: nearest to what is measured or counted."""
        measures = [item.table for mark in self._marks for item in mark.items[:1] if computed(item.column)]
        measures += [term.ref[0] for term in self.frame.select if term.aggregate and term.ref[0]]
        return self._parts.temporal(self._near(), measures[0] if measures else "")

    def _read_period(self, mark: Mark) -> None:
        op = self._compare.sign.value if self._compare and self._compare.sign else "="
        year = mark.text[:4]
        ref = self._temporal()
        if self._last and self._parts.numeric(self._last) and (ref is None or "year" in split_name(self._last[1])):
            ref = self._last
        if ref is None or not self._parts.is_temporal(ref):
            ref = ref or self._parts.year_column(self._near())
            if ref is None or not year.isdigit():
                self.loose.append(mark)
                return
            self._unselect_number(ref)
            self._add_filter(Filter(ref, op, (float(year),)))
            return
        self._unselect_number(ref)
        self._add_filter(Filter(ref, f"period {op}", (mark.text,)))

    # The end.

    def _finish(self) -> None:
        """Decides what is still open."""
        frame = self.frame
        frame.select = [term for term in frame.select if term.ref != ("", "")]
        self._finish_selling()
        if self._super and self._super.sign and frame.order is None and frame.tables:
            self._late_superlative()
        if self._popular and frame.tables:
            target = frame.select[-1] if frame.select else Term((frame.tables[0], "*"))
            frame.groups.append(target)
            self._rank(Term((target.ref[0], "*"), "COUNT"), self._popular)
        if self._aggregate == "COUNT" and not frame.select and frame.tables:
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        self._finish_sold()
        if self._order and frame.order is None and not frame.select and frame.tables:
            names = display_columns(self._parts.table(frame.tables[0]))
            frame.order = Term((frame.tables[0], names[0])) if names else None
        elif self._order and frame.order is None and frame.select:
            frame.order = Term(frame.select[0].ref, frame.select[0].aggregate)
        if self._limit and frame.limit is None:
            frame.limit = self._limit
        if self._aggregate == "COUNT" and frame.select and not any(t.aggregate for t in frame.select) and self._group:
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        if frame.groups and not frame.select and frame.order is None and not frame.having and frame.tables:
            # "orders per city": how many of them.
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        self._superlative_alone()
        pending = {
            "aggregate": self._aggregate not in ("", "COUNT"), "super": self._super, "compare": self._compare,
            "not": self._negated, "like": self._like,
        }  # fmt: skip
        self.loose += [self._signs[kind] for kind, waits in pending.items() if waits and kind in self._signs]
        self.loose += doubtful(self.frame, self._marks, self._parts)

    def _finish_selling(self) -> None:
        """`best selling`: by how many pieces were sold, and for each of what."""
        frame = self.frame
        if self._selling is None or self._selling.sign is None:
            return
        sold = self._parts.sold()
        other = self._super is not None and self._super.words != "top"
        if sold is None or not frame.tables or self._aggregate or other:
            self.loose.append(self._selling)
            return
        frame.groups.append(frame.select[-1] if frame.select else Term((frame.tables[0], "*")))
        self._rank(Term(sold, "SUM"), self._selling.sign.value)

    def _finish_sold(self) -> None:
        """`sold` beside a count or a negation: how many pieces of a product, which were never."""
        frame = self.frame
        main = frame.tables[0] if frame.tables else ""
        said = {token.word for token in self._tokens}
        if not main:
            return
        if self._negated and not frame.filters and said & _DEEDS and self._parts.deeds(main):
            frame.without.append(self._parts.deeds(main))
            self._negated = False
        elif said & _SELLING and frame.select == [Term((main, "*"), "COUNT")] and not (frame.without or frame.groups):
            # "How many laptops did we sell" asks for pieces, not for the kinds of them.
            sold = self._parts.sold(main) if self._parts.priced(main) else None
            if sold is not None and not self._negated:
                frame.select = [Term(sold, "SUM")]

    def _late_superlative(self) -> None:
        """A superlative whose column came first: `orders by price, highest`, `product with price highest`."""
        mark, frame = self._super, self.frame
        assert mark is not None and mark.sign is not None
        hinted = self._parts.hinted(frame.tables[0], mark.sign.hints)
        if hinted:
            descending = (mark.sign.value == "desc") != hinted[1].startswith("-")
            self._rank(Term((hinted[0], hinted[1].lstrip("-"))), "desc" if descending else "asc")
        elif self._last and self._parts.numeric(self._last):
            self._unselect_number(self._last)
            self._rank(Term(self._last), mark.sign.value)

    def _superlative_alone(self) -> None:
        """`what is the highest salary`: nothing else is asked for, so the value itself is."""
        frame = self.frame
        order = frame.order
        if (
            order is not None and not order.aggregate and frame.limit == 1 and not frame.select and not frame.groups
            and not self._entity_before_super and self._parts.numeric(order.ref) and self._was_general()
        ):  # fmt: skip
            frame.select = [Term(order.ref, "MAX" if frame.descending else "MIN")]
            frame.order = frame.limit = None

    def _was_general(self) -> bool:
        return any(mark.is_sign("super") and mark.words in _GENERAL_SUPERS for mark in self._marks)
