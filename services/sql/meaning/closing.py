"""The end of a reading: what still waits finds what it acts on, or is loose."""

from __future__ import annotations

from services.sql.language.words import listed
from services.sql.meaning.draft import Draft
from services.sql.meaning.frame import Term
from services.sql.meaning.parts import DEEDS, SELLING, display_columns, doubtful

_GENERAL_SUPERS = frozenset(listed("highest largest biggest greatest lowest smallest most least best worst top"))


class Closing:
    """Finishes the reading of a question.

    Args:
        draft: The reading when every mark is read.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def finish(self) -> None:
        """Decides what is still open."""
        draft = self._draft
        frame = draft.frame
        frame.select = [term for term in frame.select if term.ref != ("", "")]
        self._finish_selling()
        if draft.superlative and draft.superlative.sign and frame.order is None and frame.tables:
            self._late_superlative()
        if draft.popular and frame.tables:
            target = frame.select[-1] if frame.select else Term((frame.tables[0], "*"))
            frame.groups.append(target)
            draft.rank(Term((target.ref[0], "*"), "COUNT"), draft.popular)
        if draft.aggregate == "COUNT" and not frame.select and frame.tables:
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        self._finish_sold()
        if draft.order and frame.order is None and not frame.select and frame.tables:
            names = display_columns(draft.parts.table(frame.tables[0]))
            frame.order = Term((frame.tables[0], names[0])) if names else None
        elif draft.order and frame.order is None and frame.select:
            frame.order = Term(frame.select[0].ref, frame.select[0].aggregate)
        if draft.limit and frame.limit is None:
            frame.limit = draft.limit
        if draft.aggregate == "COUNT" and frame.select and not any(t.aggregate for t in frame.select) and draft.group:
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        if frame.groups and not frame.select and frame.order is None and not frame.having and frame.tables:
            # "orders per city": how many of them.
            frame.select.append(Term((frame.tables[0], "*"), "COUNT"))
        self._superlative_alone()
        pending = {
            "aggregate": draft.aggregate not in ("", "COUNT"), "super": draft.superlative, "compare": draft.compare,
            "not": draft.negated, "like": draft.like,
        }  # fmt: skip
        draft.loose += [draft.signs[kind] for kind, waits in pending.items() if waits and kind in draft.signs]
        draft.loose += doubtful(draft.frame, draft.marks, draft.parts)

    def _finish_selling(self) -> None:
        """`best selling`: by how many pieces were sold, and for each of what."""
        draft = self._draft
        frame = draft.frame
        if draft.selling is None or draft.selling.sign is None:
            return
        sold = draft.parts.sold()
        other = draft.superlative is not None and draft.superlative.words != "top"
        if sold is None or not frame.tables or draft.aggregate or other:
            draft.loose.append(draft.selling)
            return
        frame.groups.append(frame.select[-1] if frame.select else Term((frame.tables[0], "*")))
        draft.rank(Term(sold, "SUM"), draft.selling.sign.value)

    def _finish_sold(self) -> None:
        """`sold` beside a count or a negation: how many pieces of a product, which were never."""
        draft = self._draft
        frame = draft.frame
        main = frame.tables[0] if frame.tables else ""
        said = {token.word for token in draft.tokens}
        if not main:
            return
        if draft.negated and not frame.filters and said & DEEDS and draft.parts.deeds(main):
            frame.without.append(draft.parts.deeds(main))
            draft.negated = False
        elif said & SELLING and frame.select == [Term((main, "*"), "COUNT")] and not (frame.without or frame.groups):
            # "How many laptops did we sell" asks for pieces, not for the kinds of them.
            sold = draft.parts.sold(main) if draft.parts.priced(main) else None
            if sold is not None and not draft.negated:
                frame.select = [Term(sold, "SUM")]

    def _late_superlative(self) -> None:
        """A superlative whose column came first: `orders by price, highest`, `product with price highest`."""
        draft = self._draft
        mark, frame = draft.superlative, draft.frame
        assert mark is not None and mark.sign is not None
        hinted = draft.parts.hinted(frame.tables[0], mark.sign.hints)
        if hinted:
            descending = (mark.sign.value == "desc") != hinted[1].startswith("-")
            draft.rank(Term((hinted[0], hinted[1].lstrip("-"))), "desc" if descending else "asc")
        elif draft.last and draft.parts.numeric(draft.last):
            draft.unselect(draft.last)
            draft.rank(Term(draft.last), mark.sign.value)

    def _superlative_alone(self) -> None:
        """`what is the highest salary`: nothing else is asked for, so the value itself is."""
        draft = self._draft
        frame = draft.frame
        order = frame.order
        if (
            order is not None and not order.aggregate and frame.limit == 1 and not frame.select and not frame.groups
            and not draft.named_first and draft.parts.numeric(order.ref) and self._was_general()
        ):  # fmt: skip
            frame.select = [Term(order.ref, "MAX" if frame.descending else "MIN")]
            frame.order = frame.limit = None

    def _was_general(self) -> bool:
        draft = self._draft
        return any(mark.is_sign("super") and mark.words in _GENERAL_SUPERS for mark in draft.marks)
