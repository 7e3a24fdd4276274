"""Reads what stands for parts of the database: values are conditions, columns are shown, ranked, compared."""

from __future__ import annotations

from services.sql.language.words import listed, split_name, stem
from services.sql.linking.linking import Item
from services.sql.meaning.draft import Draft
from services.sql.meaning.frame import Filter, Ref, Term
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import SIZES

_SIZE_WORDS = frozenset(listed("largest biggest greatest smallest"))
_FURTHER = frozenset({"and", "then", "by", "also", "secondly", "next"})
_LACKING = ("without", "no", "have no", "without any", "do not have", "do not have any", "not have any")


class Mentions:
    """Reads the mentions of a question.

    Args:
        draft: The reading that they go into.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def read(self, mark: Mark, position: int) -> None:
        """What a mention is there for, by the words that wait."""
        draft = self._draft
        item = draft.choose(mark, position)
        if item.value is not None:
            self._read_value(item, position)
        elif item.column:
            self._read_column(item, position)
        else:
            self._read_table(item.table)

    def _read_value(self, item: Item, position: int) -> None:
        draft = self._draft
        draft.touch(item.table)
        self._unselect(item.ref, position)
        previous = draft.frame.filters[-1] if draft.frame.filters else None
        same = previous is not None and previous.ref == item.ref and previous.op == "="
        # "a laptop but not a monitor" is no choice between two.
        either = draft.either or bool(same and previous and not previous.negated and not draft.negated)
        op = {"starts": "starts", "ends": "ends", "contains": "contains"}.get(draft.like, "=")
        draft.frame.filters.append(
            Filter(
                item.ref,
                op,
                (item.value or "",),
                negated=draft.take_not(),
                joined_by_or=either and previous is not None,
            )
        )
        draft.either, draft.like, draft.last, draft.compare = False, "", None, None

    def _unselect(self, ref: Ref, position: int) -> None:
        """`city Hanoi`, `whose city is Hanoi`: the column just selected was the condition's."""
        draft = self._draft
        just_selected = bool(draft.frame.select) and draft.frame.select[-1] == Term(ref) and draft.last == ref
        if just_selected and not draft.marks[position - 1].is_sign("and", "group"):
            draft.frame.select.pop()

    def _read_column(self, item: Item, position: int) -> None:
        draft = self._draft
        ref = item.ref
        following = draft.next(position)
        draft.touch(ref[0])
        if draft.compared and draft.parts.numeric(ref):
            draft.add_comparison(ref)
        elif draft.negated and self._lacks(position):
            # "customers without email"
            draft.add_condition(Filter(ref, "null", negated=False))
        elif self._conditioned(ref, following):
            draft.last = ref
        elif draft.superlative or draft.popular:
            self._superlative(ref)
        elif self._sorts_further(position):
            draft.frame.then.append((Term(ref), draft.frame.descending))
            draft.order = False
        elif draft.order:
            self._set_order(Term(ref, draft.aggregate))
            draft.aggregate = ""
        elif draft.group and not draft.aggregate:
            self._add_group(Term(ref))
        elif draft.aggregate:
            self._add_aggregate(ref)
        else:
            self._add_select(ref)
        draft.last = ref

    def _lacks(self, position: int) -> bool:
        """Whether a column is what is missing: `without email`, and no value follows."""
        draft = self._draft
        before, after = draft.marks[position - 1], draft.next(position)
        if not before.is_sign("not") or before.words not in _LACKING or not draft.frame.tables:
            return False
        if after is not None and after.kind in ("number", "text", "mention"):
            return False
        draft.negated = False
        return True

    def _conditioned(self, ref: Ref, following: Mark | None) -> bool:
        """Whether a condition follows: then the column is not asked for."""
        draft = self._draft
        if following is None or draft.group or draft.order or draft.superlative:
            return False
        if following.is_sign("compare", "like"):
            return not draft.aggregate
        if following.kind in ("number", "text"):
            return not draft.aggregate
        if following.is_sign("not"):
            return draft.in_where
        return following.kind == "mention" and any(item.ref == ref and item.value for item in following.items)

    def _add_select(self, ref: Ref) -> None:
        draft = self._draft
        term = Term(ref)
        last = draft.frame.filters[-1] if draft.frame.filters else None
        if last is not None and last.ref == ref and (draft.last is None or last.against):
            # "from Duke college": the column names the value before it.
            return
        if term not in draft.frame.select:
            draft.frame.select.append(term)
        if draft.distinct:
            draft.frame.distinct, draft.distinct = True, False

    def _add_aggregate(self, ref: Ref) -> None:
        draft = self._draft
        aggregate = draft.aggregate
        if aggregate in ("SUM", "AVG") and not draft.parts.numeric(ref):
            self._add_select(ref)
        elif aggregate == "COUNT":
            table = draft.parts.table(ref[0])
            column = draft.parts.column(ref)
            if column is not None and column.numeric and ref[1] not in table.key_columns and not draft.distinct:
                # "the number of seats": a column that holds a number is the number.
                self._add_select(ref)
            else:
                draft.frame.select.append(Term(ref, "COUNT", distinct=True))
        else:
            draft.frame.select.append(Term(ref, aggregate))
        # "the average and maximum age" keeps the first until the column comes; "average price and stock" goes on.
        draft.aggregate, draft.distinct = "", False
        for earlier, term in enumerate(draft.frame.select):
            if term.ref == ("", ""):
                draft.frame.select[earlier] = Term(ref, term.aggregate)

    def _add_group(self, term: Term) -> None:
        draft = self._draft
        draft.group = False
        if term not in draft.frame.groups:
            draft.frame.groups.append(term)

    def _set_order(self, term: Term) -> None:
        draft = self._draft
        draft.order = False
        if draft.frame.order is None:
            draft.frame.order = term

    def _sorts_further(self, position: int) -> bool:
        """Whether a column is one more to sort by: `by city and name`, `by name, then by price`."""
        draft = self._draft
        order, marks = draft.frame.order, draft.marks
        before = next((mark for mark in reversed(marks[:position]) if mark.kind != "sign"), None)
        if order is None or draft.last != order.ref or draft.frame.limit is not None or before is None:
            return False
        between = {token.word for token in draft.tokens[before.end : marks[position].start] if token.word[:1].isalnum()}
        return bool(between) and between <= _FURTHER

    def _superlative(self, ref: Ref) -> None:
        """A superlative meets its column."""
        draft = self._draft
        words = draft.superlative.words if draft.superlative else ""
        counts = words in ("most", "fewest", "least") or words.endswith("number of")
        if draft.popular or (counts and not draft.parts.numeric(ref)):
            direction = draft.popular or (
                draft.superlative.sign.value if draft.superlative and draft.superlative.sign else "desc"
            )
            draft.frame.groups.append(Term(ref))
            self._add_select(ref)
            draft.rank(Term((ref[0], "*"), "COUNT"), direction)
        elif draft.superlative and draft.superlative.sign:
            if draft.superlative.sign.hints and not self._hint_fits(ref):
                self._add_select(ref)
                return
            draft.rank(
                Term(ref, draft.aggregate if draft.aggregate in ("AVG", "SUM") else ""),
                draft.superlative.sign.value,
            )
        draft.aggregate = ""

    def _hint_fits(self, ref: Ref) -> bool:
        """Whether an adjective is about this very column: `oldest age`."""
        draft = self._draft
        sign = draft.superlative.sign if draft.superlative else None
        words = set(map(stem, split_name(ref[1])))
        return sign is not None and any(stem(hint.lstrip("-")) in words for hint in sign.hints)

    def _read_table(self, table: str) -> None:
        draft = self._draft
        rows = (table, "*")
        if draft.negated and draft.frame.tables and table != draft.frame.tables[0]:
            draft.negated = False
            draft.frame.without.append(table)
            draft.last = None
            return
        draft.touch(table)
        if draft.compared and draft.frame.tables[0] != table:
            op = draft.operator
            draft.frame.having.append(Filter(rows, op, tuple(draft.compared), aggregate="COUNT"))
            draft.compare, draft.compared = None, []
        elif draft.aggregate == "COUNT":
            if draft.order:
                self._set_order(Term(rows, "COUNT"))
            elif Term(rows, "COUNT") not in draft.frame.select:
                draft.frame.select.append(Term(rows, "COUNT"))
            draft.aggregate, draft.distinct = "", False
        elif draft.popular:
            draft.frame.groups.append(Term(rows))
            draft.rank(Term(("", "*"), "COUNT"), draft.popular)
        elif draft.superlative:
            self._super_table(table)
        elif draft.group:
            self._add_group(Term(rows))
        else:
            draft.named_first = True
        draft.last = None

    def _super_table(self, table: str) -> None:
        """`the oldest customer`, `the most orders`."""
        draft = self._draft
        mark = draft.superlative
        assert mark is not None and mark.sign is not None
        sized = mark.words in _SIZE_WORDS and table == draft.frame.tables[0]
        ref = draft.parts.hinted(table, SIZES if sized else mark.sign.hints)
        if ref is not None and (ref[0] == table or not sized):
            descending = mark.sign.value == "desc"
            if ref[1].startswith("-"):
                ref, descending = (ref[0], ref[1][1:]), not descending
            draft.rank(Term(ref), "desc" if descending else "asc")
        elif (
            not mark.sign.hints
            and mark.words not in ("top", "first", "last", "best", "worst")
            and draft.frame.tables[0] != table
        ):
            draft.rank(Term((table, "*"), "COUNT"), mark.sign.value)
        elif mark.words in ("most", "fewest", "least") and draft.frame.select:
            # "which city has the most customers": their column counts them.
            draft.frame.groups += [term for term in draft.frame.select if not term.aggregate]
            draft.rank(Term((table, "*"), "COUNT"), mark.sign.value)
