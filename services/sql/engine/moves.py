"""Steps from one meaning of a question to others like it: what a search over meanings can change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from services.sql.linking.joins import JoinGraph
from services.sql.linking.linking import Item, computed
from services.sql.meaning.completion import Completion
from services.sql.meaning.frame import EVERYTHING, Filter, Frame, Ref, Term
from services.sql.meaning.marks import Mark
from services.sql.meaning.parts import Parts
from services.sql.schema import Kind, Schema

# Meanings of one mention that are tried, the likeliest first.
MAX_MEANINGS = 6
_T = TypeVar("_T")
_OPPOSITE = {"COUNT": "", "SUM": "AVG", "AVG": "SUM", "MIN": "MAX", "MAX": "MIN"}


class Number(NamedTuple):
    """A number of the question with the comparison that it may be part of."""

    value: float
    ops: tuple[str, ...]


class Moves:
    """The steps from the meanings of one question.

    Args:
        schema: The database's.
        graph: Its joins.
        marks: What `scan` found.
    """

    def __init__(self, schema: Schema, graph: JoinGraph, marks: Sequence[Mark]) -> None:
        self._schema = schema
        self._graph = graph
        self._completion = Completion(schema)
        self._parts = Parts(schema, graph)
        mentions = [_meanings(mark) for mark in marks if mark.kind == "mention"]
        self._mentions = [
            [*_meanings(mark), *(self._parts.entity(item, mark.words) for item in _meanings(mark))]
            for mark in marks
            if mark.kind == "mention"
        ]
        plain = [item for items in (*mentions, *self._mentions) for item in items if item.value is None]
        self._columns: list[Ref] = list(dict.fromkeys(i.ref for i in plain if i.column and not computed(i.column)))
        hinted = [
            self._parts.hinted(item.table, mark.sign.hints)
            for mark in marks if mark.sign is not None and mark.sign.hints
            for item in plain if not item.column
        ]  # fmt: skip
        self._measures = list(dict.fromkeys([*self._columns, *((r[0], r[1].lstrip("-")) for r in hinted if r)]))
        """Columns that may be compared or sorted by: adjectives mean some without naming them."""
        self._tables: list[str] = list(dict.fromkeys(item.table for item in plain if not item.column))
        self._values: list[Item] = list(dict.fromkeys(i for items in mentions for i in items if i.value is not None))
        self._signs = {mark.sign.kind: mark.sign.value for mark in marks if mark.sign is not None}
        self._aggregates = {mark.sign.value for mark in marks if mark.is_sign("aggregate") and mark.sign}
        if "super" in self._signs:
            self._aggregates |= {"MAX", "MIN"}
        self._numbers = _numbers(marks)
        self._texts = [mark.text for mark in marks if mark.kind == "text"]

    def plain(self) -> Frame | None:
        """The simplest meaning: what the first mention names, with every value as a condition; None without any."""
        tables = [*self._tables, *(ref[0] for ref in self._columns)]
        if not tables:
            return None
        values = [next((i for i in items if i.value is not None and i.table == tables[0]), items[0])
                  for items in self._mentions if items[0].value is not None]  # fmt: skip
        filters = [Filter(item.ref, "=", (item.value or "",)) for item in dict.fromkeys(values)]
        return self._completion.complete(Frame(filters=filters, tables=[tables[0]]))

    def neighbours(self, frame: Frame) -> Iterator[Frame]:
        """Completed frames that are one step away; some of them may be the same."""
        for moves in (
            self._others(frame), self._selections(frame), self._groupings(frame), self._orders(frame),
            self._conditions(frame), self._comparisons(frame), self._froms(frame), self._sets(frame),
        ):  # fmt: skip
            for found in moves:
                yield _settled(frame, found)

    # Other meanings of the same words.

    def _others(self, frame: Frame) -> Iterator[Frame]:
        """A column, or a value, that is replaced by something else that its words may mean."""
        used = set(frame.refs)
        for items in self._mentions:
            refs = [item.ref for item in items if item.value is None and item.column]
            for old in used.intersection(refs):
                for new in refs:
                    if new != old:
                        yield self._renamed(frame, old, new)
            for position, item in enumerate(frame.filters):
                same = [i for i in items if i.value is not None]
                if any(i.ref == item.ref and i.value in item.values for i in same):
                    for other in same:
                        if other.ref != item.ref:
                            changed = replace(item, ref=other.ref, values=(other.value or "",))
                            yield replace(frame, filters=_put(frame.filters, position, changed))
                            if frame.tables == [item.ref[0]] and len(frame.filters) == 1:
                                yield self._elsewhere(frame, changed)

    def _elsewhere(self, frame: Frame, condition: Filter) -> Frame:
        """The same question about another table: what is counted there, or called something."""
        table = condition.ref[0]
        counted = any(term.aggregate == "COUNT" for term in frame.select)
        select = [Term((table, "*"), "COUNT")] if counted else self._completion.named(table)
        return Frame(select=select, filters=[condition], tables=[table])

    def _renamed(self, frame: Frame, old: Ref, new: Ref) -> Frame:
        def term(item: Term) -> Term:
            return replace(item, ref=new) if item.ref == old else item

        def condition(item: Filter) -> Filter:
            return replace(item, ref=new) if item.ref == old else item

        return replace(
            frame, select=list(map(term, frame.select)), groups=list(map(term, frame.groups)),
            filters=list(map(condition, frame.filters)), having=list(map(condition, frame.having)),
            order=None if frame.order is None else term(frame.order),
        )  # fmt: skip

    # What is selected.

    def _selections(self, frame: Frame) -> Iterator[Frame]:
        select = frame.select
        for position, term in enumerate(select):
            if len(select) > 1:
                yield replace(frame, select=[*select[:position], *select[position + 1 :]])
            for changed in self._variants(term):
                yield replace(frame, select=_put(select, position, changed))
        shown = {term.ref for term in select}
        for ref in self._columns:
            if ref not in shown:
                yield replace(frame, select=[*select, Term(ref)])
                yield replace(frame, select=[Term(ref)])
        for table in {*self._tables, *frame.tables}:
            named, keys = self._completion.named(table), self._completion.identity(table)
            for terms in {tuple(named), tuple(keys), (Term((table, EVERYTHING)),)}:
                if list(terms) != select:
                    yield replace(frame, select=list(terms))
                    if select[-1].aggregate and not any(term.ref in shown for term in terms):
                        yield replace(frame, select=[*terms, *(term for term in select if term.aggregate)])
        main = frame.tables[0]
        count = Term((main, "*"), "COUNT")
        if "COUNT" in self._aggregates or frame.groups:
            if not any(term.aggregate == "COUNT" for term in select):
                yield replace(frame, select=[*select, count])
            yield replace(frame, select=[count], groups=[], order=None, limit=None, distinct=False)
            for ref in self._columns:
                yield replace(frame, select=[Term(ref, "COUNT", distinct=True)], groups=[], distinct=False)
        if not frame.groups:
            yield replace(frame, distinct=not frame.distinct)

    def _variants(self, term: Term) -> Iterator[Term]:
        """The same column, summed up otherwise."""
        if term.ref[1] in ("*", EVERYTHING):
            for ref in self._columns:
                if term.aggregate == "COUNT":
                    yield Term(ref, "COUNT", distinct=True)
            return
        for aggregate in {*self._aggregates, "", _OPPOSITE.get(term.aggregate, "")} - {term.aggregate}:
            if aggregate not in ("SUM", "AVG") or self._parts.numeric(term.ref):
                yield replace(term, aggregate=aggregate, distinct=aggregate == "COUNT")
        if term.aggregate == "COUNT":
            yield replace(term, distinct=not term.distinct)
            yield Term((term.ref[0], "*"), "COUNT")

    # Groups.

    def _groupings(self, frame: Frame) -> Iterator[Frame]:
        plain = [term for term in frame.select if not term.aggregate and term.ref[1] != EVERYTHING]
        if frame.groups:
            yield replace(frame, groups=[], having=[], select=plain or frame.select)
            if plain and plain != frame.groups:
                yield replace(frame, groups=plain)
        elif plain:
            yield replace(frame, groups=plain)
        for table in frame.tables:
            keys = self._completion.identity(table)
            if keys != frame.groups:
                yield replace(frame, groups=keys)
        summed = [term for term in frame.select if term.aggregate]
        for ref in self._columns:
            if [Term(ref)] != frame.groups:
                yield replace(frame, groups=[Term(ref)], select=[Term(ref), *summed])
                if summed and frame.groups:
                    yield replace(frame, groups=[*frame.groups, Term(ref)], select=[Term(ref), *frame.select])

    # Orders.

    def _orders(self, frame: Frame) -> Iterator[Frame]:
        limits = [int(n.value) for n in self._numbers if n.value.is_integer() and 0 < n.value < 100]
        if frame.order is not None:
            yield replace(frame, order=None, limit=None)
            yield replace(frame, descending=not frame.descending)
            for limit in dict.fromkeys([None, 1, *limits]):
                if limit != frame.limit:
                    yield replace(frame, limit=limit)
        wanted = {"super", "popular", "order", "alphabet", "direction"} & set(self._signs)
        if not wanted:
            return
        ranked = bool({"super", "popular"} & wanted)
        directions = {self._signs[kind] == "desc" for kind in wanted & {"super", "popular", "direction"}} or {False}
        terms = [Term(ref) for ref in self._measures]
        if frame.groups:
            terms += [Term((table, "*"), "COUNT") for table in dict.fromkeys([*frame.tables[:1], *self._tables])]
            terms += [Term(ref, name) for ref in self._measures for name in sorted(self._aggregates - {"COUNT"})]
        elif ranked:
            plain = [term for term in frame.select if not term.aggregate]
            counts = [Term((table, "*"), "COUNT") for table in dict.fromkeys([*frame.tables[:1], *self._tables])]
            keys = {tuple(self._completion.identity(table)) for table in frame.tables} | ({tuple(plain)} - {()})
            for key in sorted(keys, key=str):
                for count, down in itertools.product(counts, sorted(directions)):
                    yield replace(
                        frame, groups=list(key), order=count, descending=down, limit=frame.limit or 1,
                        select=plain or list(key), distinct=False,
                    )  # fmt: skip
        for term in terms:
            for down in sorted(directions):
                if term != frame.order or down != frame.descending:
                    limit = (frame.limit or 1) if ranked else frame.limit
                    found = replace(frame, order=term, descending=down, limit=limit)
                    yield found
                    rest = [item for item in frame.select if item.ref != term.ref]
                    if rest and len(rest) < len(frame.select) and not term.aggregate:
                        yield replace(found, select=rest)

    # Conditions.

    def _conditions(self, frame: Frame) -> Iterator[Frame]:
        for position, item in enumerate(frame.filters):
            rest = [*frame.filters[:position], *frame.filters[position + 1 :]]
            yield replace(frame, filters=rest, sets=frame.sets if rest else "")
            for changed in self._changed(item, position):
                yield replace(frame, filters=_put(frame.filters, position, changed))
        known = {(item.ref, item.values) for item in frame.filters}
        for value in self._values:
            if (value.ref, (value.value,)) not in known:
                fresh = Filter(value.ref, "=", (value.value or "",))
                yield replace(frame, filters=[*frame.filters, fresh])
                shown = [term for term in frame.select if term.ref != value.ref or term.aggregate]
                if shown and len(shown) < len(frame.select):
                    yield replace(frame, filters=[*frame.filters, fresh], select=shown)
        for text in self._texts:
            if not any(text in item.values for item in frame.filters):
                for ref in self._columns:
                    yield replace(frame, filters=[*frame.filters, Filter(ref, self._signs.get("like", "="), (text,))])

    def _changed(self, item: Filter, position: int) -> Iterator[Filter]:
        """The same condition the other way."""
        yield replace(item, negated=not item.negated)
        if position:
            yield replace(item, joined_by_or=not item.joined_by_or)
        text = item.values[0] if item.values else None
        if isinstance(text, str) and item.op in ("=", "contains") and "like" in self._signs:
            yield replace(item, op="contains" if item.op == "=" else "=")
        for number in self._numbers:
            if item.values == (number.value,):
                for op in number.ops:
                    if op != item.op:
                        yield replace(item, op=op)
        if item.values and isinstance(text, (str, float)):
            for ref in self._columns:
                if ref != item.ref and self._fits(ref, text):
                    yield replace(item, ref=ref)

    def _fits(self, ref: Ref, value: str | float) -> bool:
        """Whether a column may hold a value."""
        column = self._parts.column(ref)
        if column is None:
            return False
        return self._parts.numeric(ref) if isinstance(value, float) else column.kind is Kind.TEXT

    def _comparisons(self, frame: Frame) -> Iterator[Frame]:
        """Numbers that are compared with columns, with counts and sums of groups, or not yet with anything."""
        used = {value for item in (*frame.filters, *frame.having) for value in item.values}
        for number in self._numbers:
            if number.value in used:
                continue
            for ref in self._measures:
                if self._fits(ref, number.value):
                    for op in number.ops:
                        yield self._filtered(frame, Filter(ref, op, (number.value,)))
            yield from self._grouped(frame, number)
        for item in frame.filters:
            if len(item.values) == 1 and isinstance(item.values[0], float):
                rest = [other for other in frame.filters if other is not item]
                yield from self._grouped(replace(frame, filters=rest), Number(item.values[0], (item.op,)))
        for having in frame.having:
            if len(having.values) == 1 and isinstance(having.values[0], float):
                for ref in self._measures:
                    if self._fits(ref, having.values[0]):
                        fresh = Filter(ref, having.op, having.values)
                        yield replace(frame, having=[], groups=[], filters=[*frame.filters, fresh])
        if "compare" in self._signs and "AVG" in self._aggregates:
            op = self._signs["compare"]
            for ref in self._measures:
                if self._parts.numeric(ref) and op in ("<", ">", "<=", ">="):
                    yield self._filtered(frame, Filter(ref, op, against="AVG"))

    def _filtered(self, frame: Frame, item: Filter) -> Frame:
        """With a condition, whose column is then not what is asked for."""
        shown = [term for term in frame.select if term.ref != item.ref] or frame.select
        return replace(frame, select=shown, filters=[*frame.filters, item])

    def _grouped(self, frame: Frame, number: Number) -> Iterator[Frame]:
        """With a condition on groups: `more than 5 orders`, `an average price above 10`."""
        plain = [term for term in frame.select if not term.aggregate and term.ref[1] != EVERYTHING]
        keys = [frame.groups] if frame.groups else [plain, *(self._completion.identity(t) for t in frame.tables)]
        whats = [((table, "*"), "COUNT") for table in dict.fromkeys([frame.tables[0], *self._tables])]
        whats += [(ref, name) for ref in self._columns if self._parts.numeric(ref)
                  for name in sorted(self._aggregates - {"COUNT"})]  # fmt: skip
        for groups in keys:
            for ref, aggregate in whats if groups else ():
                for op in number.ops:
                    having = [Filter(ref, op, (number.value,), aggregate=aggregate)]
                    yield replace(frame, groups=groups, having=having, distinct=False)

    # Tables and sets.

    def _froms(self, frame: Frame) -> Iterator[Frame]:
        used = {ref[0] for ref in frame.refs}
        for table in frame.tables:
            if table not in used:
                yield replace(frame, tables=[name for name in frame.tables if name != table])
        for table in self._tables:
            if table not in frame.tables and table not in frame.without:
                yield replace(frame, tables=[*frame.tables, table])
                if "not" in self._signs:
                    yield replace(frame, without=[*frame.without, table])
            for position, term in enumerate(frame.select):
                if term.ref[1] == "*" and term.ref[0] != table:
                    yield replace(frame, select=_put(frame.select, position, Term((table, "*"), "COUNT")))
        for table in frame.without:
            yield replace(frame, without=[name for name in frame.without if name != table])
        if "not" in self._signs and not frame.without:
            for table in frame.tables[1:]:
                if not any(term.ref[0] == table for term in (*frame.select, *frame.groups)):
                    rest = [name for name in frame.tables if name != table]
                    yield replace(frame, tables=rest, without=[table], distinct=False)

    def _sets(self, frame: Frame) -> Iterator[Frame]:
        if frame.sets:
            yield replace(frame, sets="")
        if not frame.filters or frame.groups or frame.order is not None:
            return
        if len(frame.filters) > 1:
            for name in ("INTERSECT", "UNION"):
                if frame.sets != name:
                    yield replace(frame, sets=name)
        if frame.sets != "EXCEPT" and ("not" in self._signs or frame.filters[-1].negated):
            yield replace(frame, sets="EXCEPT")


def _meanings(mark: Mark) -> tuple[Item, ...]:
    return mark.items[:MAX_MEANINGS] + mark.others[:MAX_MEANINGS]


def _put(items: Sequence[_T], position: int, item: _T) -> list[_T]:
    return [*items[:position], item, *items[position + 1 :]]


def _settled(before: Frame, after: Frame) -> Frame:
    """The frame with the tables that it uses, and those that were only mentioned before."""
    if after.distinct and (after.groups or all(term.aggregate for term in after.select)):
        after = replace(after, distinct=False)
    if after.tables is not before.tables:
        return after
    was = {ref[0] for ref in before.refs}
    kept = [name for name in before.tables if name not in was]
    used = [ref[0] for ref in after.refs if ref[0] not in after.without]
    return replace(after, tables=list(dict.fromkeys([*used, *kept])))


def _numbers(marks: Sequence[Mark]) -> list[Number]:
    found = []
    for position, mark in enumerate(marks):
        year = mark.kind == "period" and mark.text.isdigit()
        if mark.kind != "number" and not year:
            continue
        near = [*marks[max(0, position - 4) : position][::-1], *marks[position + 1 : position + 2]]
        ops = [other.sign.value for other in near if other.sign is not None and other.sign.kind == "compare"]
        ops = [op for op in ops if op != "between"]
        found.append(Number(float(mark.text) if year else mark.number, tuple(dict.fromkeys([*ops[:2], "="]))))
    return found
