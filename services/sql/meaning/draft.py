"""A reading while it is made: the frame so far, and the words that wait for what they act on."""

from __future__ import annotations

from dataclasses import replace

from services.sql.linking.linking import Item, computed
from services.sql.meaning.choice import Chooser, Situation
from services.sql.meaning.frame import Filter, Frame, Ref, Term
from services.sql.meaning.marks import Mark


class Draft:
    """The reading of one question.

    Args:
        chooser: Chooses what the question's mentions stand for; it holds the question.
    """

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self.parts = chooser.parts
        self.marks = chooser.marks
        self.tokens = chooser.tokens
        self.frame = Frame()
        self.loose: list[Mark] = []
        """Words that steer a query or hold a value, and found nothing to act on: the reading is then likely wrong."""
        self.signs: dict[str, Mark] = {}
        """The last sign of each kind."""
        self.aggregate = ""
        """The aggregate that waits for its column."""
        self.superlative: Mark | None = None
        """The superlative that waits for what it ranks."""
        self.popular = ""
        """The direction of `most common` and its like, until what is counted comes."""
        self.selling: Mark | None = None
        self.order = self.group = self.negated = self.either = self.distinct = False
        self.compare: Mark | None = None
        """The comparison that waits for its column or its numbers."""
        self.compared: list[str | float] = []
        """Its numbers so far."""
        self.like = ""
        """How the next text is to be found in a value: contains, starts or ends."""
        self.limit: int | None = None
        self.last: Ref | None = None
        """The column that was mentioned last, while a condition may still be about it."""
        self.in_where = False
        self.named_first = False
        """Whether a table was named that no superlative is about."""

    @property
    def operator(self) -> str:
        """How the next condition compares."""
        return self.compare.sign.value if self.compare and self.compare.sign else "="

    def choose(self, mark: Mark, position: int) -> Item:
        """What a mention stands for here."""
        return self._chooser.choose(mark, position, Situation(self.frame.tables, self.last, self.order, self.group))

    @property
    def mentioned(self) -> list[str]:
        """The tables that the question mentions anywhere."""
        return list(self._chooser.mentioned)

    def near(self) -> list[str]:
        """The tables that the question is about, and those that it mentions later."""
        return [*self.frame.tables, *self.mentioned]

    def touch(self, table: str) -> None:
        """The question is about a table, too."""
        if table not in self.frame.tables:
            self.frame.tables.append(table)

    def next(self, position: int) -> Mark | None:
        """The mark after the one at a position."""
        return self.marks[position + 1] if position + 1 < len(self.marks) else None

    def take_not(self) -> bool:
        """Whether a negation waits; it then waits no longer."""
        negated, self.negated = self.negated, False
        return negated

    def unselect(self, ref: Ref) -> None:
        """A column that was shown last was only said for what is asked of it."""
        if self.frame.select and self.frame.select[-1] == Term(ref):
            self.frame.select.pop()

    def rank(self, term: Term, direction: str) -> None:
        """The first by a term, as a superlative asks; as many as a number before it says."""
        self.frame.order = term
        self.frame.descending = direction == "desc"
        self.frame.limit = self.limit or 1
        self.limit = None
        self.superlative, self.popular = None, ""

    def add_condition(self, found: Filter) -> None:
        """A condition, with the negation and the choice that wait for one."""
        self.touch(found.ref[0])
        either = self.either and bool(self.frame.filters)
        self.frame.filters.append(replace(found, negated=self.take_not(), joined_by_or=either))
        self.either = False
        self.compare = None

    def add_comparison(self, ref: Ref) -> None:
        """The comparison that waits for its column meets it."""
        op = self.operator
        self.unselect(ref)
        aggregated = [term for term in self.frame.select if term.ref == ref and term.aggregate]
        if aggregated and self.in_where:
            self.frame.select.remove(aggregated[-1])
            numbers = tuple(self.compared)
            self.frame.having.append(Filter(ref, op, numbers, aggregate=aggregated[-1].aggregate))
        else:
            self.add_condition(Filter(ref, op, tuple(self.compared)))
        self.compare, self.compared = None, []

    def temporal(self) -> Ref | None:
        """The date column that a period is about: nearest to what is measured or counted."""
        measures = [item.table for mark in self.marks for item in mark.items[:1] if computed(item.column)]
        measures += [term.ref[0] for term in self.frame.select if term.aggregate and term.ref[0]]
        return self._done() or self.parts.temporal(self.near(), measures[0] if measures else "")

    def _done(self) -> Ref | None:
        """The date of what the rows asked for did: of their orders in `how many customers ordered in 2025`."""
        main = next(iter(self.near()), "")
        dated = [ref for mark in self.marks for item in mark.items for ref in [item.ref] if item.column]
        if not main or any(ref[0] == main and self.parts.is_temporal(ref) for ref in dated):
            return None
        deed = self.parts.deed_of(main, {token.word for token in self.tokens})
        return self.parts.own_date(deed) if deed else None
