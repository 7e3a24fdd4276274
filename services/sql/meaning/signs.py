"""Reads the words that steer a query: aggregates, comparisons, superlatives, orders, groups, negations."""

from __future__ import annotations

from services.sql.language.lexicon import Sign
from services.sql.linking.linking import computed
from services.sql.meaning.draft import Draft
from services.sql.meaning.frame import Filter, Term
from services.sql.meaning.marks import Mark


class Signs:
    """Reads the signs of a question.

    Args:
        draft: The reading that they go into.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def read(self, mark: Mark, position: int) -> None:
        """What a sign does now, or what it makes the next words wait for."""
        draft = self._draft
        sign = mark.sign
        assert sign is not None
        draft.signs[sign.kind] = mark
        following = draft.next(position)
        if sign.kind == "aggregate":
            self._read_aggregate(sign, following)
        elif sign.kind == "compare":
            draft.compare, draft.compared = mark, []
        elif sign.kind == "super":
            draft.superlative = mark
        elif sign.kind == "popular":
            draft.popular = sign.value
        elif sign.kind == "selling":
            draft.selling = mark
        elif sign.kind == "order":
            # "Sort the names by age": the order comes later.
            draft.order = mark.words != "sort" or bool(draft.frame.select)
        elif sign.kind == "alphabet":
            draft.frame.descending = False
            if draft.frame.select and draft.frame.order is None:
                draft.frame.order = Term(draft.frame.select[-1].ref)
            draft.order = draft.frame.order is None
        elif sign.kind == "direction":
            self._read_direction(mark)
        elif sign.kind == "group":
            draft.group = True
        elif sign.kind == "by":
            self._read_by(mark, following)
        elif sign.kind == "period":
            self._read_period_group(sign.value)
        elif sign.kind == "like":
            draft.like = sign.value
        else:
            self._read_small_sign(sign)

    def _read_direction(self, mark: Mark) -> None:
        """`descending`: of the column before it; of `by city and name descending`, both."""
        draft = self._draft
        down = mark.sign is not None and mark.sign.value == "desc"
        if draft.frame.then:
            draft.frame.then[-1] = draft.frame.then[-1][0], down
        if not draft.frame.then or "then" not in {token.word for token in draft.tokens[: mark.start]}:
            draft.frame.descending = down
        draft.order = draft.frame.order is None

    def _read_small_sign(self, sign: Sign) -> None:
        draft = self._draft
        if sign.kind == "not":
            draft.negated = True
        elif sign.kind == "distinct":
            draft.distinct = True
        elif sign.kind == "both":
            draft.frame.sets = "INTERSECT"
        elif sign.kind == "or":
            draft.either = True
        elif sign.kind == "everything":
            draft.frame.everything = True
        elif sign.kind == "where":
            draft.in_where = True
        elif sign.kind == "and" and draft.in_where and draft.compare is None:
            draft.last = None

    def _read_aggregate(self, sign: Sign, following: Mark | None) -> None:
        draft = self._draft
        if draft.compare and sign.value == "AVG" and draft.last:
            op = draft.compare.sign.value if draft.compare.sign else ">"
            draft.add_condition(Filter(draft.last, op, against="AVG"))
            return
        if draft.compared or (draft.aggregate not in ("", "COUNT") and sign.value == "COUNT"):
            # "more than 5 total horses", "the average number of horses": the word belongs to the column.
            return
        if draft.aggregate and following is not None and draft.aggregate != "COUNT":
            # "average and maximum age": the first waits for the same column.
            draft.frame.select.append(Term(("", ""), draft.aggregate))
        draft.aggregate = sign.value

    def _read_by(self, mark: Mark, following: Mark | None) -> None:
        """`by` groups after an aggregate and sorts otherwise; after a participle (`written by`) it does neither."""
        draft = self._draft
        before = draft.tokens[mark.start - 1].word if mark.start else ""
        named = following is None or following.kind != "mention" or following.items[0].value is not None
        if named or before.endswith(("ed", "en", "ght", "made")):
            return
        if any(term.aggregate or computed(term.ref[1]) for term in draft.frame.select):
            draft.group = True
        elif not (draft.superlative or draft.aggregate):
            draft.order = True
        if draft.superlative and draft.limit:
            draft.group = False

    def _read_period_group(self, period: str) -> None:
        draft = self._draft
        ref = draft.temporal()
        if ref:
            draft.frame.groups.append(Term(ref, period=period))
